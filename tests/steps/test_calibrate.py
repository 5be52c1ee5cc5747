from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, fx, nn

from edgewise.data.dataset import Dataset
from edgewise.data.preprocess import finished
from edgewise.data.splits import array_split
from edgewise.errors import DataError, RecipeError
from edgewise.graph.capture import capture
from edgewise.graph.histogram import Histogram
from edgewise.graph.network import Network, operation
from edgewise.progress import silent
from edgewise.quant.placement import PASS
from edgewise.steps.calibrate import Calibrate


def calibrated(network: Network, data: Dataset, **settings: int) -> dict[str, Histogram]:
    step = Calibrate(**settings)
    return dict(step.apply(network.copy(), data.split("calibration"), silent).ranges)


def test_neither_batch_size_nor_order_of_images_changes_what_is_seen(
    captured: Callable[[str], Network], tiny_data: Dataset
) -> None:
    # A network whose sums do not depend on the batch: only then can ranges be equal to the bit.
    network = captured("plain")
    whole = calibrated(network, tiny_data, batch_size=24)
    split = tiny_data.split("calibration")
    turned = array_split("calibration", split.images.read(0, 24)[::-1], None)
    backwards = Calibrate(batch_size=24).apply(network.copy(), turned, silent).ranges
    assert backwards.keys() == whole.keys()
    for ours, theirs in ((whole["images"], backwards["images"]),):
        assert (ours.low, ours.high) == (theirs.low, theirs.high)
        assert torch.equal(ours.counts, theirs.counts)
    for size in (1, 7, 100):
        parts = calibrated(network, tiny_data, batch_size=size)
        assert torch.equal(parts["images"].counts, whole["images"].counts)
        for name, seen in parts.items():
            assert seen.low == pytest.approx(whole[name].low, rel=1e-4, abs=1e-5)
            assert seen.high == pytest.approx(whole[name].high, rel=1e-4, abs=1e-5)
            assert int(seen.counts.sum()) == int(whole[name].counts.sum())


def test_every_value_of_every_tensor_is_counted(tiny_network: Network, tiny_data: Dataset) -> None:
    class Recorder(fx.Interpreter):
        def run_node(self, n: fx.Node) -> object:
            result = super().run_node(n)
            if isinstance(result, Tensor):
                values.setdefault(n.name, result)
            return result

    values: dict[str, Tensor] = {}
    split = tiny_data.split("calibration")
    images = torch.from_numpy(next(split.batches(24, tiny_data.contract)))
    with torch.no_grad():
        Recorder(tiny_network.module).run(images)
    for name, seen in calibrated(tiny_network, tiny_data, batch_size=24).items():
        assert (seen.low, seen.high) == (float(values[name].min()), float(values[name].max()))
        assert int(seen.counts.sum()) == values[name].numel()


def test_nothing_that_only_moves_values_is_watched(
    tiny_network: Network, tiny_data: Dataset
) -> None:
    seen = calibrated(tiny_network, tiny_data)
    kinds = {n.name: operation(tiny_network.module, n) for n in tiny_network.module.graph.nodes}
    assert not {kinds[name] for name in seen} & (PASS | {"output", "constant"})
    assert "input" in {kinds[name] for name in seen}


def test_only_as_many_images_as_asked_for(
    captured: Callable[[str], Network], tiny_data: Dataset
) -> None:
    for images, counted in ((1, 1), (5, 5), (24, 24), (1000, 24)):
        seen = calibrated(captured("plain"), tiny_data, images=images)["images"]
        assert int(seen.counts.sum()) == counted * 3 * 8 * 8


def test_calibrating_again_starts_anew(
    captured: Callable[[str], Network], tiny_data: Dataset
) -> None:
    split = tiny_data.split("calibration")
    once = Calibrate(images=5).apply(captured("plain").copy(), split, silent)
    again = Calibrate(images=5).apply(once, split, silent)
    assert torch.equal(again.ranges["images"].counts, once.ranges["images"].counts)


def test_progress_ends_at_the_number_of_images(
    captured: Callable[[str], Network], tiny_data: Dataset
) -> None:
    calls: list[tuple[str, int, int]] = []
    split = tiny_data.split("calibration")
    Calibrate(images=20, batch_size=8).apply(
        captured("plain").copy(), split, lambda *call: calls.append(call)
    )
    assert [done for _, done, _ in calls] == [8, 16, 20]
    assert {total for _, _, total in calls} == {20}


@pytest.mark.parametrize("settings", [{"images": 0}, {"images": -1}, {"batch_size": 0}])
def test_nothing_to_look_at_is_refused_before_any_work(settings: dict[str, int]) -> None:
    with pytest.raises(RecipeError, match="at least one image"):
        Calibrate(**settings)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_images_that_are_not_finite_are_named(value: float) -> None:
    network = capture(nn.Conv2d(1, 1, 1), finished((1, 2, 2)))
    images = np.zeros((5, 1, 2, 2), np.float32)
    images[3, 0, 1, 1] = value
    with pytest.raises(DataError, match="image 3 of c holds values that are not finite"):
        Calibrate(batch_size=2).apply(network, array_split("c", images, None), silent)


def test_a_network_that_overflows_is_told_by_its_layer() -> None:
    module = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.Conv2d(1, 1, 1, bias=False)).eval()
    for part in module:
        assert isinstance(part, nn.Conv2d)
        nn.init.constant_(part.weight, 1e18)
    network = capture(module, finished((1, 2, 2)))
    images = array_split("c", np.full((2, 1, 2, 2), 1e6, np.float32), None)
    with pytest.raises(DataError, match="output of '1' is not finite"):
        Calibrate().apply(network, images, silent)


def test_memory_does_not_grow_with_the_images(
    captured: Callable[[str], Network], tiny_data: Dataset
) -> None:
    few = calibrated(captured("plain"), tiny_data, images=4)
    many = calibrated(captured("plain"), tiny_data, images=24)
    for name, seen in many.items():
        assert len(seen.counts) <= max(2048, len(few[name].counts))
    assert replace(Calibrate(), images=4).images == 4
