"""A network that has lost channels goes through a file and back, bit by bit, as data alone."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from edgewise.data.dataset import Dataset
from edgewise.data.preprocess import natural
from edgewise.errors import ModelError
from edgewise.graph.capture import capture
from edgewise.graph.channels.groups import channel_groups
from edgewise.graph.cost import layer_costs
from edgewise.graph.cut import cut
from edgewise.graph.network import Network
from edgewise.models.builtin import build
from edgewise.models.load import Loaded, Uncut, load_model
from edgewise.models.weights import load_weights
from edgewise.pipeline.network import captured as from_loaded
from edgewise.pipeline.network import save_network
from edgewise.presets import INT8
from edgewise.recipe import Recipe
from edgewise.steps.fold import Fold
from edgewise.steps.prune_channels import PruneChannels

CONTRACT = natural((3, 8, 8))
HALF = PruneChannels(0.4, "channels", multiple=2)


def reloaded(path: Path, architecture: nn.Module, name: str = "again") -> Network:
    """By an architecture of the same kind, whose own weights are others."""
    loaded = Loaded(name, name, Uncut(architecture, load_weights(path), path))
    return from_loaded(loaded, CONTRACT)


def blank(module: nn.Module) -> nn.Module:
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    return module


@pytest.mark.parametrize("steps", [(HALF,), (HALF, Fold()), (Fold(), HALF), (HALF, HALF)],
                         ids=["pruned", "then folded", "folded before", "twice"])  # fmt: skip
def test_a_pruned_network_goes_through_a_file_and_back(
    steps: Any, tiny_name: str, tiny_network: Network, make_tiny: Callable[[str], nn.Module],
    tiny_data: Dataset, tiny_images: Tensor, tmp_path: Path,
) -> None:  # fmt: skip
    smaller = Recipe("x", steps).apply(tiny_network, tiny_data.split("calibration")).network
    save_network(smaller, tmp_path / "w.safetensors", {})
    again = reloaded(tmp_path / "w.safetensors", blank(make_tiny(tiny_name)))
    ours, theirs = smaller.module.state_dict(), again.module.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert again.cuts == smaller.cuts
    assert layer_costs(again) == layer_costs(smaller)
    with torch.no_grad():
        assert torch.equal(again(tiny_images), smaller(tiny_images))
    save_network(again, tmp_path / "again.safetensors", {})
    first, second = (tmp_path / f"{name}.safetensors" for name in ("w", "again"))
    assert first.read_bytes() == second.read_bytes()


def test_layers_that_share_their_weights_are_saved_too(tmp_path: Path) -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.same = nn.Conv2d(3, 5, 3), nn.Conv2d(5, 5, 3, padding=1)
            self.head = nn.Conv2d(5, 2, 1)

        def forward(self, images: Tensor) -> Tensor:
            return self.head(self.same(torch.relu(self.same(self.one(images)))))  # type: ignore[no-any-return]

    network = cut(capture(Twice(), CONTRACT), {"one": (0, 3)})
    save_network(network, tmp_path / "w.safetensors", {})
    again = reloaded(tmp_path / "w.safetensors", Twice())
    images = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        assert torch.equal(again(images), network(images))


@pytest.fixture(scope="module")
def vgg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pruned VGG-16 of a sixteenth of the width, as a file."""
    torch.manual_seed(0)
    options = {"width": 0.0625}
    network = capture(build("vgg16", options), natural((3, 32, 32)), "vgg16")
    groups = (group for group in channel_groups(network) if group.reason is None)
    smaller = cut(network, {group.name: range(0, group.size, 2) for group in groups})
    path = tmp_path_factory.mktemp("vgg") / "pruned.safetensors"
    save_network(smaller, path, {"name": "vgg16", "options": options})
    return path


def test_a_built_in_network_is_found_by_its_file(vgg: Path) -> None:
    loaded = load_model("vgg16", vgg)
    assert loaded.contract is not None
    assert loaded.inputs == {"weights": load_weights(vgg).digest}
    network = from_loaded(loaded, loaded.contract)
    assert [cost.output_shape[0] for cost in layer_costs(network)] == (
        [2, 2, 4, 4, 8, 8, 8, 16, 16, 16, 16, 16, 16, 10]
    )
    assert set(network.regions) == {"backbone", "head"}


def test_it_is_whole_only_as_a_graph(vgg: Path) -> None:
    loaded = load_model("vgg16", vgg)
    assert loaded.contract is not None
    with pytest.raises(ModelError, match="pruned.safetensors is of a network that has lost chan"):
        capture(loaded.module, loaded.contract)


def test_a_factory_of_the_users_takes_such_weights(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        "from torch import nn, zeros\n"
        "def make():\n"
        "    layers = nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 2, 1)\n"
        "    return nn.Sequential(*layers), zeros(1, 3, 8, 8)\n"
    )
    model = f"{tmp_path / 'net.py'}:make"
    network = cut(from_loaded(load_model(model), CONTRACT), {"0": (1, 5)})
    save_network(network, tmp_path / "w.safetensors", {})
    again = from_loaded(load_model(model, tmp_path / "w.safetensors"), CONTRACT)
    images = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        assert torch.equal(again(images), network(images))


def rewritten(
    path: Path, to: Path, header: Callable[[Any], Any] = lambda h: h,
    tensors: Callable[[Any], Any] = lambda t: t,
) -> Path:  # fmt: skip
    with safe_open(path, framework="pt") as file:
        known = json.loads(file.metadata()["edgewise"])
        values = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    to.write_bytes(save(tensors(values), {"edgewise": json.dumps(header(known))}))
    return to


FIRST = "features_0"


def without(values: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != name}


HEADERS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "no list": (lambda h: {**h, "cuts": {"a": 1}}, "its cuts are no list"),
    "no plan": (lambda h: {**h, "cuts": [7]}, "there are none"),
    "a layer less": (lambda h: {**h, "cuts": [without(h["cuts"][0], FIRST)]}, "contradicts itself"),
    "no cut": (lambda h: without(h, "cuts"), "are of another network"),
    "twice": (lambda h: {**h, "cuts": h["cuts"] * 2}, "and the channel plan keeps number"),
    "of another": (lambda h: {**h, "cuts": [{"x": h["cuts"][0][FIRST]}]}, "names 'x', and the net"),
    "other options": (
        lambda h: {
            **h,
            "model": {"name": "vgg16", "options": {"width": 0.0625, "batch_norm": False}},
        },
        "and the network has no such layer",
    ),
}


@pytest.mark.parametrize("case", HEADERS)
def test_a_plan_that_is_not_of_this_network_is_refused(
    case: str, vgg: Path, tmp_path: Path
) -> None:
    change, match = HEADERS[case]
    path = rewritten(vgg, tmp_path / "w.safetensors", header=change)
    with pytest.raises(ModelError, match=match) as error:
        from_loaded(load_model("vgg16", path), natural((3, 32, 32)))
    assert str(path) in str(error.value)


@pytest.mark.parametrize("case", ["less", "more", "shape", "bias"])
def test_tensors_that_are_not_of_the_plan_are_refused(case: str, vgg: Path, tmp_path: Path) -> None:
    changes: dict[str, Callable[[Any], Any]] = {
        "less": lambda t: without(t, f"{FIRST}.weight"),
        "more": lambda t: {**t, "more": torch.zeros(1)},
        "shape": lambda t: {**t, f"{FIRST}.weight": torch.zeros(4, 3, 3, 3)},
        "bias": lambda t: {**t, f"{FIRST}.bias": torch.zeros(5)},
    }
    path = rewritten(vgg, tmp_path / "w.safetensors", tensors=changes[case])
    with pytest.raises(ModelError, match="are of another network"):
        from_loaded(load_model("vgg16", path), natural((3, 32, 32)))


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_file_that_is_cut_short_is_refused(share: float, vgg: Path, tmp_path: Path) -> None:
    content = vgg.read_bytes()
    path = tmp_path / "w.safetensors"
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ModelError, match="not whole safetensors"):
        load_model("vgg16", path)


def test_a_quantized_network_is_not_saved(
    captured: Callable[[str], Network], tiny_data: Dataset, tmp_path: Path
) -> None:
    made = INT8.apply(captured("plain"), tiny_data.split("calibration")).network
    with pytest.raises(ModelError, match=r"'body_0' of plain is no layer in float|no layer in flo"):
        save_network(made, tmp_path / "w.safetensors", {})
    assert not list(tmp_path.iterdir())
