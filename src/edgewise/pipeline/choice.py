"""Which figures say how good the variants of a network are."""

from edgewise.errors import DataError, ModelError
from edgewise.graph.network import Network, output_nodes
from edgewise.pipeline.classes import Classes
from edgewise.pipeline.near import Near
from edgewise.pipeline.precision import Precision
from edgewise.pipeline.scoring import Scoring
from edgewise.pipeline.work import Work
from edgewise.spotting import to_be_found
from edgewise.tasks.detection.decoder import Decoder

_MAP = 4  # axes of an output that is one


def scoring_of(work: Work) -> Scoring:
    """Precision of a detector where there are objects; closeness of other networks of several
    outputs, or of maps without labels; else classes.

    Raises ModelError where the network's decoder does not read its outputs, and UsageError where
    the objects are of other classes or in other pixels than the network's.
    """
    decoder, test = decoder_of(work.network), work.test
    if decoder is not None:
        objects = to_be_found(work.request.data, test, work.request.contract, decoder)
        return Near(decoder) if objects is None else Precision(decoder, objects)
    if test.labels is None and (_maps(work.network) or len(output_nodes(work.network.module)) > 1):
        return Near(None)
    return Classes()


def decoder_of(network: Network) -> Decoder | None:
    """How a network's outputs become objects, or None.

    Raises ModelError where what it declares is no decoder of its outputs.
    """
    if network.decoder is None:
        return None
    try:
        decoder = Decoder.from_json(network.decoder)
        decoder.strides([node.meta["shape"] for node in output_nodes(network.module)])
    except DataError as error:
        raise ModelError(
            f"{network.name} does not say how its outputs become objects: {error}"
        ) from error
    return decoder


def _maps(network: Network) -> bool:
    """Whether an output is an image of more than one place."""
    shapes = [node.meta["shape"] for node in output_nodes(network.module)]
    return any(len(shape) == _MAP and shape[2] * shape[3] > 1 for shape in shapes)
