from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from edgewise.data.preprocess import natural
from edgewise.errors import RecipeError
from edgewise.graph.capture import capture
from edgewise.graph.network import Network
from edgewise.presets import FLOAT32, INT8_DYNAMIC
from edgewise.progress import silent
from edgewise.quant.dynamic import DynamicLayer
from edgewise.recipe import Recipe
from edgewise.steps.dynamic import Dynamic
from edgewise.steps.fold import Fold
from edgewise.targets.onnx.target import OnnxTarget


def dynamic(network: Network) -> dict[str, DynamicLayer]:
    return {
        layer.form.path: layer
        for layer in network.module.modules()
        if isinstance(layer, DynamicLayer)
    }


def test_every_layer_is_replaced_and_the_answers_stay_near(
    tiny_network: Network, tiny_images: Tensor
) -> None:
    made = INT8_DYNAMIC.apply(tiny_network).network
    floats = FLOAT32.apply(tiny_network).network
    assert dynamic(made).keys() == {layer.form.path for _, layer in floats.layers()}
    with torch.no_grad():
        ours, whole = made(tiny_images), floats(tiny_images)
    assert 0 < float((ours - whole).abs().max()) < 0.03 * float(whole.abs().max())


def test_an_answer_does_not_depend_on_the_other_images(
    tiny_network: Network, tiny_images: Tensor
) -> None:
    made = INT8_DYNAMIC.apply(tiny_network).network
    with torch.no_grad():
        alone = made(tiny_images[:1])
        scaled = torch.cat([tiny_images[:1], 100 * tiny_images[1:]])
        assert torch.allclose(made(scaled)[:1], alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("globs", "left"),
    [
        (("head.*",), ["body.0", "body.3"]),
        (("head",), ["body.0", "body.3"]),  # a region
        (("body.0", "head.1"), ["body.3", "head.3"]),
        (("body.2", "head.3"), ["body.0", "body.3", "head.1"]),  # an activation has no weights
    ],
)
def test_layers_that_globs_keep_stay_as_they_are(
    globs: tuple[str, ...], left: list[str], captured: Callable[[str], Network]
) -> None:
    recipe = Recipe("x", (Fold(), Dynamic())).with_kept_float(globs)
    made = recipe.apply(captured("plain")).network
    assert dynamic(made).keys() == set(left)
    kept = {layer.form.path for _, layer in made.layers()}
    assert kept == {"body.0", "body.3", "head.1", "head.3"} - set(left)


def test_a_glob_that_names_nothing_or_everything_is_refused(
    captured: Callable[[str], Network],
) -> None:
    with pytest.raises(RecipeError, match="is called 'haed'"):
        Dynamic(("haed",)).apply(captured("plain").copy(), None, silent)
    with pytest.raises(RecipeError, match="no layer is left to quantize"):
        Dynamic(("*",)).apply(captured("plain").copy(), None, silent)
    with pytest.raises(RecipeError, match="tuple of globs"):
        Dynamic("head.*")  # type: ignore[arg-type]


def test_a_transposed_convolution_stays_in_float(tiny_images: Tensor, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.ConvTranspose2d(4, 2, 2, stride=2))
    made = INT8_DYNAMIC.apply(capture(module, natural((3, 8, 8))))
    assert [*dynamic(made.network)] == ["0"]
    export = made.export(OnnxTarget(), tmp_path / "m.onnx", tiny_images)
    assert [(one.layer, one.integer, one.meant) for one in export.executions] == [
        ("0", True, True), ("2", False, False),
    ]  # fmt: skip
    alone = nn.Sequential(nn.ConvTranspose2d(3, 2, 2))
    with pytest.raises(RecipeError, match="no layer is left to quantize"):
        INT8_DYNAMIC.apply(capture(alone, natural((3, 8, 8))))


class Windows(nn.Module):
    """Parts of an image side by side along the first axis, as attention in windows has them."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(6, 6)
        self.head = nn.Linear(192, 4)

    def forward(self, images: Tensor) -> Tensor:
        batch = images.shape[0]
        parts = images.reshape(batch * 4, 8, 6) * 1.5
        return self.head(torch.relu(self.mix(parts)).reshape(batch, 192))  # type: ignore[no-any-return]


def test_parts_of_one_image_share_its_range(tiny_images: Tensor, tmp_path: Path) -> None:
    torch.manual_seed(0)
    made = INT8_DYNAMIC.apply(capture(Windows(), natural((3, 8, 8))))
    assert {path: layer.rows for path, layer in dynamic(made.network).items()} == {
        "mix": 4, "head": 1,
    }  # fmt: skip
    export = made.export(OnnxTarget(), tmp_path / "m.onnx", tiny_images)
    assert export.integer_share == 1
    assert export.float_error < 1e-5
