from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgewise.data import registry
from edgewise.data.idx import idx_bytes
from edgewise.data.mnist import FILES
from edgewise.errors import DataError, UsageError


def test_a_folder_a_file_and_noise(tmp_path: Path) -> None:
    for index in range(4):
        Image.new("L", (5, 5), index).save(tmp_path / f"{index}.png")
    np.savez(tmp_path / "arrays.npz", images=np.zeros((4, 5, 5), np.uint8))
    folder = registry.load(str(tmp_path))
    assert (folder.name, folder.contract.shape) == (tmp_path.name, (3, 224, 224))
    assert registry.load(str(tmp_path), shape=(1, 8, 8)).contract.shape == (1, 8, 8)
    assert registry.load(str(tmp_path / "arrays.npz")).contract.shape == (1, 5, 5)
    assert registry.load("random", shape=(3, 7, 7)).contract.shape == (3, 7, 7)
    one, other = (
        registry.load("random", shape=(3, 7, 7), how=registry.How(seed)) for seed in (0, 1)
    )
    assert one.digests() != other.digests()


def test_noise_needs_a_shape() -> None:
    with pytest.raises(UsageError, match="--input-shape"):
        registry.load("random")


@pytest.mark.parametrize("spec", ["cifar", "no/such/folder", "photos.zip", ""])
def test_anything_else_is_told_what_would_do(spec: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="mnist, fashion-mnist, cifar10.*FOLDER.*npz.*random"):
        registry.load(spec, tmp_path)


def test_an_absent_set_says_how_to_fetch_it(tmp_path: Path) -> None:
    for name in registry.KNOWN:
        with pytest.raises(DataError, match=f"edgewise data fetch {name}"):
            registry.load(name, tmp_path)


def test_a_shape_for_a_named_set(tmp_path: Path) -> None:
    (tmp_path / "mnist").mkdir()
    for name, count in zip(FILES, (60_000, 60_000, 10_000, 10_000), strict=True):
        shape = (count, 28, 28) if "images" in name else (count,)
        (tmp_path / "mnist" / name).write_bytes(idx_bytes(np.zeros(shape, np.uint8)))
    dataset = registry.load("mnist", tmp_path, (1, 28, 28))
    assert dataset.contract.shape == (1, 28, 28)
    assert dataset.contract.mean == (0.1307,)
    assert next(dataset.split("test").batches(2, dataset.contract)).shape == (2, 1, 28, 28)


def test_where_data_lie(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EDGEWISE_DATA", "/mnt/data")
    assert registry.data_root(tmp_path) == tmp_path
    assert registry.data_root() == Path("/mnt/data")
    monkeypatch.delenv("EDGEWISE_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", "/mnt/cache")
    assert registry.data_root() == Path("/mnt/cache/edgewise")
