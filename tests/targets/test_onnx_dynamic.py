"""Layers quantized at every inference: the artifact's codes, sums and operators."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from target_kinds import ONNX, Plant, multiply
from torch import Tensor, nn

from edgewise.data.preprocess import natural
from edgewise.errors import ParityError
from edgewise.graph.capture import capture
from edgewise.graph.network import Network, module_of
from edgewise.presets import FLOAT32, INT8_DYNAMIC
from edgewise.quant.dynamic import DynamicLayer
from edgewise.targets.onnx import session
from edgewise.targets.onnx.inspect import inspect_artifact
from edgewise.targets.onnx.target import OnnxTarget
from edgewise.targets.onnx.writer import write

OPERATORS = {"ConvInteger", "DynamicQuantizeMatMul", "MatMulIntegerToFloat"}


def test_the_artifact_is_the_simulation_on_integers_everywhere(
    tiny_network: Network, tiny_images: Tensor, tmp_path: Path
) -> None:
    made = INT8_DYNAMIC.apply(tiny_network)
    export = made.export(OnnxTarget(), tmp_path / "m.onnx", tiny_images)
    assert export.integer_share == 1
    assert {one.operator for one in export.executions} <= OPERATORS
    assert all(one.integer and one.meant for one in export.executions)
    assert [check.layer for check in export.checks] == [one.layer for one in export.executions]
    assert all(check.off == check.worst == 0 for check in export.checks)
    assert all(check.elements > 0 for check in export.checks)
    runtime = onnxruntime.InferenceSession(export.path, providers=["CPUExecutionProvider"])
    with torch.no_grad():
        ours = made.network(tiny_images).numpy()
    for image, expected in zip(torch.split(tiny_images, 1), ours, strict=True):
        (theirs,) = runtime.run(None, {"input": image.numpy()})
        assert np.abs(theirs[0] - expected).max() <= 1e-5 * np.abs(ours).max()
    assert export.float_error < 1e-5


def test_integer_sums_are_those_of_the_artifacts_own_codes(
    tiny_network: Network, tiny_images: Tensor
) -> None:
    network = INT8_DYNAMIC.apply(tiny_network).network
    written = write(network)
    layers = {
        node.name: layer
        for node in network.module.graph.nodes
        if isinstance(layer := module_of(network.module, node), DynamicLayer)
    }
    assert written.dynamic.keys() == layers.keys()
    for name, layer in layers.items():
        tensors = written.dynamic[name]
        probe = onnx.ModelProto()
        probe.CopyFrom(written.model)
        shown = {tensors.codes: TensorProto.UINT8, tensors.zero_point: TensorProto.UINT8,
                 tensors.sums: TensorProto.INT32}  # fmt: skip
        for tensor, kind in shown.items():
            probe.graph.output.append(helper.make_tensor_value_info(tensor, kind, None))
        run = session.runner(probe, [*shown])
        for image in torch.split(tiny_images[:3], 1):
            codes, zero, sums = run(image.numpy())
            centred = torch.from_numpy(codes.astype(np.float64) - int(zero))
            expected = layer.form.run(centred, layer.weight_codes.double(), None)
            assert sums.dtype == np.int32
            assert np.array_equal(sums, expected.numpy())


def test_the_artifact_takes_one_image_at_a_time(
    captured: Callable[[str], Network], tiny_images: Tensor, tmp_path: Path
) -> None:
    """A range is that of all images in a batch, so an answer would depend on the others."""
    path = tmp_path / "m.onnx"
    INT8_DYNAMIC.apply(captured("residual")).export(OnnxTarget(), path, tiny_images)
    runtime = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert runtime.get_inputs()[0].shape == [1, 3, 8, 8]
    assert runtime.get_outputs()[0].shape == [1, 4]


def test_an_input_of_several_layers_is_quantized_once(captured: Callable[[str], Network]) -> None:
    written = write(INT8_DYNAMIC.apply(captured("concat")).network)
    kinds = [node.op_type for node in written.model.graph.node]
    inputs = {tensors.source for tensors in written.dynamic.values()}
    assert kinds.count("DynamicQuantizeLinear") == len(inputs)


class Tokens(nn.Module):
    """Linear layers on what is not a batch of vectors, two of them on the same input."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Linear(8, 5)
        self.right = nn.Linear(8, 5, bias=False)
        self.head = nn.Linear(120, 4, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        both = torch.relu(self.left(images)) * self.right(images)
        return self.head(both.flatten(1))  # type: ignore[no-any-return]


def test_linear_layers_of_any_rank_that_share_an_input(tiny_images: Tensor, tmp_path: Path) -> None:
    torch.manual_seed(0)
    made = INT8_DYNAMIC.apply(capture(Tokens(), natural((3, 8, 8))))
    export = made.export(OnnxTarget(), tmp_path / "m.onnx", tiny_images)
    assert [one.layer for one in export.executions] == ["left", "right", "head"]
    assert {one.operator for one in export.executions} <= OPERATORS
    assert export.float_error < 1e-5


class Padded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 2)), nn.Conv2d(3, 4, 3, padding=1))

    def forward(self, images: Tensor) -> Tensor:
        return self.body(images + 3)  # type: ignore[no-any-return]


def test_padding_is_the_code_of_zero(tiny_images: Tensor, tmp_path: Path) -> None:
    """Of an input whose values are all above zero, where a pad of code 0 shows if it is not."""
    torch.manual_seed(0)
    made = INT8_DYNAMIC.apply(capture(Padded(), natural((3, 8, 8))))
    for images in (tiny_images, -tiny_images - 9):
        export = made.export(OnnxTarget(), tmp_path / "m.onnx", images)
        assert export.float_error < 1e-5


@pytest.mark.parametrize("factor", [0.0, 1e-20, 1e20])
def test_images_of_any_range_agree(
    factor: float, tiny_name: str, captured: Callable[[str], Network], tiny_images: Tensor,
    tmp_path: Path,
) -> None:  # fmt: skip
    made = INT8_DYNAMIC.apply(captured(tiny_name))
    far = torch.cat([tiny_images[:2], tiny_images[:2] * factor])
    export = made.export(OnnxTarget(), tmp_path / "m.onnx", far)
    assert all(check.off == 0 for check in export.checks)


def test_layers_kept_in_float_run_in_float(
    captured: Callable[[str], Network], tiny_images: Tensor, tmp_path: Path
) -> None:
    made = INT8_DYNAMIC.with_kept_float(("body.3", "head.1")).apply(captured("plain"))
    export = made.export(OnnxTarget(), tmp_path / "m.onnx", tiny_images)
    assert [(one.layer, one.integer, one.meant) for one in export.executions] == [
        ("body.0", True, True), ("body.3", False, False), ("head.1", False, False),
        ("head.3", True, True),
    ]  # fmt: skip
    assert [check.layer for check in export.checks] == ["body.0", "head.3"]


def test_the_file_holds_a_byte_a_weight_and_nothing_twice(
    captured: Callable[[str], Network], tiny_images: Tensor, tmp_path: Path
) -> None:
    export = INT8_DYNAMIC.apply(captured("plain")).export(
        OnnxTarget(), tmp_path / "m.onnx", tiny_images
    )
    floats = {layer.form.path.replace(".", "_"): layer.weight.numel()
              for _, layer in FLOAT32.apply(captured("plain")).network.layers()}  # fmt: skip
    layers = inspect_artifact(export.path)
    assert {one.name: one.weights for one in layers} == floats
    # A convolution's codes are moved up by 128, for which the runtime has fast kernels.
    assert [(one.stored, one.activations) for one in layers] == [
        ("uint8", "uint8"), ("uint8", "uint8"), ("int8", "uint8"), ("int8", "uint8"),
    ]  # fmt: skip
    assert all(one.size_bytes == one.weights for one in layers)
    assert {one.operator for one in layers} <= OPERATORS


Change = Callable[[onnx.ModelProto], None]


def node_of(model: onnx.ModelProto, name: str) -> onnx.NodeProto:
    return next(node for node in model.graph.node if node.name == name)


def wrong_zero_point(model: onnx.ModelProto) -> None:
    """The sums of one layer without the input's zero point."""
    del node_of(model, "body_0").input[2]


def wrong_weight(model: onnx.ModelProto) -> None:
    stored = next(one for one in model.graph.initializer if one.name == "body_3.weight.codes")
    values = numpy_helper.to_array(stored).copy()
    values.flat[0] ^= 1
    stored.CopyFrom(numpy_helper.from_array(values, stored.name))


def wrong_scale(model: onnx.ModelProto) -> None:
    multiply(model, "body_3.scale", 1.01)


def wrong_codes(model: onnx.ModelProto) -> None:
    """The codes of something else than the layer's input."""
    quantize = node_of(model, "body_3.input")
    square = helper.make_node("Mul", [quantize.input[0]] * 2, ["square"], name="square")
    quantize.input[0] = "square"
    model.graph.node.insert([*model.graph.node].index(quantize), square)


def wrong_between(model: onnx.ModelProto) -> None:
    """Another activation between two layers."""
    next(node for node in model.graph.node if node.op_type == "Relu").op_type = "Abs"


def wrong_output(model: onnx.ModelProto) -> None:
    model.graph.node[-1].op_type = "Neg"


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (wrong_zero_point, r"integer sums of 'body\.0'"),
        (wrong_weight, r"integer sums of 'body\.3'"),
        (wrong_scale, r"what the sums of 'body\.3' stand for"),
        (wrong_codes, r"codes of the input of 'body\.3' are not those that ONNX defines"),
        (wrong_between, r"the input of 'body\.3' is"),
        (wrong_output, "the network's output is"),
    ],
)
def test_what_is_wrong_in_an_artifact_is_found_blamed_on_its_layer_and_leaves_no_file(
    change: Change, match: str, captured: Callable[[str], Network], tiny_images: Tensor,
    tmp_path: Path, plant: Plant,
) -> None:  # fmt: skip
    plant(ONNX, change)
    made = INT8_DYNAMIC.apply(captured("plain"))
    with pytest.raises(ParityError, match=match):
        made.export(OnnxTarget(), tmp_path / "m.onnx", tiny_images)
    assert list(tmp_path.iterdir()) == []
