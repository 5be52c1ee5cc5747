"""Convolutions of few input channels: the same answers in the form that is fast."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from target_recipes import W4A8, narrow
from torch import Tensor, nn

from edgewise.data.random import load_random
from edgewise.graph.capture import capture
from edgewise.graph.network import Network
from edgewise.presets import INT8
from edgewise.recipe import Compressed, Recipe
from edgewise.targets.onnx import session
from edgewise.targets.onnx.builder import Dialect
from edgewise.targets.onnx.inspect import inspect_artifact
from edgewise.targets.onnx.kernels import PLAIN
from edgewise.targets.onnx.shallow import OVERLAID
from edgewise.targets.onnx.target import OnnxTarget
from edgewise.targets.onnx.writer import Written, write

SHALLOW: dict[str, tuple[int, nn.Module]] = {
    "one channel": (1, nn.Conv2d(1, 16, 3)),
    "two channels": (2, nn.Conv2d(2, 16, 3, padding=1, bias=False)),
    "three channels": (3, nn.Conv2d(3, 32, 3, padding=1)),
    "five rows": (3, nn.Conv2d(3, 16, (5, 2), padding=(2, 0))),
    "seven rows": (1, nn.Conv2d(1, 20, 7, stride=2, padding=3)),
    "two rows": (3, nn.Conv2d(3, 16, 2, stride=(3, 1))),
    "steps that leave rows out": (3, nn.Conv2d(3, 16, (2, 3), stride=(4, 2))),
    "dilated": (2, nn.Conv2d(2, 16, 3, stride=(1, 2), padding=(0, 2), dilation=(3, 2))),
    "padded unequally": (3, nn.Sequential(nn.ZeroPad2d((0, 1, 2, 0)), nn.Conv2d(3, 16, 3, 2, 1))),
    "padded below": (1, nn.Sequential(nn.ZeroPad2d((3, 0, 0, 2)), nn.Conv2d(1, 16, 3))),
}
OTHERS: dict[str, tuple[int, nn.Module]] = {
    "four channels": (4, nn.Conv2d(4, 16, 3)),
    "groups": (3, nn.Conv2d(3, 18, 3, groups=3)),
    "one row": (3, nn.Conv2d(3, 16, (1, 3))),
    "too few outputs": (3, nn.Conv2d(3, 12, 3)),
    "outputs not in fours": (3, nn.Conv2d(3, 18, 3)),
}


class Twice(nn.Module):
    """An image that two convolutions read."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(3, 16, 1)

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat([self.one(images), self.two(images)], 1)


def compressed(channels: int, module: nn.Module, recipe: Recipe = INT8) -> Compressed:
    torch.manual_seed(0)
    data = load_random((channels, 13, 11), calibration=4, test=1)
    network = capture(module.eval(), data.contract)
    return recipe.apply(network, data.split("calibration"))


def images(network: Network, count: int = 3) -> Tensor:
    """Values that codes stand for, and values beyond."""
    shape = (count, *network.contract.shape)
    return 2 * torch.randn(shape, generator=torch.Generator().manual_seed(1))


def plain(network: Network) -> Written:
    """As it is written where no convolution has another form."""
    return write(network, Dialect(kernels=PLAIN))


def overlaid(written: Written) -> list[str]:
    return [node.name for node in written.model.graph.node if node.name.endswith(OVERLAID)]


def answers(written: Written, values: Tensor) -> Any:
    """The outputs, and the codes of every quantized tensor."""
    probe = onnx.ModelProto()
    probe.CopyFrom(written.model)
    names = [*written.codes.values()]
    for name in names:
        probe.graph.output.append(onnx.helper.make_tensor_value_info(name, 2, None))
    return session.run(probe, values.numpy(), [*written.outputs, *names])


@pytest.mark.parametrize("recipe", [INT8, W4A8, narrow(2, 8)], ids=lambda recipe: recipe.name)
@pytest.mark.parametrize("name", SHALLOW)
def test_codes_are_those_of_the_plain_form_to_the_bit(name: str, recipe: Recipe) -> None:
    network = compressed(*SHALLOW[name], recipe=recipe).network
    written, expected = write(network), plain(network)
    assert len(overlaid(written)) == 1
    assert not overlaid(expected)
    values = images(network)
    for one, other in zip(answers(written, values), answers(expected, values), strict=True):
        assert one.dtype == other.dtype
        assert np.array_equal(one, other)


@pytest.mark.parametrize("name", SHALLOW)
def test_the_layer_is_one_layer_on_integers(name: str, tmp_path: Path) -> None:
    made = compressed(*SHALLOW[name])
    path = tmp_path / "m.onnx"
    export = made.export(OnnxTarget(), path, images(made.network))
    assert [one.operator for one in export.executions] == ["QLinearConv"]
    assert (export.worst, export.free_running) == (0, 0)
    (layer,) = inspect_artifact(path)
    module = next(one for one in SHALLOW[name][1].modules() if isinstance(one, nn.Conv2d))
    assert (layer.operator, layer.weights) == ("QLinearConv", module.weight.numel())
    assert (layer.stored, layer.activations) == ("int8", "uint8")
    into, out = export.boundaries
    assert (into.before, into.after, into.place) == (("input",), (_path(made),), "input")
    assert (out.before, out.place) == ((_path(made),), "output")


def _path(made: Compressed) -> str:
    return next(str(node.meta["path"]) for node in made.network.module.graph.nodes
                if node.name in write(made.network).layers)  # fmt: skip


@pytest.mark.parametrize("name", SHALLOW)
def test_nothing_is_computed_that_nobody_reads(name: str) -> None:
    graph = write(compressed(*SHALLOW[name]).network).model.graph
    read = {one for node in graph.node for one in node.input} | {out.name for out in graph.output}
    assert all(read.intersection(node.output) for node in graph.node)


@pytest.mark.parametrize("name", OTHERS)
def test_other_layers_are_left_alone(name: str) -> None:
    network = compressed(*OTHERS[name]).network
    assert write(network).model == plain(network).model


def test_float_layers_are_left_alone() -> None:
    data = load_random((3, 13, 11), calibration=1, test=1)
    network = capture(nn.Conv2d(3, 16, 3).eval(), data.contract)
    assert write(network).model == plain(network).model


def test_an_image_that_others_read_too_stays_as_it_is(tmp_path: Path) -> None:
    made = compressed(3, Twice())
    export = made.export(OnnxTarget(), tmp_path / "m.onnx", images(made.network))
    assert {one.operator for one in export.executions} == {"QLinearConv"}
    assert export.worst == 0
    written, expected = write(made.network), plain(made.network)
    assert len(overlaid(written)) == 1
    values = images(made.network)
    pairs = zip(answers(written, values), answers(expected, values), strict=True)
    assert all(np.array_equal(one, other) for one, other in pairs)
