"""Hold an ONNX artifact against the integer twin, on the very kernels that will run."""

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper
from torch import Tensor

from edgewise.errors import ParityError
from edgewise.graph.network import Network
from edgewise.quant.integer import run_twin
from edgewise.targets.onnx import session
from edgewise.targets.onnx.builder import OUTPUT
from edgewise.targets.onnx.writer import Written
from edgewise.targets.target import LayerCheck

_FLOAT_TOLERANCE = 1e-3  # of the largest output: sums in another order


def check_codes(
    network: Network, written: Written, images: Tensor
) -> tuple[tuple[LayerCheck, ...], int]:
    """Every quantized tensor against the twin: teacher-forced checks, and the free-running worst.

    Raises ParityError when a tensor is more than one code off, naming the first.
    """
    theirs = _artifact_codes(written, images)
    forced = run_twin(network.module, images, theirs)
    free = run_twin(network.module, images)
    paths = {node.name: str(node.meta["path"]) for node in network.module.graph.nodes}
    checks = tuple(
        LayerCheck(name, paths[name], off.numel(), int((off > 0).sum()), int(off.max()))
        for name, off in forced.off.items()
    )
    for check in checks:
        if check.worst > 1:
            raise ParityError(
                f"the artifact is {check.worst} codes from its integer twin at "
                f"'{check.layer or check.tensor}' ({check.off} of {check.elements} values differ). "
                "This runtime or processor computes something else than the network says; "
                "nothing was written. Keep that layer in float with --keep-float, or report it."
            )
    worst = max(int((free.codes[name] - codes).abs().max()) for name, codes in theirs.items())
    return checks, worst


def _artifact_codes(written: Written, images: Tensor) -> dict[str, Tensor]:
    """Codes of every quantized tensor, from the model with those tensors as further outputs.

    Raises ParityError when showing them changes the model's own output: then what is checked
    would not be what runs.
    """
    probe = onnx.ModelProto()
    probe.CopyFrom(written.model)
    kinds = {init.name: init.data_type for init in probe.graph.initializer}
    nodes = {output: node for node in probe.graph.node for output in node.output}
    names = list(dict.fromkeys(written.codes.values()))
    for name in names:
        quantize = nodes[name] if nodes[name].op_type != "Clip" else nodes[nodes[name].input[0]]
        kind = kinds.get(quantize.input[2], TensorProto.UINT8)
        probe.graph.output.append(helper.make_tensor_value_info(name, kind, None))
    batch = images.numpy().astype(np.float32)
    plain = session.run(written.model, batch, [OUTPUT])[0]
    shown, *codes = session.run(probe, batch, [OUTPUT, *names])
    if not np.array_equal(plain, shown):
        raise ParityError(
            "the runtime computes another output when its inner tensors are looked at, so the "
            "artifact cannot be checked; nothing was written."
        )
    found = dict(zip(names, codes, strict=True))
    return {
        node: torch.from_numpy(found[name].astype(np.int64)) for node, name in written.codes.items()
    }


@torch.no_grad()
def check_output(network: Network, written: Written, images: Tensor) -> float:
    """Largest difference of the artifact's output from the simulation's, relative to the largest.

    For a network without integer layers this must be rounding; raises ParityError when it is more.
    """
    ours = network(images).numpy()
    theirs = session.run(written.model, images.numpy(), [OUTPUT])[0]
    scale = max(float(np.abs(ours).max()), 1e-12)
    error = float(np.abs(ours - theirs).max()) / scale
    if not written.codes and not error <= _FLOAT_TOLERANCE:
        raise ParityError(
            f"the artifact's output differs from the network's by {error:.2g} of its largest "
            "value; nothing was written. Please report the network."
        )
    return error
