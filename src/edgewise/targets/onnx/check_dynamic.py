"""Hold layers that the runtime quantizes at every inference against what ONNX defines.

There are no codes to expect: they follow from each image. So every layer is given the artifact's
own input, and from that its codes and its sums are exact; what lies between layers is float, and is
compared as floats, starting from the artifact's own results.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper
from torch import Tensor, fx

from edgewise.errors import ParityError
from edgewise.graph.network import Network, module_of
from edgewise.quant.dynamic import Codes, DynamicLayer
from edgewise.targets.onnx import session
from edgewise.targets.onnx.dynamic import DynamicTensors
from edgewise.targets.onnx.writer import Written
from edgewise.targets.target import LayerCheck

_TOLERANCE = 1e-4  # of a tensor's largest value: between two layers there are few sums
_IMAGES = 8


@torch.no_grad()
def check_dynamic(network: Network, written: Written, images: Tensor) -> tuple[LayerCheck, ...]:
    """The codes of every layer's input, and its sums, for some of the images, one after the other.

    Raises ParityError, naming the layer, where one code or one sum is another than ONNX defines, or
    a float is not the network's.
    """
    probe, names = _probe(written)
    read = session.runner(probe, names)
    checks: dict[str, LayerCheck] = {}
    for image in torch.split(images[:_IMAGES], 1):
        found = dict(zip(names, map(_tensor, read(image.numpy())), strict=True))
        interpreter = _Forced(network.module, written.dynamic, found)
        given = interpreter.run(image)
        for name, output in zip(written.outputs, _several(given), strict=True):
            _refuse_apart(output, found[name], "the network's output")
        for check in interpreter.checks:
            known = checks.get(check.tensor, replace(check, elements=0))
            checks[check.tensor] = replace(known, elements=known.elements + check.elements)
    return tuple(checks.values())


def _probe(written: Written) -> tuple[onnx.ModelProto, list[str]]:
    """The model with the tensors around layers as further outputs, and all outputs' names."""
    probe = onnx.ModelProto()
    probe.CopyFrom(written.model)
    shown = dict.fromkeys(written.outputs, TensorProto.FLOAT)
    given = {value.name for value in probe.graph.input}
    for one in written.dynamic.values():
        shown |= {one.codes: TensorProto.UINT8, one.zero_point: TensorProto.UINT8}
        shown |= {one.sums: TensorProto.INT32}
        shown |= dict.fromkeys((one.source, one.scale, one.result), TensorProto.FLOAT)
    names = [name for name in shown if name not in given]
    for name in names:
        if name not in written.outputs:
            probe.graph.output.append(helper.make_tensor_value_info(name, shown[name], None))
    return probe, names


def _several(returned: Tensor | Sequence[Tensor]) -> Sequence[Tensor]:
    return [returned] if isinstance(returned, Tensor) else returned


def _tensor(value: Any) -> Tensor:
    return torch.from_numpy(np.array(value, order="C"))


@dataclass(frozen=True)
class _Theirs:
    """What the artifact has around one layer for one image."""

    source: Tensor
    codes: Codes
    sums: Tensor
    result: Tensor


class _Forced(fx.Interpreter):
    """The network for one image, every dynamic layer checked and replaced by the artifact's."""

    def __init__(
        self,
        module: fx.GraphModule,
        tensors: Mapping[str, DynamicTensors],
        found: Mapping[str, Tensor],
    ) -> None:
        super().__init__(module)
        self.graph_module = module
        self.tensors = tensors
        self.found = found
        self.checks: list[LayerCheck] = []

    def run_node(self, n: fx.Node) -> Any:
        layer = module_of(self.graph_module, n)
        if not isinstance(layer, DynamicLayer):
            return super().run_node(n)
        path, names = str(n.meta["path"]), self.tensors[n.name]
        ours = self.env[n.all_input_nodes[0]]
        theirs = _theirs(names, self.found, ours)
        _refuse_apart(ours, theirs.source, f"the input of '{path}'")
        self.checks.append(_check(names.codes, path, layer, theirs))
        return theirs.result


def _theirs(names: DynamicTensors, found: Mapping[str, Tensor], ours: Tensor) -> _Theirs:
    codes = Codes(
        found[names.codes].float(), found[names.scale].float(), found[names.zero_point].float()
    )
    source = found.get(names.source, ours)  # the image itself is no output
    return _Theirs(source, codes, found[names.sums], found[names.result])


def _check(tensor: str, path: str, layer: DynamicLayer, theirs: _Theirs) -> LayerCheck:
    """Codes, sums and values of one layer from the artifact's own input."""
    expected = layer.quantize(theirs.source)
    off = (expected.codes - theirs.codes.codes).abs()
    if bool(off.any()):
        raise ParityError(
            f"the runtime's codes of the input of '{path}' are not those that ONNX defines: "
            f"{int((off > 0).sum())} of {off.numel()} differ, by at most {int(off.max())}; "
            "nothing was written. Keep that layer in float with --keep-float, or report it."
        )
    wrong = layer.sums(theirs.codes).double() != theirs.sums.double()
    if bool(wrong.any()):
        raise ParityError(
            f"{int(wrong.sum())} of {wrong.numel()} integer sums of '{path}' are not the sums of "
            "the products of its codes; nothing was written. Keep that layer in float with "
            "--keep-float, or report it."
        )
    values = layer.values(theirs.sums, expected)
    _refuse_apart(values, theirs.result, f"what the sums of '{path}' stand for")
    return LayerCheck(tensor, path, off.numel(), 0, 0)


def _refuse_apart(ours: Tensor, theirs: Tensor, what: str) -> None:
    largest = max(float(ours.abs().max()), 1e-12)
    apart = float((ours - theirs).abs().max()) / largest
    if not apart <= _TOLERANCE:
        raise ParityError(
            f"{what} is {apart:.2g} of its largest value from the network's; nothing was written. "
            "Please report the network."
        )
