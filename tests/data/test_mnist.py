from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgewise.data import fetch, mnist, registry
from edgewise.data.idx import idx_bytes
from edgewise.errors import DataError, FetchError


def write(folder: Path, train: int, test: int, label: int = 9) -> Path:
    """The four files with as many images, the last label being `label`."""
    draw = np.random.default_rng(0)
    for count, names in ((train, mnist.FILES[:2]), (test, mnist.FILES[2:])):
        labels = draw.integers(0, 10, count, np.uint8)
        labels[-1] = label
        images = draw.integers(0, 256, (count, 28, 28), np.uint8)
        (folder / names[0]).write_bytes(idx_bytes(images))
        (folder / names[1]).write_bytes(idx_bytes(labels))
    return folder


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sets of 50 and 10 images are held for the published ones."""
    monkeypatch.setattr(mnist, "_SHAPES", ((50, 28, 28), (50,), (10, 28, 28), (10,)))
    monkeypatch.setattr(mnist, "_SIZES", {"train": 30, "calibration": 5, "validation": 15})


@pytest.mark.usefixtures("small")
def test_splits_and_test_images(tmp_path: Path) -> None:
    dataset = mnist.load_mnist(write(tmp_path, 50, 10))
    sizes = {split.name: len(split) for split in dataset.splits}
    assert sizes == {"train": 30, "calibration": 5, "validation": 15, "test": 10}
    assert dataset.classes == tuple("0123456789")
    batch = next(dataset.split("test").batches(4, dataset.contract))
    assert batch.shape == (4, 3, 32, 32)
    assert len(set(dataset.digests().values())) == 4


@pytest.mark.usefixtures("small")
def test_labels_that_there_are_not(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="labels that mnist does not have"):
        mnist.load_mnist(write(tmp_path, 50, 10, label=10))


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", mnist.FILES)
def test_files_that_do_not_belong_together(tmp_path: Path, name: str) -> None:
    write(tmp_path, 50, 10)
    (tmp_path / name).write_bytes(idx_bytes(np.zeros((7, 28, 28), np.uint8)))
    with pytest.raises(DataError, match=f"{name} has the shape"):
        mnist.load_mnist(tmp_path)


def test_a_smaller_set_is_not_the_published_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="edgewise data fetch fashion-mnist"):
        mnist.load_fashion_mnist(write(tmp_path, 50, 10))


@pytest.mark.parametrize(
    ("name", "train", "mean", "std"),
    [
        (
            "fashion-mnist",
            "5cefebb02f862ab549a3def03e12eca885e13012f5ba540de10a38e72a913069",
            0.2860,
            0.3530,
        ),
        (
            "mnist",
            "daa448a550334c509365d77b5fd003de21af3179fc1bc53bc031dcf3e67774b9",
            0.1307,
            0.3081,
        ),
    ],
)
def test_the_published_sets(name: str, train: str, mean: float, std: float) -> None:
    """Splits as published here, and the statistics that the field uses."""
    try:
        folder = fetch.fetch(name)
    except FetchError as error:
        pytest.skip(str(error))
    dataset = registry.load(name, folder.parent)
    assert dataset.split("train").digest == train
    sizes = {split.name: len(split) for split in dataset.splits}
    assert sizes == dict(registry.KNOWN[name].images)
    test = dataset.split("test")
    assert test.labels is not None
    assert np.bincount(test.labels).min() > 800
    parts: list[NDArray[Any]] = [split.images.read(0, len(split)) for split in dataset.splits[:3]]
    pixels: NDArray[Any] = np.concatenate(parts) / np.float32(255)
    assert pixels.mean() == pytest.approx(mean, abs=1e-4)
    assert pixels.std() == pytest.approx(std, abs=1e-4)
