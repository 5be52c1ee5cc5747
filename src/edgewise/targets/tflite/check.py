"""Hold a TFLite artifact against the integer twin, on the very kernels that will run."""

import math

import numpy as np
import torch
from torch import Tensor

from edgewise.errors import ParityError
from edgewise.graph.network import Network, module_of
from edgewise.quant.dynamic import DynamicLayer
from edgewise.targets.codes import Read, compare_codes, output_error, refuse_another_output
from edgewise.targets.target import LayerCheck
from edgewise.targets.tflite import session
from edgewise.targets.tflite.builder import serialize
from edgewise.targets.tflite.layout import TO_NCHW
from edgewise.targets.tflite.writer import Written

_FLOAT_TOLERANCE = 1e-3  # of the largest output: sums in another order
_MOVED_TOLERANCE = 5e-2  # where an input in another last bit gets the code beside its own
_LAYER_TOLERANCE = 2e-2  # the same, of one layer


def check_codes(
    network: Network, written: Written, images: Tensor
) -> tuple[tuple[LayerCheck, ...], int]:
    """Every quantized tensor against the twin; see compare_codes."""
    return compare_codes(network, written.codes, _codes_reader(written), images)


def _codes_reader(written: Written) -> Read:
    """Reads codes from the model with those tensors as further outputs."""
    names = list(dict.fromkeys(written.codes.values()))
    run_plain = session.runner(serialize(written.model))
    run_probe = session.runner(session.probe(written.model, names))

    def read(images: Tensor) -> dict[str, Tensor]:
        batch = images.numpy().astype(np.float32)
        plain, shown = run_plain(batch), run_probe(batch)
        refuse_another_output(plain, shown[: len(plain)])
        found = dict(zip(names, shown[len(plain) :], strict=True))
        return {node: _as_network(found[index]) for node, index in written.codes.items()}

    return read


def _as_network(codes: session.Array) -> Tensor:
    """Codes in the network's layout."""
    turned = codes.transpose(TO_NCHW) if codes.ndim == 4 else codes
    return torch.from_numpy(np.array(turned, np.int16, order="C"))


@torch.no_grad()
def check_dynamic(network: Network, written: Written, images: Tensor) -> None:
    """Every layer whose input becomes codes as it comes, from the artifact's own input.

    XNNPACK finds the range of each image's values, zero included, and makes int8 codes of it with
    scale (max - min) / 255, rounding half to even; plain kernels do the same. They are the codes of
    DynamicLayer less 128, but that values are multiplied by 1 / scale, so that at a tie a code may
    be the one beside. Nothing shows the codes: results are compared, and must agree but for such
    ties. Raises ParityError, naming the layer, where they do not.
    """
    nodes = [n for n in network.module.graph.nodes if n.name in written.layers]
    layers = {node: module_of(network.module, node) for node in nodes}
    dynamic = {node: layer for node, layer in layers.items() if isinstance(layer, DynamicLayer)}
    if not dynamic:
        return
    shown = [
        value.index
        for node in dynamic
        for value in (written.layers[node.name].source, written.layers[node.name].result)
    ]
    outputs = len(written.model.subgraphs[0].outputs)
    found = session.runner(session.probe(written.model, shown))(images.numpy())[outputs:]
    for node, source, result in zip(dynamic, found[::2], found[1::2], strict=True):
        ours, theirs = dynamic[node](_floats(source)), _floats(result)
        apart = float((ours - theirs).abs().max()) / max(float(ours.abs().max()), 1e-12)
        if not apart <= _LAYER_TOLERANCE:
            raise ParityError(
                f"the runtime's result of '{node.meta['path']}' is {apart:.2g} of its largest "
                "value from what its codes stand for; nothing was written. Keep that layer in "
                "float with --keep-float, or report it."
            )


def _floats(values: session.Array) -> Tensor:
    turned = values.transpose(TO_NCHW) if values.ndim == 4 else values
    return torch.from_numpy(np.array(turned, np.float32, order="C"))


@torch.no_grad()
def check_output(network: Network, written: Written, images: Tensor) -> float:
    """Largest difference of an output from the simulation's, relative to that output's largest.

    For a network without integer layers this must be rounding; raises ParityError when it is more.
    """
    ours = [output.numpy() for output in network.all_outputs(images)]
    theirs = session.runner(serialize(written.model))(images.numpy().astype(np.float32))
    nodes = network.module.graph.nodes
    moved = any(isinstance(module_of(network.module, node), DynamicLayer) for node in nodes)
    tolerance = _MOVED_TOLERANCE if moved else _FLOAT_TOLERANCE
    return output_error(ours, theirs, math.inf if written.codes else tolerance)
