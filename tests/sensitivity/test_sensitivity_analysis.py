from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from edgewise.data.dataset import Dataset
from edgewise.data.random import load_random
from edgewise.errors import UsageError
from edgewise.graph.capture import capture
from edgewise.graph.network import Network
from edgewise.models.load import load_model
from edgewise.progress import silent
from edgewise.quant.scheme import Scheme
from edgewise.sensitivity import words
from edgewise.sensitivity.analysis import Analysis, Request, analyse
from edgewise.sensitivity.noise import layer_noise
from edgewise.sensitivity.simulation import quantized_pair
from edgewise.stats import Interval
from edgewise.steps.quantize import Quantize

FEW = Quantize(Scheme(3, 3))


@pytest.fixture(scope="module")
def plain(captured: Callable[[str], Network], tiny_data: Dataset) -> Analysis:
    return analyse(Request(captured("plain"), tiny_data, FEW), silent)


def test_it_ranks_by_the_measured_loss_and_says_what_to_keep_in_float(plain: Analysis) -> None:
    stored = plain.to_json()
    losses = {tuple(part["globs"]): part["change"]["loss"]["value"] for part in stored["parts"]}
    kept = [tuple(globs) for globs in stored["keep_float"]]
    assert sorted(kept) == sorted(losses)
    assert [losses[globs] for globs in kept] == sorted(losses.values(), reverse=True)
    assert [part["name"] for part in stored["parts"]] == ["body.0", "body.3", "head.1", "head.3"]
    assert stored["measured_on"]["split"] == "validation"
    assert stored["cheap_on"]["split"] == "calibration"
    assert (stored["held_out"], stored["loss"]) == (True, "cross-entropy")


def test_noise_is_that_of_every_layer(
    plain: Analysis, captured: Callable[[str], Network], tiny_data: Dataset
) -> None:
    calibration = tiny_data.split("calibration")
    pair = quantized_pair(captured("plain"), FEW, calibration, silent)
    images = torch.from_numpy(next(calibration.batches(24, pair.floats.contract)))
    noise = {one.layer: one for one in layer_noise(pair.floats, pair.quantized, images)}
    for one in plain.findings:
        assert one.alone_sqnr_db == noise[one.part.name].alone_sqnr_db
        assert one.accumulated_sqnr_db == noise[one.part.name].accumulated_sqnr_db


def test_a_regions_noise_is_its_worst_layers_and_its_weights_fit_their_sum(
    plain: Analysis, captured: Callable[[str], Network], tiny_data: Dataset
) -> None:
    regions = analyse(Request(captured("plain"), tiny_data, FEW, by="region"), silent)
    layers = {one.part.name: one for one in plain.findings}
    assert [one.part.name for one in regions.findings] == ["body", "head"]
    for region in regions.findings:
        inside = [layers[path] for path in region.part.layers]
        assert region.alone_sqnr_db == min(one.alone_sqnr_db for one in inside)
        assert region.fit_weights == pytest.approx(sum(one.fit_weights for one in inside))
        # The tensor between two layers of a region counts once.
        assert region.fit_activations < sum(one.fit_activations for one in inside)
    assert regions.whole == plain.whole
    assert set(regions.agreements.values()) == {None}  # two regions rank nothing


def test_the_same_seed_gives_the_same_analysis(
    plain: Analysis, captured: Callable[[str], Network], tiny_data: Dataset
) -> None:
    again = analyse(Request(captured("plain"), tiny_data, FEW), silent)
    assert again.to_json() == plain.to_json()


def test_progress_ends_where_it_said(
    captured: Callable[[str], Network], tiny_data: Dataset
) -> None:
    seen: dict[str, list[tuple[int, int]]] = {}

    def listen(stage: str, done: int, total: int) -> None:
        seen.setdefault(stage, []).append((done, total))

    analyse(Request(captured("plain"), tiny_data, FEW, images=8), listen)
    assert {"gradients", "quantize one at a time"} <= set(seen)
    for steps in seen.values():
        assert steps == sorted(steps)
        assert steps[-1][0] == steps[-1][1]


def test_the_bundled_network_without_labels_is_judged_by_how_far_answers_move() -> None:
    loaded = load_model("vgg16")
    assert loaded.contract is not None
    network = capture(loaded.module, loaded.contract, loaded.name)
    data = load_random((3, 32, 32), calibration=4, test=1)
    found = analyse(Request(network, data, Quantize(Scheme(2, 2)), images=2), silent)
    assert len(found.findings) == 14
    assert not found.is_held_out
    assert found.float_loss == 0
    assert all(one.change.loss.value >= -1e-9 for one in found.findings)
    assert found.whole.accuracy is None
    assert found.whole.loss.value > 0
    said = " ".join(found.warnings())
    assert "no labels" in said
    assert "no validation split" in said
    assert {name for name, rho in found.agreements.items() if rho} == {"SQNR", "FIT"}


@pytest.mark.parametrize("settings", [{"by": "block"}, {"images": 0}])
def test_what_cannot_be_analysed_is_refused(
    captured: Callable[[str], Network], tiny_data: Dataset, settings: dict[str, Any]
) -> None:
    with pytest.raises(UsageError):
        Request(captured("plain"), tiny_data, FEW, **settings)


def test_a_measure_that_ranks_badly_is_said_unless_the_order_is_chance(plain: Analysis) -> None:
    clear, unclear = Interval(1.0, 0.5, 1.5), Interval(0.1, -0.5, 0.7)
    bad, perhaps, good = Interval(0.2, 0, 0.4), Interval(0.6, 0.3, 0.8), Interval(0.9, 0.5, 1)
    assert "do not choose by it" in words.of_rank("FIT", bad)
    assert "choose by the measured loss" in words.of_rank("FIT", perhaps)
    assert words.of_rank("FIT", good) == words.of_rank("FIT", None) == ""
    assert words.of_noise([clear, clear, unclear], 9, "layer") == ""
    assert "For 2 of 3 layers" in words.of_noise([clear, unclear, unclear], 9, "layer")

    def said(loss: Interval) -> str:
        findings = tuple(
            replace(one, change=replace(one.change, loss=loss)) for one in plain.findings
        )
        return " ".join(replace(plain, findings=findings, agreements={"FIT": bad}).warnings())

    assert "FIT ranks badly" in said(clear)
    assert "FIT ranks badly" not in said(unclear)
    assert "mostly chance" in said(unclear)
