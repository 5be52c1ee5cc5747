from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from edgewise.data.preprocess import natural
from edgewise.graph.capture import capture
from edgewise.graph.detector import output_layers, propose_regions
from edgewise.graph.regions import region_of
from edgewise.models.yolov3 import YOLOv3
from edgewise.models.yolov3_tiny import YOLOv3Tiny


class Shapes(fx.Interpreter):
    """Leaves the shape of every tensor where capture does."""

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        n.meta["shape"] = tuple(result.shape) if isinstance(result, Tensor) else None
        return result


def traced(module: nn.Module, side: int = 64) -> fx.GraphModule:
    graph = fx.symbolic_trace(module.eval())
    with torch.no_grad():
        Shapes(graph).run(torch.zeros(1, 3, side, side))
    return graph


def conv(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, size, stride, size // 2), nn.ReLU())


class Bottleneck(nn.Module):
    """A residual block that is narrow inside, with a projection."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.narrow = conv(inputs, outputs // 4, 1)
        self.wide = nn.Conv2d(outputs // 4, outputs, 3, 2, 1)
        self.project = nn.Conv2d(inputs, outputs, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.wide(self.narrow(x)) + self.project(x))


class Pyramid(nn.Module):
    """Sums of laterals and enlarged maps, smoothed; two branches on each of three scales.

    shared: the branches have the same weights on every scale.
    """

    def __init__(self, shared: bool) -> None:
        super().__init__()
        self.stages = nn.ModuleList(Bottleneck(3 * 4**i, 3 * 4 ** (i + 1)) for i in range(4))
        self.laterals = nn.ModuleList(nn.Conv2d(3 * 4**i, 8, 1) for i in (2, 3, 4))
        self.smooth = nn.ModuleList(conv(8, 8) for _ in range(3))
        count = 1 if shared else 3
        self.classes = nn.ModuleList(self.branch(5) for _ in range(count))
        self.boxes = nn.ModuleList(self.branch(4) for _ in range(count))

    def branch(self, outputs: int) -> nn.Sequential:
        return nn.Sequential(conv(8, 8), conv(8, 8), nn.Conv2d(8, outputs, 1))

    def forward(self, images: Tensor) -> list[Tensor]:
        features, x = [], images
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        maps = [lateral(x) for lateral, x in zip(self.laterals, features[1:], strict=True)]
        for finer in (1, 0):
            maps[finer] = maps[finer] + F.interpolate(maps[finer + 1], scale_factor=2.0)
        found = []
        for i in (2, 1, 0):
            smooth = self.smooth[i](maps[i])
            number = i if len(self.classes) > 1 else 0
            found += [self.classes[number](smooth), self.boxes[number](smooth)]
        return found


class SingleShot(nn.Module):
    """A map of every stage, and nothing between (Liu et al. 2016)."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = conv(3, 8, 3, 2), conv(8, 16, 3, 2), conv(16, 8, 3, 2)
        self.maps = nn.ModuleList(nn.Conv2d(channels, 6, 3, 1, 1) for channels in (8, 16, 8))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        one = self.one(images)
        two = self.two(one)
        three = self.three(two)
        features = (one, two, three)
        return {
            str(i): each(x) for i, (each, x) in enumerate(zip(self.maps, features, strict=True))
        }


def conv_paths(module: nn.Module) -> list[str]:
    return [path for path, one in module.named_modules() if isinstance(one, nn.Conv2d)]


def by_declaration(module: nn.Module, regions: Mapping[str, Sequence[str]]) -> dict[str, set[str]]:
    globs = {name: tuple(each) for name, each in regions.items()}
    paths = conv_paths(module)
    return {name: {path for path in paths if region_of(path, globs) == name} for name in globs}


@pytest.mark.parametrize(
    "module",
    [YOLOv3(0.05), YOLOv3(0.25, (1, 1, 2, 2, 1)), YOLOv3Tiny(0.1), YOLOv3Tiny(0.25, classes=3)],
    ids=["yolov3", "yolov3-short", "tiny", "tiny-3"],
)
def test_what_darknets_detectors_declare_is_what_their_graphs_say(module: nn.Module) -> None:
    graph = traced(module)
    proposed = propose_regions(graph)
    declared: Any = module.edgewise_regions
    expected = by_declaration(module, declared)
    assert {region: set(paths) for region, paths in proposed.items()} == expected
    maps = len(graph(torch.zeros(1, 3, 64, 64)))
    assert output_layers(graph) == tuple(f"head.{number}.output" for number in range(maps))


@pytest.mark.parametrize("shared", [False, True])
def test_a_pyramid_of_sums_with_two_branches(shared: bool) -> None:
    module = Pyramid(shared)
    graph = traced(module)
    regions = {
        "backbone": ["stages"], "neck": ["laterals", "smooth"], "head": ["classes", "boxes"],
    }  # fmt: skip
    proposed = propose_regions(graph)
    assert {name: set(paths) for name, paths in proposed.items()} == by_declaration(module, regions)
    ends = {path for path in conv_paths(module) if path.startswith(("classes", "boxes"))}
    assert set(output_layers(graph)) == {path for path in ends if path.endswith(".2")}


def test_a_detector_without_a_neck() -> None:
    proposed = propose_regions(traced(SingleShot()))
    assert proposed == {
        "backbone": ("one.0", "two.0", "three.0"),
        "head": ("maps.0", "maps.1", "maps.2"),
    }


def test_one_output_is_no_detector() -> None:
    graph = traced(conv(3, 4))
    assert propose_regions(graph) == {}
    assert output_layers(graph) == ("0",)


def test_two_outputs_that_share_their_last_layer() -> None:
    class Halves(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.last = conv(3, 4), nn.Conv2d(4, 6, 1)

        def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
            both = self.last(self.body(images))
            return both[:, :3], both[:, 3:]

    graph = traced(Halves())
    assert output_layers(graph) == ("last",)
    assert propose_regions(graph) == {"backbone": ("body.0", "last")}


class Branches(nn.Module):
    """Two outputs: maps, or numbers of each image."""

    def __init__(self, maps: bool) -> None:
        super().__init__()
        self.stem, self.maps = conv(3, 4), maps
        self.first, self.second = nn.Conv2d(4, 2, 1), nn.Conv2d(4, 3, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        found = self.stem(x)
        first, second = self.first(found), self.second(found)
        return (first, second) if self.maps else (first.mean((2, 3)), second.mean((2, 3)))


class DeclaresNone(Branches):
    edgewise_outputs = ()


class DeclaresRegions(Branches):
    edgewise_regions = {"all": ("*",)}  # noqa: RUF012


def test_capture_proposes_what_a_detector_does_not_declare() -> None:
    heads = ("first", "second")
    for module, regions, outputs, proposed in (
        (Branches(True), {"head", "backbone"}, heads, {"regions", "float_outputs"}),
        (Branches(False), set(), (), set()),
        (DeclaresNone(True), {"head", "backbone"}, (), {"regions"}),
        (DeclaresRegions(True), {"all"}, heads, {"float_outputs"}),
        (conv(3, 4), set(), (), set()),
    ):
        network = capture(module, natural((3, 8, 8)))
        assert set(network.regions) == regions
        assert network.float_outputs == outputs
        assert network.proposed == proposed
