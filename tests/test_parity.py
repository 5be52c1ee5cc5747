import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from edgewise.data.dataset import ArrayImages, Dataset, Split
from edgewise.data.preprocess import finished
from edgewise.errors import DataError, ModelError
from edgewise.graph.capture import capture
from edgewise.graph.network import Network
from edgewise.parity import Classes, Predictions, classes_of, compare, predict
from edgewise.progress import silent
from edgewise.tasks.classification import accuracy, paired_difference


def classes(*values: int) -> Classes:
    return np.asarray(values, np.int64)


OURS = Predictions(classes(0, 1, 2, 3), classes(0, 1, 2, 0), classes(0, 1, 1, 0))
BASE = Predictions(classes(0, 1, 2, 3), classes(0, 1, 2, 3), classes(0, 1, 2, 3))


def test_each_executor_is_judged_on_its_own_and_against_the_others() -> None:
    labels = classes(0, 0, 1, 0)
    parity = compare("int8", OURS, BASE, labels)
    assert parity.network == accuracy(OURS.network == labels)
    assert parity.simulation == accuracy(OURS.simulation == labels)
    assert parity.artifact == accuracy(OURS.artifact == labels)
    assert parity.difference == paired_difference(OURS.artifact == labels, BASE.artifact == labels)
    assert parity.agreement_with_simulation == 0.75
    assert parity.agreement_with_float == 0.5


def test_without_labels_there_is_agreement_and_no_accuracy() -> None:
    parity = compare("int8", OURS, BASE, None)
    assert (parity.network, parity.simulation, parity.artifact, parity.difference) == (None,) * 4
    assert (parity.agreement_with_simulation, parity.agreement_with_float) == (0.75, 0.5)


def test_the_baseline_differs_from_itself_by_nothing() -> None:
    parity = compare("float32", BASE, BASE, classes(0, 1, 0, 0))
    assert parity.difference is not None
    assert (parity.difference.low, parity.difference.high) == (0, 0)
    assert parity.agreement_with_float == 1


def test_it_is_stored_as_json() -> None:
    stored = json.loads(json.dumps(compare("x", OURS, BASE, classes(0, 0, 1, 0)).to_json()))
    assert stored["name"] == "x"
    assert set(stored["artifact"]) == {"value", "low", "high"}


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ([[1, 3, 2], [5, 4, 0]], [1, 0]),
        ([[[[1]], [[3]]], [[[7]], [[2]]]], [1, 0]),
        ([[[1, 2], [9, 0]]], [2]),
        ([[1, 1]], [0]),
    ],
)
def test_a_class_is_where_the_flattened_output_is_largest(
    outputs: list[object], expected: list[int]
) -> None:
    found = classes_of(np.asarray(outputs, np.float32))
    assert found.tolist() == expected
    assert found.dtype == np.int64


def test_predictions_do_not_depend_on_batches_and_come_in_order(
    captured: Callable[[str], Network], tiny_data: Dataset
) -> None:
    split = tiny_data.split("test")
    many = Split("many", ArrayImages(np.concatenate([split.images.read(0, 40)] * 6)), None, "")
    calls: list[tuple[int, int]] = []
    found = predict(captured("plain"), many, lambda _, *call: calls.append(call), "stage")
    images = torch.from_numpy(next(split.batches(40, tiny_data.contract)))
    with torch.no_grad():
        alone = captured("plain")(images).argmax(1).numpy()
    assert found.tolist() == alone.tolist() * 6
    assert calls[-1] == (240, 240)
    assert len(calls) > 1


def test_images_and_outputs_that_are_not_finite_are_refused() -> None:
    images = np.zeros((3, 1, 2, 2), np.float32)
    images[1, 0, 0, 0] = np.nan
    network = capture(nn.Conv2d(1, 2, 1), finished((1, 2, 2)))
    split = Split("test", ArrayImages(images), None, "")
    with pytest.raises(DataError, match="image 1 of test holds values that are not finite"):
        predict(network, split, silent, "x")
    images[1] = 3e38
    for _, layer in network.layers():
        nn.init.constant_(layer.weight, 1e10)
    with pytest.raises(ModelError, match="overflows on these data"):
        predict(network, replace(split, images=ArrayImages(images)), silent, "x")
