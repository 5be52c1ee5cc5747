"""Average precision: against COCO's own code, and against VOC's definition, object by object."""

import contextlib
import io
import sys
from typing import Any

import numpy as np
import pytest
from detection_cases import judged
from detection_reference import share
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from edgewise.data.objects import Objects
from edgewise.errors import DataError
from edgewise.tasks.detection.detections import Detections
from edgewise.tasks.detection.matching import match
from edgewise.tasks.detection.precision import curve, evaluate
from edgewise.tasks.detection.protocol import Protocol, coco, voc, voc2007

CLASSES = 4


def peer(detections: list[Detections], objects: list[Objects]) -> tuple[Any, Any]:
    """Precision (thresholds, recalls, classes) and recall (thresholds, classes) of pycocotools.

    It forgets a mark `ignore`, so difficult objects lie outside of the range of areas instead.
    """
    wanted = [
        {"image_id": image, "category_id": int(label), "iscrowd": 0, "bbox": _corner(box),
         "area": -1.0 if difficult else float((box[2] - box[0]) * (box[3] - box[1]))}
        for image, one in enumerate(objects)
        for label, box, difficult in zip(one.classes, one.boxes, one.difficult, strict=True)
    ]  # fmt: skip
    found: list[dict[str, Any]] = [
        {"image_id": image, "category_id": int(label), "bbox": _corner(box), "score": float(score)}
        for image, one in enumerate(detections)
        for label, box, score in zip(one.classes, one.boxes, one.scores, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "images": [{"id": image} for image in range(len(objects))],
            "categories": [{"id": label} for label in range(CLASSES)],
            "annotations": [{"id": place + 1, **one} for place, one in enumerate(wanted)],
        }
        truth.createIndex()
        results = COCO()
        results.dataset = {
            **truth.dataset,
            "annotations": [
                {"id": place + 1, "iscrowd": 0, "area": one["bbox"][2] * one["bbox"][3], **one}
                for place, one in enumerate(found)
            ],
        }
        results.createIndex()
        judge = COCOeval(truth, results, "bbox")
        judge.params.areaRng, judge.params.areaRngLbl = [[0, 1e10]], ["all"]
        judge.params.maxDets = [100]
        judge.evaluate()
        judge.accumulate()
    return judge.eval["precision"][..., 0, 0], judge.eval["recall"][..., 0, 0]


def _corner(box: NDArray[np.float32]) -> list[float]:
    left, top, right, bottom = map(float, box)
    return [left, top, right - left, bottom - top]


def _absent(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(values < 0, np.nan, values)


@pytest.mark.parametrize("ties", [True, False])
@pytest.mark.parametrize(("seed", "images"), [(0, 1), (1, 2), (2, 8), (3, 40), (4, 80)])
def test_coco_is_what_its_own_code_says(seed: int, images: int, ties: bool) -> None:
    detections, objects = judged(seed, images, CLASSES, ties)
    ours = evaluate(detections, objects, CLASSES, coco())
    theirs, recall = peer(detections, objects)
    np.testing.assert_allclose(ours.average, _absent(theirs.mean(axis=1)), rtol=0, atol=1e-12)
    np.testing.assert_allclose(ours.recall, _absent(recall), rtol=0, atol=1e-12)
    assert ours.mean == pytest.approx(theirs[theirs > -1].mean(), abs=1e-12)
    assert ours.at(0.75) == pytest.approx(theirs[5][theirs[5] > -1].mean(), abs=1e-12)
    assert np.isnan(ours.of_class(CLASSES - 1))


def test_crowded_images_and_boxes_that_are_no_whole_numbers_and_more_than_a_hundred() -> None:
    draw = np.random.default_rng(5)
    corners, sizes = draw.uniform(0, 60, (2, 40, 2)), draw.uniform(10, 40, (2, 40, 2))
    boxes = np.concatenate((corners, corners + sizes), axis=2).astype(np.float32)
    objects = [Objects(np.zeros(40, np.int64), one, draw.random(40) < 0.3) for one in boxes]
    detections = []
    for one in boxes:
        near = np.repeat(one, 4, axis=0)
        near += draw.normal(0, 3, near.shape).astype(np.float32)
        scores = np.sort(draw.random(160).astype(np.float32))[::-1]
        mixed = draw.permutation(160)
        detections.append(Detections(np.zeros(160, np.int64), scores, near[mixed]))
    theirs, recall = peer(detections, objects)
    ours = evaluate(detections, objects, CLASSES, coco())
    np.testing.assert_allclose(ours.average, _absent(theirs.mean(axis=1)), rtol=0, atol=1e-12)
    np.testing.assert_allclose(ours.recall, _absent(recall), rtol=0, atol=1e-12)
    assert 0.1 < ours.mean < 0.9


def devkit(
    detections: list[Detections], objects: list[Objects], label: int, least: float, eleven: bool
) -> float:
    """VOC's evaluation of one class as its development kit describes it, one detection a time."""
    rows = [
        (float(score), image, box)
        for image, one in enumerate(detections)
        for name, score, box in zip(one.classes, one.scores, one.boxes, strict=True)
        if name == label
    ]
    rows.sort(key=lambda row: -row[0])
    taken = [np.zeros(len(one), bool) for one in objects]
    total = sum(int((~one.difficult[one.classes == label]).sum()) for one in objects)
    right, wrong = [], []
    for _, image, box in rows:
        one, best, place = objects[image], -np.inf, -1
        for candidate in np.flatnonzero(one.classes == label):
            covered = share(box.tolist(), one.boxes[candidate].tolist())
            if covered > best:
                best, place = covered, int(candidate)
        hit = best >= least
        right.append(hit and not one.difficult[place] and not taken[image][place])
        wrong.append(not hit or (not one.difficult[place] and bool(taken[image][place])))
        if right[-1]:
            taken[image][place] = True
    hits, misses = np.cumsum(right), np.cumsum(wrong)
    recall = hits / total
    exact = hits / np.maximum(hits + misses, sys.float_info.epsilon)
    if eleven:
        return (
            sum(max(exact[recall >= level], default=0.0) for level in np.arange(0, 1.1, 0.1)) / 11
        )
    recall = np.concatenate(([0], recall, [1]))
    exact = np.concatenate(([0], exact, [0]))
    for place in range(len(exact) - 2, -1, -1):
        exact[place] = max(exact[place], exact[place + 1])
    return float(sum((recall[1:] - recall[:-1]) * exact[1:]))


@pytest.mark.parametrize("protocol", [voc(), voc(0.75), voc2007()], ids=lambda one: one.name)
@pytest.mark.parametrize(("seed", "images", "ties"), [(1, 2, True), (2, 8, False), (3, 40, True)])
def test_voc_is_what_its_development_kit_describes(
    protocol: Protocol, seed: int, images: int, ties: bool
) -> None:
    detections, objects = judged(seed, images, CLASSES, ties)
    ours = evaluate(detections, objects, CLASSES, protocol)
    (least,), eleven = protocol.thresholds, protocol.points == 11
    present = [
        label for label in range(CLASSES)
        if any((~one.difficult[one.classes == label]).any() for one in objects)
    ]  # fmt: skip
    expected = [devkit(detections, objects, label, least, eleven) for label in present]
    np.testing.assert_allclose(ours.average[0, present], expected, rtol=0, atol=1e-12)
    assert ours.mean == pytest.approx(np.mean(expected), abs=1e-12)
    assert np.isnan(np.delete(ours.average[0], present)).all()


def boxes(*rows: tuple[int, int, int, int]) -> NDArray[np.float32]:
    return np.array(rows, np.float32).reshape(-1, 4)


def found(scores: list[float], places: NDArray[np.float32]) -> Detections:
    return Detections(np.zeros(len(scores), np.int64), np.array(scores, np.float32), places)


def test_a_curve_worked_by_hand() -> None:
    wanted = boxes((0, 0, 10, 10), (20, 0, 30, 10), (40, 0, 50, 10))
    objects = [Objects(np.zeros(3, np.int64), wanted, np.array([False, False, True]))]
    order = wanted[[0, 0, 2, 2, 1]]
    detections = [found([0.9, 0.8, 0.7, 0.6, 0.5], order)]
    for protocol, wrong in ((voc(), 1), (coco(), 2)):  # COCO: a difficult object is had once
        recall, exact = curve(match(detections, objects, 1, protocol), 0)
        assert recall.tolist() == [0.5] * (1 + wrong) + [1.0]
        assert exact[-1] == pytest.approx(2 / (2 + wrong))
    assert evaluate(detections, objects, 1, voc()).mean == pytest.approx(0.5 + 0.5 * 2 / 3)


def test_a_second_choice_is_coco_alone() -> None:
    wanted = boxes((0, 0, 10, 10), (0, 2, 10, 12))
    objects = [Objects(np.zeros(2, np.int64), wanted, np.zeros(2, bool))]
    detections = [found([0.9, 0.8], wanted[[0, 0]])]
    assert match(detections, objects, 1, voc()).right.tolist() == [[True, False]]
    assert match(detections, objects, 1, coco()).right[0].tolist() == [True, True]


def test_between_two_objects_voc_means_the_first_and_coco_the_last() -> None:
    first, last, between = (0, 0, 10, 10), (4, 0, 14, 10), (2, 0, 12, 10)
    objects = [Objects(np.zeros(2, np.int64), boxes(first, last), np.zeros(2, bool))]
    for box, by_voc, by_coco in ((first, False, True), (last, True, False)):
        detections = [found([0.9, 0.8], boxes(between, box))]
        assert match(detections, objects, 1, voc()).right.tolist() == [[True, by_voc]]
        assert match(detections, objects, 1, coco()).right[0].tolist() == [True, by_coco]


def test_perfect_detections_and_none() -> None:
    _, objects = judged(3, 30, CLASSES)
    perfect = [Detections(one.classes, np.ones(len(one), np.float32), one.boxes) for one in objects]
    none = [found([], boxes())] * 30
    for protocol in (voc(), voc2007(), coco()):
        assert evaluate(perfect, objects, CLASSES, protocol).mean == pytest.approx(1)
        assert evaluate(none, objects, CLASSES, protocol).mean == 0


def test_what_cannot_be_judged_is_refused() -> None:
    detections, objects = judged(3, 5, CLASSES)
    with pytest.raises(DataError, match="5 images and objects in 4"):
        evaluate(detections, objects[:4], CLASSES, voc())
    with pytest.raises(DataError, match="not 0 to 1"):
        evaluate(detections, objects, 2, voc())
    nothing = [Objects(np.zeros(0, np.int64), boxes(), np.zeros(0, bool))] * 5
    with pytest.raises(DataError, match="no objects"):
        evaluate(detections, nothing, CLASSES, voc())
    with pytest.raises(DataError, match="not 0.6"):
        evaluate(detections, objects, CLASSES, voc()).at(0.6)
    with pytest.raises(DataError, match="no objects"):
        curve(match(detections, objects, CLASSES, voc()), CLASSES - 1)
    with pytest.raises(DataError, match="overlaps"):
        voc(1.5)
