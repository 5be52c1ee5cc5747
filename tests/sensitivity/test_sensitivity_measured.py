from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from edgewise.data.dataset import Dataset
from edgewise.data.preprocess import Preprocessing
from edgewise.data.splits import array_split
from edgewise.errors import DataError
from edgewise.graph.capture import capture
from edgewise.graph.histogram import Histogram
from edgewise.graph.network import Network
from edgewise.progress import silent
from edgewise.quant.scheme import Scheme
from edgewise.sensitivity import loss
from edgewise.sensitivity.fit import fit_terms
from edgewise.sensitivity.measured import Scores, changes, resampled, score
from edgewise.sensitivity.parts import by_layer
from edgewise.sensitivity.sample import spread
from edgewise.sensitivity.simulation import Pair, quantized_pair
from edgewise.steps.quantize import Quantize


def pair_of(network: Network, data: Dataset, scheme: Scheme) -> Pair:
    return quantized_pair(network, Quantize(scheme), data.split("calibration"), silent)


class Exact(nn.Module):
    """A layer on integers within 8 bits, and one whose weights no grid holds."""

    def __init__(self) -> None:
        super().__init__()
        self.exact = nn.Conv2d(3, 2, 1, bias=False)
        self.rough = nn.Linear(32, 4)

    def forward(self, images: Tensor) -> Tensor:
        return self.rough(torch.relu(self.exact(images)).flatten(1))  # type: ignore[no-any-return]


def test_a_layer_that_eight_bits_hold_exactly_costs_nothing() -> None:
    """Pixels of 0 and 1, weights of 127 and 0: products lie on the grid of 0 to 255."""
    torch.manual_seed(0)
    module = Exact()
    module.exact.weight.data = torch.tensor([[127.0, 0, 0], [0, 127, 127]])[:, :, None, None]
    contract = Preprocessing(4, 4, 3, (0.0,) * 3, (1 / 255,) * 3)
    network = capture(module, contract)
    names = {node.name: node for node in network.module.graph.nodes}
    grid, free = torch.tensor([0.0, 255.0]), torch.randn(100)
    ranges = {name: Histogram.of(free if name == "rough" else grid) for name in names}
    quantized = Quantize(ranges="min-max").apply(
        replace(network.copy(), ranges=ranges), None, silent
    )
    pixels = np.random.default_rng(0).integers(0, 2, (6, 4, 4, 3)).astype(np.uint8)
    split = array_split("test", pixels, np.arange(6) % 4)
    pair = Pair(network, quantized)
    parts = by_layer(quantized)
    scores = score(pair, parts, split, silent)
    exact, rough, _ = changes(scores, 0)
    assert (exact.loss.value, exact.loss.low, exact.loss.high) == (0, 0, 0)
    assert (exact.standard_error, exact.agreement) == (0, 1)
    assert rough.standard_error > 0
    terms = fit_terms(pair, split, silent)
    assert sum(terms[name].fit for name in parts[0].nodes) == 0
    assert sum(terms[name].fit for name in parts[1].nodes) > 0


@pytest.mark.parametrize("labelled", [True, False])
def test_scores_are_by_definition_and_paired(
    captured: Callable[[str], Network], tiny_data: Dataset, labelled: bool
) -> None:
    pair = pair_of(captured("plain"), tiny_data, Scheme(3, 3))
    split = tiny_data.split("validation")
    split = split if labelled else replace(split, labels=None)
    scores = score(pair, by_layer(pair.quantized), split, silent)
    images = torch.from_numpy(next(split.batches(len(split), pair.floats.contract)))
    with torch.no_grad():
        floats, whole = pair.floats(images).double(), pair.quantized(images).double()
    assert scores.losses.shape == scores.classes.shape == (6, 16)
    for row, outputs in ((0, floats), (-1, whole)):
        if split.labels is not None:
            picked = outputs.log_softmax(1)[torch.arange(16), torch.from_numpy(split.labels)]
            expected = -picked
        else:
            p, q = floats.softmax(1), outputs.softmax(1)
            expected = (p * (p / q).log()).sum(1)
        np.testing.assert_allclose(scores.losses[row], expected.numpy(), atol=1e-9)
        assert scores.classes[row].tolist() == outputs.argmax(1).tolist()
    *_, last = changes(scores, 0)
    assert last.loss.value == pytest.approx(scores.increases[-1].mean())
    assert (last.accuracy is None) is not labelled
    if last.accuracy is not None and split.labels is not None:
        right = (scores.classes == split.labels).mean(axis=1)
        assert last.accuracy.value == pytest.approx(right[-1] - right[0])


@given(st.integers(2, 40), st.integers(1, 4), st.integers(0, 5))
def test_intervals_hold_the_mean_and_move_with_it(images: int, parts: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    losses = draw.normal(size=(parts + 1, images))
    answers = np.zeros((parts + 1, images), dtype=np.int64)
    found = changes(Scores(losses, answers, None), seed)
    moved = losses + 3 * (np.arange(parts + 1)[:, None] > 0)
    for one, other, row in zip(
        found, changes(Scores(moved, answers, None), seed), losses[1:] - losses[0], strict=True
    ):
        assert one.loss.low <= one.loss.value <= one.loss.high
        assert one.standard_error == pytest.approx(row.std(ddof=1) / np.sqrt(images))
        assert other.loss.low == pytest.approx(one.loss.low + 3)
        assert other.standard_error == pytest.approx(one.standard_error)
        assert one.agreement == 1
    means = resampled(losses[1:] - losses[0], seed)
    assert means.shape == (2000, parts)
    assert np.array_equal(means, resampled(losses[1:] - losses[0], seed))


def test_resamples_scatter_as_the_standard_error_says() -> None:
    losses = np.random.default_rng(0).normal(size=(1, 400))
    scatter = resampled(losses, 1).std()
    assert scatter == pytest.approx(losses.std() / 20, rel=0.1)


def test_one_image_has_a_loss_and_no_error(
    captured: Callable[[str], Network], tiny_data: Dataset
) -> None:
    pair = pair_of(captured("plain"), tiny_data, Scheme(4, 4))
    split = tiny_data.split("validation").head(1)
    *_, whole = changes(score(pair, by_layer(pair.quantized), split, silent), 0)
    assert whole.standard_error == 0
    assert whole.loss.low == whole.loss.value == whole.loss.high


def test_labels_beyond_the_scores_are_refused() -> None:
    outputs = torch.zeros(2, 3)
    with pytest.raises(DataError, match="labels go from 0 to 3 and the network gives 3 scores"):
        loss.losses(outputs, outputs, torch.tensor([0, 3]))


def test_divergence_is_none_from_itself_and_sees_no_shift() -> None:
    torch.manual_seed(0)
    one, other = torch.randn(5, 7), torch.randn(5, 7)
    assert loss.losses(one, one, None).abs().max() < 1e-12
    apart = loss.losses(other, one, None)
    assert bool((apart > 0).all())
    torch.testing.assert_close(apart, loss.losses(other + 3, one - 2, None), rtol=1e-5, atol=1e-6)
    expected = [F.kl_div(b.double().log_softmax(0), a.double().softmax(0), reduction="sum")
                for a, b in zip(one, other, strict=True)]  # fmt: skip
    torch.testing.assert_close(apart, torch.stack(expected))


@given(st.integers(1, 30), st.integers(1, 40))
def test_images_are_spread_evenly_and_keep_their_labels(whole: int, wanted: int) -> None:
    pixels = np.arange(whole, dtype=np.uint8)[:, None, None, None].repeat(3, 3)
    split = array_split("a", pixels, np.arange(whole))
    found = spread(split, wanted)
    count = min(whole, wanted)
    assert len(found) == len(found.images) == count
    read = found.images.read(0, 1000)[:, 0, 0, 0].tolist()
    assert found.labels is not None
    assert read == found.labels.tolist()
    assert read[0] == 0
    gaps = {b - a for a, b in zip(read, [*read[1:], whole], strict=True)}
    assert max(gaps) - min(gaps) <= 1
    parts = [found.images.read(start, start + 2) for start in range(0, count, 2)]
    assert np.concatenate(parts)[:, 0, 0, 0].tolist() == read
    assert (found.digest == split.digest) is (wanted >= whole)


def test_images_that_are_not_finite_are_refused(
    captured: Callable[[str], Network], tiny_data: Dataset
) -> None:
    pair = pair_of(captured("plain"), tiny_data, Scheme(4, 4))
    pixels = np.zeros((2, 3, 8, 8), np.float32)
    pixels[1, 0, 0, 0] = np.nan
    contract = Preprocessing(8, 8, 3, (0.0,) * 3, (1.0,) * 3, "float32")
    pair = Pair(replace(pair.floats, contract=contract), pair.quantized)
    split = array_split("odd", pixels, None)
    with pytest.raises(DataError, match="image 1 of odd holds values that are not finite"):
        score(pair, by_layer(pair.quantized), split, silent)
