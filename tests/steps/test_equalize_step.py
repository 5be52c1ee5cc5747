import math
from collections.abc import Callable, Mapping

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from edgewise.data.dataset import Dataset, Split
from edgewise.data.preprocess import natural
from edgewise.data.registry import load as load_data
from edgewise.errors import DataError, RecipeError
from edgewise.graph.capture import capture
from edgewise.graph.layer import WeightedLayer
from edgewise.graph.network import Network
from edgewise.models.load import load_model
from edgewise.parity import predict
from edgewise.presets import FLOAT32
from edgewise.progress import silent
from edgewise.recipe import Recipe
from edgewise.steps.calibrate import Calibrate
from edgewise.steps.equalize import Equalize
from edgewise.steps.fold import Fold
from edgewise.steps.quantize import Quantize

EQUALIZED = Recipe("x", (Fold(), Equalize()))


def weights(network: Network) -> dict[str, Tensor]:
    return {layer.form.path: layer.weight.detach() for _, layer in network.layers()}


def changed(network: Network) -> set[str]:
    """Layers that Equalize changes after Fold."""
    before = weights(FLOAT32.apply(network).network)
    after = weights(EQUALIZED.apply(network).network)
    return {path for path, weight in after.items() if not torch.equal(weight, before[path])}


def assert_same_function(one: Network, other: Network, images: Tensor) -> None:
    with torch.no_grad():
        truth, found = one(images), other(images)
    assert torch.allclose(found, truth, rtol=1e-4, atol=2e-5 * float(truth.abs().max()))


def test_the_function_stays(tiny_network: Network, tiny_images: Tensor) -> None:
    assert_same_function(tiny_network, EQUALIZED.apply(tiny_network).network, tiny_images)


PAIRED: Mapping[str, set[str]] = {
    "plain": {"body.0", "body.3", "head.1", "head.3"},  # through ReLU, max pooling, flattening
    "residual": {"one.0", "two.0"},  # the stem is read twice; the sum has two sources
    "depthwise": {"body.6", "head"},  # nothing passes relu6
    "concat": {"norm", "left"},  # a BatchNorm alone is a layer too; the branches are joined
    "leaky": {"one.0", "two"},  # through a leaky ReLU, not through SiLU
}


def test_pairs_are_those_with_one_reader_and_nothing_but_homogeneous_between(
    tiny_name: str, captured: Callable[[str], Network]
) -> None:
    assert changed(captured(tiny_name)) == PAIRED[tiny_name]


def test_layers_with_batch_norm_are_left_as_they_are(captured: Callable[[str], Network]) -> None:
    network = captured("residual").copy()
    before = weights(network)
    after = weights(Equalize().apply(network, None, silent))
    assert all(after[path] is before[path] or torch.equal(after[path], before[path])
               for path in before)  # fmt: skip


def test_parameters_of_the_one_given_are_never_written_to(
    captured: Callable[[str], Network], tiny_images: Tensor
) -> None:
    folded = FLOAT32.apply(captured("plain")).network
    before = {name: value.clone() for name, value in folded.module.state_dict().items()}
    Equalize().apply(folded.copy(), None, silent)
    for name, value in folded.module.state_dict().items():
        assert torch.equal(value, before[name])


def test_a_calibration_that_no_longer_holds_is_refused(
    captured: Callable[[str], Network], tiny_data: Dataset
) -> None:
    recipe = Recipe("x", (Fold(), Calibrate(), Equalize()))
    with pytest.raises(RecipeError, match="before calibrate"):
        recipe.apply(captured("plain"), tiny_data.split("calibration"))


def test_no_sweep_is_refused() -> None:
    with pytest.raises(RecipeError, match="at least one sweep"):
        Equalize(sweeps=0)


ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU, "leaky": lambda: nn.LeakyReLU(0.1), "prelu": lambda: nn.PReLU(6),
    "none": nn.Identity, "relu6": nn.ReLU6, "tanh": nn.Tanh,
}  # fmt: skip
BETWEEN: Mapping[str, Callable[[], nn.Module]] = {
    "nothing": nn.Identity, "max": lambda: nn.MaxPool2d(2), "mean": lambda: nn.AvgPool2d(2),
    "pad": lambda: nn.ZeroPad2d(1), "pad-value": lambda: nn.ConstantPad2d(1, 0.7),
    "reflect": lambda: nn.ReflectionPad2d(1), "up": lambda: nn.Upsample(scale_factor=2),
    "dropout": lambda: nn.Dropout(0.5), "shuffle": lambda: nn.ChannelShuffle(2),
    "softmax": lambda: nn.Softmax(1), "transpose": lambda: nn.ConvTranspose2d(6, 6, 2, 2),
    "pixels": lambda: nn.Sequential(nn.PixelUnshuffle(2), nn.PixelShuffle(2)),
}  # fmt: skip
STAY = {"relu6", "tanh", "pad-value", "shuffle", "softmax", "pixels"}


def random_network(activation: str, between: str, groups: int, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    module = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), ACTIVATIONS[activation](), BETWEEN[between](),
        nn.Conv2d(6, 6, 3, padding=1, groups=groups, bias=False), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 4),
    ).eval()  # fmt: skip
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                factors = torch.exp(6 * torch.rand(len(layer.weight)) - 3)
                layer.weight *= factors.view(-1, *[1] * (layer.weight.ndim - 1))
    return module


@settings(max_examples=20)
@given(
    activation=st.sampled_from(list(ACTIVATIONS)), between=st.sampled_from(list(BETWEEN)),
    groups=st.sampled_from([1, 2, 6]), seed=st.integers(0, 99),
)  # fmt: skip
def test_the_function_of_any_network_stays_and_only_what_may_change_does(
    activation: str, between: str, groups: int, seed: int
) -> None:
    module = random_network(activation, between, groups, seed)
    network = capture(module, natural((3, 8, 8)))
    images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    made = EQUALIZED.apply(network).network
    assert_same_function(network, made, images)
    assert ("0" in changed(network)) == (not {activation, between} & STAY)
    assert "7" in changed(network)  # through the flattened map of 2 x 2


class Separable(nn.Module):
    """Depthwise and pointwise convolutions in turn, ReLU between, as MobileNet has them."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, 12, 3, padding=1), nn.ReLU()]
        for _ in range(2):
            layers += [nn.Conv2d(12, 12, 3, padding=1, groups=12), nn.ReLU()]
            layers += [nn.Conv2d(12, 12, 1), nn.ReLU()]
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(12, 4)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.body(images))  # type: ignore[no-any-return]


@torch.no_grad()
def make_unequal(module: nn.Module, seed: int, reach: float = 100.0) -> nn.Module:
    """Scale each channel of each layer, log-uniformly from 1/reach to reach, and the next layer's
    inputs back: the same function.
    """
    draw = torch.Generator().manual_seed(seed)
    kinds = (nn.Conv2d, nn.Linear, nn.BatchNorm2d)
    layers = [part for part in module.modules() if isinstance(part, kinds)]
    for one, other in zip(layers, layers[1:], strict=False):
        if isinstance(other, nn.BatchNorm2d):
            continue  # its layer's scale would vanish in it: scale it, not the layer
        scale = torch.exp(math.log(reach) * (2 * torch.rand(len(one.weight), generator=draw) - 1))
        one.weight *= scale.view(-1, *[1] * (one.weight.ndim - 1))
        assert one.bias is not None
        one.bias *= scale
        depthwise = isinstance(other, nn.Conv2d) and other.groups > 1
        axes = [-1, 1] if depthwise else [1, -1]
        other.weight /= scale.view(*axes, *[1] * (other.weight.ndim - 2))
    return module


def sqnr(network: Network, truth: Tensor, images: Tensor) -> float:
    with torch.no_grad():
        noise = network(images) - truth
    return 10 * math.log10(float(truth.square().sum() / noise.square().sum()))


def test_a_depthwise_network_of_unequal_ranges_is_made_usable(
    tiny_data: Dataset, tiny_images: Tensor
) -> None:
    torch.manual_seed(0)
    module = make_unequal(Separable().eval(), 1)
    network, split = capture(module, tiny_data.contract), tiny_data.split("calibration")
    with torch.no_grad():
        truth = network(tiny_images)
    without = Recipe("x", (Fold(), Calibrate(), Quantize())).apply(network, split).network
    recipe = Recipe("x", (Fold(), Equalize(), Calibrate(), Quantize()))
    found = sqnr(recipe.apply(network, split).network, truth, tiny_images)
    assert found > 20
    assert found > sqnr(without, truth, tiny_images) + 15


@pytest.fixture(scope="module")
def trained() -> tuple[Split, Split, Network, Network]:
    """The bundled network's data, it, and it with unequal channels."""
    try:
        data = load_data("fashion-mnist", shape=(3, 32, 32))
    except DataError as error:
        pytest.skip(f"the bundled network's data are not here: {error}")
    plain = capture(load_model("vgg16").module, data.contract)
    unequal = capture(make_unequal(load_model("vgg16").module, 0), data.contract)
    return data.split("calibration"), data.split("test").head(500), plain, unequal


def test_a_trained_network_of_unequal_channels_is_recovered(
    trained: tuple[Split, Split, Network, Network],
) -> None:
    calibration, test, plain, unequal = trained

    def accuracy(network: Network, *steps: Equalize) -> float:
        recipe = Recipe("x", (Fold(), *steps, Calibrate(), Quantize()))
        made = recipe.apply(network, calibration).network
        return float((predict(made, test, silent, "x") == test.labels).mean())

    whole = accuracy(plain)
    assert accuracy(unequal) < whole - 0.3
    assert abs(accuracy(unequal, Equalize()) - whole) <= 0.004  # two images of 500


def test_layers_stay_weighted_layers_of_the_same_form(captured: Callable[[str], Network]) -> None:
    before = FLOAT32.apply(captured("plain")).network
    after = EQUALIZED.apply(captured("plain")).network
    for (one, layer), (other, made) in zip(before.layers(), after.layers(), strict=True):
        assert one.name == other.name
        assert isinstance(made, WeightedLayer)
        assert (made.form, made.weight.shape) == (layer.form, layer.weight.shape)
        assert not made.weight.requires_grad
