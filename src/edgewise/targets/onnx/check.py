"""Hold an ONNX artifact against the integer twin, on the very kernels that will run."""

import math

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper
from torch import Tensor

from edgewise.graph.network import Network
from edgewise.targets.codes import Read, compare_codes, output_error, refuse_another_output
from edgewise.targets.onnx import session
from edgewise.targets.onnx.writer import Written
from edgewise.targets.target import LayerCheck

_FLOAT_TOLERANCE = 1e-3  # of the largest output: sums in another order
_MOVED_TOLERANCE = 1e-2  # where an input in another last bit gets the code beside its own


def check_codes(
    network: Network, written: Written, images: Tensor
) -> tuple[tuple[LayerCheck, ...], int]:
    """Every quantized tensor against the twin; see compare_codes."""
    return compare_codes(network, written.codes, _codes_reader(written), images)


def probe(written: Written) -> tuple[onnx.ModelProto, list[str]]:
    """The model with its tensors of codes as further outputs, and the names of these."""
    model = onnx.ModelProto()
    model.CopyFrom(written.model)
    kinds = {init.name: init.data_type for init in model.graph.initializer}
    nodes = {output: node for node in model.graph.node for output in node.output}
    names = list(dict.fromkeys(written.codes.values()))
    for name in names:
        quantize = nodes[name] if nodes[name].op_type != "Clip" else nodes[nodes[name].input[0]]
        kind = kinds.get(quantize.input[2], TensorProto.UINT8)
        model.graph.output.append(helper.make_tensor_value_info(name, kind, None))
    return model, names


def _codes_reader(written: Written) -> Read:
    """Reads codes from the model with those tensors as further outputs."""
    model, names = probe(written)
    run_plain = session.runner(written.model, written.outputs)
    run_probe = session.runner(model, [*written.outputs, *names])

    def read(images: Tensor) -> dict[str, Tensor]:
        batch = images.numpy().astype(np.float32)
        plain, shown = run_plain(batch), run_probe(batch)
        refuse_another_output(plain, shown[: len(plain)])
        found = dict(zip(names, shown[len(plain) :], strict=True))
        return {
            node: torch.from_numpy(found[name].astype(np.int16))
            for node, name in written.codes.items()
        }

    return read


@torch.no_grad()
def check_output(network: Network, written: Written, images: Tensor) -> float:
    """Largest difference of an output from the simulation's, relative to that output's largest.

    For a network without integer layers this must be rounding; raises ParityError when it is more.
    """
    ours = [output.numpy() for output in network.all_outputs(images)]
    theirs = session.run(written.model, images.numpy(), written.outputs)
    tolerance = _MOVED_TOLERANCE if written.dynamic else _FLOAT_TOLERANCE
    return output_error(ours, theirs, math.inf if written.codes else tolerance)
