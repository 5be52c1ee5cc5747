"""The composed set on disk: made once, checked whenever it is read, no piece in two splits."""

import itertools
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from edgewise import store
from edgewise.data import mnist, registry
from edgewise.data.acquire import check
from edgewise.data.composed import pieces, stored
from edgewise.data.composed.render import Pieces
from edgewise.data.idx import idx_bytes
from edgewise.data.objects import Objects
from edgewise.data.preprocess import Pixels
from edgewise.errors import DataError

COUNTS = {"train": 5, "validation": 3, "test": 4}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pieces of noise, digits and garments of noise, and a set of twelve pictures to be made."""
    random = np.random.default_rng(0)
    made = tmp_path / "composed-voc"
    made.mkdir()
    photographs = random.integers(0, 256, (38, 50, 60, 3), np.uint8)
    cutouts = random.integers(0, 256, (12, 16, 16, 4), np.uint8)
    (made / pieces.PHOTOGRAPHS).write_bytes(idx_bytes(photographs))
    (made / pieces.CUTOUTS).write_bytes(idx_bytes(cutouts))
    for name in ("mnist", "fashion-mnist"):
        (tmp_path / name).mkdir()
        for file, count in zip(mnist.FILES, (90, 90, 40, 40), strict=True):
            array = random.integers(0, 256, (count, 28, 28), np.uint8)
            labels = np.arange(count, dtype=np.uint8) % 10
            content = idx_bytes(array if "images" in file else labels)
            (tmp_path / name / file).write_bytes(content)
    monkeypatch.setattr(stored, "COUNTS", COUNTS)
    monkeypatch.setattr(stored, "_HELD_OUT", 30)
    monkeypatch.setattr(stored, "CALIBRATION", 2)
    monkeypatch.setattr(stored, "_HASHES", dict.fromkeys(COUNTS, (None, None)))
    return made


def test_what_is_made_is_read(folder: Path) -> None:
    told: list[tuple[str, int, int]] = []
    stored.make(folder, lambda *each: told.append(each))
    assert told[-1] == ("render test", 4, 4)
    dataset = registry.load("composed-voc", folder.parent)
    assert dataset.stand_in_for == "voc"
    assert len(dataset.classes) == 20
    assert [(s.name, len(s)) for s in dataset.splits] == [
        ("train", 5), ("calibration", 2), ("validation", 3), ("test", 4),
    ]  # fmt: skip
    for split in dataset.splits:
        assert split.objects is not None
        assert len(split.objects) == len(split)
        assert split.images.read(0, 2).shape == (2, 160, 160, 3)
        batch = next(split.batches(2, dataset.contract))
        assert batch.shape == (2, 3, 160, 160)
        assert 0 <= batch.min() < batch.max() <= 1
    train, calibration = dataset.split("train"), dataset.split("calibration")
    assert np.array_equal(train.images.read(0, 2), calibration.images.read(0, 5))
    assert len(set(dataset.digests().values())) == 4


def test_another_input_moves_boxes_along(folder: Path) -> None:
    stored.make(folder)
    plain = registry.load("composed-voc", folder.parent).split("test")
    large = registry.load("composed-voc", folder.parent, (3, 320, 480))
    assert large.contract.shape == (3, 320, 480)
    split = large.split("test")
    assert split.images.read(0, 4).shape == (4, 320, 480, 3)
    assert split.digest != plain.digest
    assert plain.objects is not None
    assert split.objects is not None
    for before, after in zip(plain.objects, split.objects, strict=True):
        assert np.array_equal(after.boxes, before.boxes * 2 + np.array([80, 0, 80, 0]))


def test_made_again_is_the_same(folder: Path) -> None:
    stored.make(folder)
    before = stored.load_composed_voc(folder).split("train").images.read(0, 5).copy()
    first = stored.files_of("train")[0].name
    kept = (folder / stored.files_of("test")[0].name).stat().st_ino
    (folder / first).unlink()
    stored.make(folder)
    assert np.array_equal(stored.load_composed_voc(folder).split("train").images.read(0, 5), before)
    assert (folder / stored.files_of("test")[0].name).stat().st_ino == kept


def test_no_piece_is_in_two_splits(folder: Path) -> None:
    parts = [stored._pieces(folder, split) for split in COUNTS]
    for one, other in itertools.combinations(parts, 2):
        for kind in ("photographs", "cutouts"):
            assert not _contents(getattr(one, kind)) & _contents(getattr(other, kind))
        assert not _all(one) & _all(other)
    assert [len(part.glyphs) for part in parts] == [20, 20, 20]
    assert [sum(map(len, part.glyphs)) for part in parts] == [120, 60, 80]
    assert sum(len(part.photographs) for part in parts) == 38
    assert sum(len(part.cutouts) for part in parts) == 12


def _contents(arrays: Iterable[Pixels]) -> set[bytes]:
    return {array.tobytes() for array in arrays}


def _all(part: Pieces) -> set[bytes]:
    return _contents(itertools.chain(*part.glyphs))


def test_a_set_that_is_not_the_published_one_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match="edgewise data fetch composed-voc"):
        stored.load_composed_voc(folder)
    stored.make(folder)
    files = [stored.files_of(split) for split in COUNTS]
    hashes = {
        split: tuple(store.digest_file(folder / file.name) for file in pair)
        for split, pair in zip(COUNTS, files, strict=True)
    }
    monkeypatch.setattr(stored, "_HASHES", hashes)
    stored.load_composed_voc(folder)
    path = folder / files[1][0].name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"{path.name} has the SHA-256.*fetch composed-voc"):
        stored.load_composed_voc(folder)
    stored.make(folder)  # repairs it
    stored.load_composed_voc(folder)


def test_pixels_that_came_out_otherwise_are_no_set(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "_HASHES", dict.fromkeys(COUNTS, ("0" * 64, None)))
    with pytest.raises(DataError, match=r"otherwise than it was published.*constraints\.txt"):
        stored.make(folder)


def test_missing_pieces_are_named(folder: Path) -> None:
    (folder / pieces.CUTOUTS).unlink()
    with pytest.raises(DataError, match=pieces.CUTOUTS):
        stored.make(folder)


@given(st.data())
def test_rows_hold_objects(data: st.DataObject) -> None:
    count = data.draw(st.integers(0, 4))
    corner = arrays.arrays(np.float32, (count, 2), elements=st.integers(0, 100).map(float))
    size = arrays.arrays(np.float32, (count, 2), elements=st.integers(1, 60).map(float))
    low = data.draw(corner)
    objects = Objects(
        data.draw(arrays.arrays(np.int64, count, elements=st.integers(0, 19))),
        np.concatenate([low, low + data.draw(size)], 1),
        data.draw(arrays.arrays(np.bool_, count)),
    )
    rows = np.full((4, 6), stored.NONE, np.uint8)
    rows[:count] = stored.rows_of(objects)
    back = stored.objects_of(rows)
    assert np.array_equal(back.classes, objects.classes)
    assert np.array_equal(back.boxes, objects.boxes)
    assert np.array_equal(back.difficult, objects.difficult)


def test_every_photograph_is_chosen_once() -> None:
    names = " ".join(pieces.CHOSEN.values()).split()
    assert len(set(names)) == len(names) == 38
    ranges = [range(38)[pieces.photographs_of(split)] for split in pieces.CHOSEN]
    assert sorted(itertools.chain(*ranges)) == list(range(38))
    with pytest.raises(DataError, match="no split 'trainval'"):
        pieces.photographs_of("trainval")


def test_packages_with_other_contents_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="0 wheels"):
        pieces.unpack(tmp_path, tmp_path)
    (tmp_path / "a.png").write_bytes(b"other")
    with pytest.raises(DataError, match="1 files with the digest .* other versions"):
        pieces._expect([tmp_path / "a.png"], "0" * 64, "the cut-outs")
    with pytest.raises(DataError, match="not all there"):
        pieces._expect([tmp_path / "b.png"], "0" * 64, "the cut-outs")


@pytest.mark.parametrize("size", [(30, 90), (900, 300), (1, 500), (64, 64)])
def test_pieces_have_one_size(tmp_path: Path, size: tuple[int, int]) -> None:
    file = tmp_path / "a.png"
    Image.new("RGBA", size, (9, 8, 7, 255)).save(file)
    photograph, cutout = (pieces._decoded(file, mode) for mode in ("RGB", "RGBA"))
    assert photograph.shape == (400, 560, 3)
    assert cutout.shape == (64, 64, 4)
    trimmed = stored._trimmed(cutout)
    assert max(trimmed.shape[:2]) == 64
    assert (trimmed == (9, 8, 7, 255)).all()


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"GIF89a"])
def test_a_piece_that_is_no_image_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.png cannot be decoded"):
        pieces._decoded(tmp_path / "a.png", "RGB")


@pytest.mark.slow
def test_the_published_set_is_what_the_recipe_gives(tmp_path: Path) -> None:
    root = registry.data_root()
    source = root / "composed-voc"
    for file in pieces.FILES:
        try:
            check(source / file.name, file)
        except DataError:
            pytest.skip("the pieces of composed-voc are not on this machine")
        (tmp_path / "composed-voc").mkdir(exist_ok=True)
        (tmp_path / "composed-voc" / file.name).symlink_to(source / file.name)
    for name in ("mnist", "fashion-mnist"):
        (tmp_path / name).symlink_to(root / name)
    stored.make(tmp_path / "composed-voc")
    known = registry.KNOWN["composed-voc"]
    dataset = registry.load("composed-voc", tmp_path)
    assert {split.name: len(split) for split in dataset.splits} == dict(known.images)
    assert dataset.stand_in_for == known.stand_in_for
    for split in dataset.splits:
        found = np.concatenate([one.classes for one in split.objects or ()])
        assert np.bincount(found, minlength=20).min() > len(found) / 40
