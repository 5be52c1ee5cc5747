"""Float, 8 bits and fewer in one network: every layer is what was asked, and nothing else is."""

from collections.abc import Callable
from glob import escape
from math import prod
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper
from target_kinds import ONNX
from target_rounding import rounded_operations
from torch import Tensor, nn
from torch.nn import functional as F

from edgewise.data.dataset import Dataset, Split
from edgewise.data.preprocess import natural
from edgewise.data.splits import array_split
from edgewise.errors import ExportError
from edgewise.graph.capture import capture
from edgewise.graph.network import Network
from edgewise.models.vgg import VGG16
from edgewise.presets import INT8
from edgewise.progress import silent
from edgewise.quant.scheme import Scheme
from edgewise.recipe import Compressed, Recipe
from edgewise.steps.calibrate import Calibrate
from edgewise.steps.fold import Fold
from edgewise.steps.quantize import Quantize
from edgewise.targets.onnx import session
from edgewise.targets.onnx.audit import audit
from edgewise.targets.onnx.target import OnnxTarget
from edgewise.targets.onnx.writer import Written, _Writer, write
from edgewise.targets.target import Boundary, Export

SCHEMES = ("float", "w8a8", "w4a8", "w4a4", "w2a8", "w2a2")
CHAINS = ("plain", "vgg")
NETWORKS = ("plain", "residual", "depthwise", "concat", "leaky", "vgg")
FLOAT_KERNELS = {"Conv", "FusedConv", "Gemm", "FusedGemm"}
STORED = {8: ("codes", "INT8"), 4: ("packed", "INT4"), 2: ("packed", "INT2")}

Ready = Callable[[str], tuple[Network, Split]]


@pytest.fixture(scope="session")
def ready(captured: Callable[[str], Network], tiny_data: Dataset) -> Ready:
    """A tiny network, or a thin VGG-16, folded and calibrated once: for reading only."""
    known: dict[str, tuple[Network, Split]] = {}

    def find(name: str) -> tuple[Network, Split]:
        if name not in known:
            split, network = tiny_data.split("calibration"), None
            if name == "vgg":
                torch.manual_seed(0)
                network = capture(VGG16(width=1 / 32).eval(), natural((3, 32, 32)), name)
                pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
                split = array_split("calibration", pixels, None)
            folded = Fold().apply((network or captured(name)).copy(), None, silent)
            known[name] = Calibrate().apply(folded, split, silent), split
        return known[name]

    return find


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("partial")


def images_of(network: Network, split: Split) -> Tensor:
    return torch.from_numpy(next(split.batches(2, network.contract)))


def paths_of(network: Network) -> list[str]:
    return [layer.form.path for _, layer in network.layers()]


def compressed(ready: Ready, name: str, asked: dict[str, str]) -> Compressed:
    network, split = ready(name)
    floats = tuple(escape(path) for path, scheme in asked.items() if scheme == "float")
    mixed = tuple(f"{escape(path)}={scheme}" for path, scheme in asked.items() if scheme != "float")
    recipe = Recipe("mix", (Quantize(ranges="min-max", keep_float=floats, mixed=mixed),))
    return recipe.apply(network, split)


@st.composite
def assignments(draw: st.DrawFn, ready: Ready) -> tuple[str, dict[str, str]]:
    """A network, and a scheme for each of its layers; not all of them float."""
    name = draw(st.sampled_from(NETWORKS))
    paths = paths_of(ready(name)[0])
    schemes = draw(st.lists(st.sampled_from(SCHEMES), min_size=len(paths), max_size=len(paths)))
    schemes[draw(st.integers(0, len(paths) - 1))] = draw(st.sampled_from(SCHEMES[1:]))
    return name, dict(zip(paths, schemes, strict=True))


@settings(max_examples=24, derandomize=True)
@given(data=st.data())
def test_any_mix_of_float_and_integers_is_what_was_asked(
    data: st.DataObject, ready: Ready, folder: Path
) -> None:
    name, asked = data.draw(assignments(ready))
    network, split = ready(name)
    made = compressed(ready, name, asked)
    export = made.export(OnnxTarget(), folder / "m.onnx", images_of(network, split))
    for entry in export.executions:
        is_float = asked[entry.layer] == "float"
        assert entry.integer == entry.meant == (not is_float)
        assert not is_float or entry.operator in FLOAT_KERNELS
    rounded = rounded_operations(made.network)
    for check in export.checks:
        assert check.worst <= (0 if rounded[check.tensor] in ONNX.exact else 1)
    stored_as_asked(network, export.path, asked)
    if name in CHAINS:
        assert_boundaries_of_a_chain(network, export, asked)


def stored_as_asked(network: Network, path: Path, asked: dict[str, str]) -> None:
    """Integer weights in their bits, float ones as they were, bit by bit."""
    stored = {init.name: init for init in onnx.load(path).graph.initializer}
    for node, layer in network.layers():
        scheme = asked[layer.form.path]
        if scheme != "float":
            role, kind = STORED[Scheme.parse(scheme).weight_bits]
            weight = stored[f"{node.name}.weight.{role}"]
            assert onnx.TensorProto.DataType.Name(weight.data_type) == kind
            continue
        for role, values in zip(("weight", "bias"), layer.folded(), strict=True):
            if values is not None:
                exact = numpy_helper.to_array(stored[f"{node.name}.{role}"])
                assert exact.tobytes() == values.detach().numpy().tobytes()


def assert_boundaries_of_a_chain(network: Network, export: Export, asked: dict[str, str]) -> None:
    """They stand where neighbours differ: after the first of the two, or before the second."""
    nodes = {layer.form.path: node for node, layer in network.layers()}
    chain = list(nodes)
    image, answer = prod(network.contract.shape), values_after(nodes[chain[-1]])
    expected = []
    if asked[chain[0]] != "float":
        expected.append((("input",), (chain[0],), image, True, "input"))
    for one, two in zip(chain, chain[1:], strict=False):
        if asked[one] == "float" and asked[two] != "float":
            expected.append(((one,), (two,), values_after(nodes[one]), True, "inside"))
        elif asked[one] != "float" and asked[two] == "float":
            before = values_after(nodes[two].all_input_nodes[0])
            expected.append(((one,), (two,), before, False, "inside"))
    if asked[chain[-1]] != "float":
        expected.append(((chain[-1],), ("output",), answer, False, "output"))
    found = [(b.before, b.after, b.elements, b.integer, b.place) for b in export.boundaries]
    assert found == expected


def values_after(node: torch.fx.Node) -> int:
    return prod(node.meta["shape"][1:])


def test_a_network_of_integers_has_no_boundaries_inside(
    tiny_int8: Compressed, tiny_images: Tensor, tmp_path: Path
) -> None:
    export = tiny_int8.export(OnnxTarget(), tmp_path / "m.onnx", tiny_images)
    first, *inside, last = export.boundaries
    assert (first.place, first.tensor, first.before) == ("input", "quantizer_0", ("input",))
    assert (last.place, last.integer, last.after) == ("output", False, ("output",))
    # But around a mean over rows and columns, which the runtime computes in float.
    mean = [("mean" in one.after + one.before, one.integer, one.place) for one in inside]
    assert mean in ([], [(True, False, "inside"), (True, True, "inside")])
    assert not any(node.name.endswith(".float") for node in onnx.load(export.path).graph.node)


def test_boundaries_are_stored(ready: Ready, tmp_path: Path) -> None:
    made = compressed(ready, "plain", {"body.3": "float"})
    network, split = ready("plain")
    export = made.export(OnnxTarget(), tmp_path / "m.onnx", images_of(network, split))
    assert export.boundaries[1] == Boundary(
        "quantizer_1", ("body.0",), ("body.3",), 6 * 8 * 8, integer=False, place="inside"
    )
    assert export.to_json()["boundaries"][1]["after"] == ("body.3",)


class Every(nn.Module):
    """Each kind of layer whose weights the runtime rounds by itself, between integer ones."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.wider = nn.ConvTranspose2d(4, 5, 2, stride=2)
        self.middle = nn.Conv2d(5, 4, 1, bias=False)
        self.bounded = nn.Conv2d(4, 4, 3, stride=4)
        self.after = nn.Conv2d(4, 4, 1)
        self.lines = nn.Linear(4, 6)
        self.between = nn.Linear(96, 8)
        self.flat = nn.Linear(8, 5)
        self.last = nn.Linear(5, 3)

    def forward(self, images: Tensor) -> Tensor:
        wide = F.relu(self.wider(self.first(images)))
        narrow = torch.clamp(self.bounded(self.middle(wide)), -1.0, 2.0)
        flat = F.relu6(self.flat(self.between(self.lines(self.after(narrow)).flatten(1))))
        return self.last(flat)  # type: ignore[no-any-return]


KEPT = ("wider", "bounded", "lines", "flat")


def partly_float(tiny_data: Dataset, kept: tuple[str, ...] = KEPT) -> Compressed:
    torch.manual_seed(0)
    network = capture(Every().eval(), tiny_data.contract)
    return INT8.with_kept_float(kept).apply(network, tiny_data.split("calibration"))


def test_every_kind_of_layer_stays_in_float_between_integers(
    tiny_data: Dataset, tiny_images: Tensor, tmp_path: Path
) -> None:
    made = partly_float(tiny_data)
    export = made.export(OnnxTarget(), tmp_path / "m.onnx", tiny_images)
    assert {entry.layer for entry in export.executions if not entry.integer} == set(KEPT)
    assert export.worst == 0
    after = {entry.layer: entry.operator for entry in export.executions}
    assert after["flat"] == "FusedGemm", "the slope of 1 is computed within the layer"


@pytest.mark.parametrize("layer", ["wider", "bounded", "flat"])
def test_weights_that_the_runtime_would_round_by_itself_are_an_error(
    layer: str, tiny_data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = partly_float(tiny_data, tuple({layer, "wider", "lines"}))
    real = _Writer._kept_float

    def without(writer: _Writer, name: str) -> str:
        return name if name == layer else real(writer, name)

    monkeypatch.setattr(_Writer, "_kept_float", without)
    written: Written = write(made.network)
    optimized = session.optimized(written.model, tmp_path)
    with pytest.raises(ExportError, match=f"round the weights of {layer} to integers"):
        audit(made.network, written, optimized.graph)
