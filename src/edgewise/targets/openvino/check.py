"""Hold an artifact for OpenVINO against the integer twin, on the very kernels that will run."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from edgewise.errors import ParityError
from edgewise.graph.network import Network, output_nodes
from edgewise.targets.codes import compare_codes, output_error
from edgewise.targets.onnx.check import probe
from edgewise.targets.onnx.writer import Written
from edgewise.targets.openvino import session
from edgewise.targets.target import LayerCheck

_FLOAT_TOLERANCE = 1e-4  # of the largest output: sums in another order
_SHOWN_TOLERANCE = 5e-2  # where a float in another last bit gets the code beside its own


def check_shapes(network: Network, outputs: Sequence[session.Array]) -> None:
    """Raises ParityError where an output has another shape than the network's."""
    ours = [list(node.meta["shape"][1:]) for node in output_nodes(network.module)]
    theirs = [list(output.shape[1:]) for output in outputs]
    if ours != theirs:
        raise ParityError(
            f"OpenVINO's outputs are of shapes {theirs} and the network's of {ours}, an error of "
            "that runtime; nothing was written. Please report the network, or choose target onnx."
        )


def check_codes(
    network: Network, written: Written, images: Tensor, outputs: Sequence[session.Array]
) -> tuple[tuple[LayerCheck, ...], int]:
    """Every quantized tensor against the twin; see compare_codes.

    outputs: the artifact's own, for the same images. Raises ParityError too where showing inner
    tensors changes them: then what is checked would not be what runs.
    """
    model, names = probe(written)
    again: list[Sequence[session.Array]] = []

    def read(part: Tensor) -> dict[str, Tensor]:
        shown = session.run(model, part.numpy()).outputs
        again.append(shown[: len(outputs)])
        found = dict(zip(names, shown[len(outputs) :], strict=True))
        codes = {node: found[name].astype(np.int16) for node, name in written.codes.items()}
        return {node: torch.from_numpy(values) for node, values in codes.items()}

    checks, free_running = compare_codes(network, written.codes, read, images)
    _refuse_other(outputs, [np.concatenate(parts) for parts in zip(*again, strict=True)])
    return checks, free_running


def _refuse_other(plain: Sequence[session.Array], shown: Sequence[session.Array]) -> None:
    apart = max(
        float(np.abs(ours - theirs).max()) / max(float(np.abs(ours).max()), 1e-12)
        for ours, theirs in zip(plain, shown, strict=True)
    )
    if not apart <= _SHOWN_TOLERANCE:
        raise ParityError(
            f"OpenVINO's output is {apart:.2g} of its largest value another when its inner tensors "
            "are looked at, so the artifact cannot be checked; nothing was written."
        )


@torch.no_grad()
def check_output(
    network: Network, written: Written, images: Tensor, outputs: Sequence[session.Array]
) -> float:
    """Largest difference of an output from the simulation's, relative to that output's largest.

    For a network without integer layers this must be rounding; raises ParityError when it is more.
    """
    ours = [output.numpy() for output in network.all_outputs(images)]
    return output_error(ours, outputs, math.inf if written.codes else _FLOAT_TOLERANCE)
