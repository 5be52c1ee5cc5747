"""The bootstrap of average precision: a resample is judged as the images it holds would be."""

import numpy as np
import pytest
from detection_cases import judged

from edgewise.errors import DataError
from edgewise.tasks.detection.bootstrap import mean_precision, paired_difference, weighted
from edgewise.tasks.detection.matching import match
from edgewise.tasks.detection.precision import evaluate
from edgewise.tasks.detection.protocol import Protocol, coco, voc, voc2007

CLASSES = 4
PROTOCOLS = pytest.mark.parametrize("protocol", [voc(), voc2007(), coco()], ids=lambda p: p.name)


@PROTOCOLS
def test_a_resample_is_worth_what_its_images_are(protocol: Protocol) -> None:
    detections, objects = judged(7, 12, CLASSES, ties=False)
    matches = match(detections, objects, CLASSES, protocol)
    weights = np.random.default_rng(0).multinomial(12, [1 / 12] * 12, 25).T.astype(np.float64)
    weights[:, 0] = 1
    values = weighted(matches, weights)
    for column, value in zip(weights.T.astype(np.int64), values, strict=True):
        chosen = np.repeat(np.arange(12), column)
        again = evaluate([detections[place] for place in chosen],
                         [objects[place] for place in chosen], CLASSES, protocol)  # fmt: skip
        assert value == pytest.approx(again.mean, abs=1e-12)
    assert len(np.unique(values)) > 20


@PROTOCOLS
def test_weights_of_one_are_the_plain_figure(protocol: Protocol) -> None:
    detections, objects = judged(8, 30, CLASSES)
    matches = match(detections, objects, CLASSES, protocol)
    plain = evaluate(detections, objects, CLASSES, protocol).mean
    assert weighted(matches, np.ones((30, 1)))[0] == pytest.approx(plain, rel=1e-15)


def test_an_interval_is_that_of_drawing_images() -> None:
    detections, objects = judged(9, 25, CLASSES, ties=False)
    estimate = mean_precision(match(detections, objects, CLASSES, voc()), 400, seed=1)
    draw = np.random.default_rng(2)
    means = []
    for _ in range(400):
        chosen = draw.integers(0, 25, 25)
        own = [detections[place] for place in chosen]
        means.append(evaluate(own, [objects[place] for place in chosen], CLASSES, voc()).mean)
    low, high = np.quantile(means, (0.025, 0.975))
    assert estimate.low == pytest.approx(low, abs=0.12 * (high - low))
    assert estimate.high == pytest.approx(high, abs=0.12 * (high - low))
    assert estimate.low < estimate.value < estimate.high


def test_pairing_cancels_what_two_detectors_share() -> None:
    detections, objects = judged(10, 40, CLASSES)
    ours = match(detections, objects, CLASSES, voc())
    theirs = match([detections[0].above(1), *detections[1:]], objects, CLASSES, voc())
    assert paired_difference(ours, ours).high == 0
    paired, alone = paired_difference(ours, theirs, 200), mean_precision(ours, 200)
    assert paired.high - paired.low < 0.5 * (alone.high - alone.low)
    other = paired_difference(theirs, ours, 200)
    assert other.value == -paired.value
    assert other.high == pytest.approx(-paired.low)


def test_detectors_on_other_images_are_not_compared() -> None:
    first, second = (match(*judged(seed, 6, CLASSES), CLASSES, voc()) for seed in (1, 2))
    with pytest.raises(DataError, match="same images"):
        paired_difference(first, second)
    with pytest.raises(DataError, match="same protocol"):
        paired_difference(first, match(*judged(1, 6, CLASSES), CLASSES, coco()))
