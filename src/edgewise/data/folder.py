"""Folders of images: decoded when they are read, so that memory does not grow with the folder."""

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from edgewise import store
from edgewise.data import splits
from edgewise.data.dataset import Dataset, Split
from edgewise.data.letterbox import letterbox
from edgewise.data.preprocess import Fit, Pixels, Preprocessing, Shape, natural
from edgewise.errors import DataError, StorageError
from edgewise.progress import Progress, silent

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
DEFAULT_SHAPE = (3, 224, 224)

_FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
MODES = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"}
_LAYOUTS = (
    "lay images out as ROOT/CLASS/*.png, as ROOT/{train,calibration,validation,test}/CLASS/*.png, "
    "or unlabelled as ROOT/*.png"
)


@dataclass(frozen=True)
class FolderImages:
    """Image files, decoded a batch at a time: uint8 (n, height, width, channels).

    An image is turned as its camera says and resized with its shape kept: until it covers the
    input, and cropped around its centre, or until it fits, letterboxed.
    """

    files: tuple[Path, ...]
    shape: Shape
    fit: Fit = "crop"

    def __len__(self) -> int:
        return len(self.files)

    def read(self, start: int, stop: int) -> Pixels:
        return np.stack([decode(file, self.shape, self.fit) for file in self.files[start:stop]])

    def fitted(self, fit: Fit) -> "FolderImages":
        return FolderImages(self.files, self.shape, fit)


def decode(file: Path, shape: Shape, fit: Fit = "crop") -> Pixels:
    """One image file as uint8 (height, width, channels).

    Raises DataError, naming the file, when it is corrupt, cut short, of another format, deeper
    than 8 bits, or so large that it can only be meant to exhaust the memory.
    """
    channels, height, width = shape
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=_FORMATS) as image:
                if image.mode not in MODES:
                    raise DataError(f"pixels of the kind {image.mode} are not of 8 bits")
                upright = ImageOps.exif_transpose(image).convert("RGB" if channels == 3 else "L")
            if fit == "letterbox":
                return letterbox(upright, shape)[:, :, :channels]
            fitted = ImageOps.fit(upright, (width, height), Image.Resampling.BILINEAR)
    except Exception as error:  # Pillow raises what the file's format dictates
        raise DataError(
            f"the image {file} cannot be used: {error}. Repair it, convert it to an 8-bit PNG or "
            "JPEG, or take it out of the folder."
        ) from error
    return np.asarray(fitted, np.uint8).reshape(height, width, -1)


def load_folder(root: Path, shape: Shape | None = None, progress: Progress = silent) -> Dataset:
    """A folder of png, jpg, bmp or webp images, resized to `shape` (3,224,224 unless given).

    ROOT/{train,calibration,validation,test}/CLASS/* keeps the splits that it names, ROOT/CLASS/*
    is split in one fixed order, and images without a class make `calibration` and `test` without
    labels. Raises DataError for a folder laid out otherwise.
    """
    contract = natural(shape or DEFAULT_SHAPE)
    if contract.channels not in (1, 3):
        raise DataError(f"images have 1 or 3 channels, not the {contract.channels} asked for.")
    try:
        parts, classes = _layout(root)
    except OSError as error:
        raise DataError(f"{root} cannot be read: {error.strerror}.") from error
    made = [_split(root, name, members, (contract, progress)) for name, members in parts.items()]
    return Dataset(root.resolve().name or str(root), classes, contract, tuple(made))


@dataclass(frozen=True)
class _Members:
    """The files of a split and the class of each, or None."""

    files: tuple[Path, ...]
    labels: tuple[int, ...] | None

    def take(self, indices: Sequence[int]) -> "_Members":
        labels = None if self.labels is None else tuple(self.labels[i] for i in indices)
        return _Members(tuple(self.files[i] for i in indices), labels)


def _layout(root: Path) -> tuple[dict[str, _Members], tuple[str, ...]]:
    """Split name -> members, and the class names."""
    files, folders = _entries(root)
    if files and folders:
        raise DataError(
            f"{root} holds both images ({files[0].name}) and folders ({folders[0].name}); "
            f"{_LAYOUTS}."
        )
    if files:
        return _divided(root, _Members(files, None)), ()
    if not folders:
        raise DataError(f"{root} holds no images ({', '.join(SUFFIXES)}); {_LAYOUTS}.")
    if all(folder.name in splits.NAMES for folder in folders):
        return _named(folders)
    return _divided(root, _labelled(folders, folders)), tuple(folder.name for folder in folders)


def _named(folders: Sequence[Path]) -> tuple[dict[str, _Members], tuple[str, ...]]:
    """The splits that folders are named after, in the usual order."""
    inside = {folder: _entries(folder) for folder in folders}
    classes = sorted({sub.name for _, subs in inside.values() for sub in subs})
    parts = {}
    for folder in sorted(folders, key=lambda folder: splits.NAMES.index(folder.name)):
        files, subs = inside[folder]
        if bool(files) == bool(subs):
            what = "both images and folders" if files else "no images"
            raise DataError(f"{folder} holds {what}; {_LAYOUTS}.")
        parts[folder.name] = _Members(files, None) if files else _labelled(subs, classes)
    return parts, tuple(classes)


def _labelled(folders: Sequence[Path], classes: Sequence[Path | str]) -> _Members:
    """The images of class folders, labelled by the place of the folder's name among `classes`."""
    names = [Path(item).name for item in classes]
    files: list[Path] = []
    labels: list[int] = []
    for folder in folders:
        images, _ = _entries(folder)
        if not images:
            raise DataError(f"{folder} holds no images itself ({', '.join(SUFFIXES)}); {_LAYOUTS}.")
        files += images
        labels += [names.index(folder.name)] * len(images)
    return _Members(tuple(files), tuple(labels))


def _divided(root: Path, members: _Members) -> dict[str, _Members]:
    chosen = splits.divide(len(members.files), members.labels is not None, str(root))
    return {name: members.take(indices.tolist()) for name, indices in chosen.items()}


def _entries(folder: Path) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Images and folders directly inside, each sorted by name; hidden ones do not count."""
    inside = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    files = tuple(e for e in inside if e.suffix.lower() in SUFFIXES and e.is_file())
    return files, tuple(entry for entry in inside if entry.is_dir())


def _split(root: Path, name: str, members: _Members, how: tuple[Preprocessing, Progress]) -> Split:
    contract, progress = how
    labels = None if members.labels is None else np.asarray(members.labels, np.int64)
    digest = _digest(root, name, members.files, progress)
    return Split(name, FolderImages(members.files, contract.shape), labels, digest)


def _digest(root: Path, name: str, files: Sequence[Path], progress: Progress) -> str:
    """SHA-256 over relative names and contents, sorted by name; one file is read at a time."""
    content = hashlib.sha256()
    for index, file in enumerate(sorted(files)):
        relative = file.relative_to(root).as_posix()
        try:
            line = f"{relative}\0{store.digest_file(file)}\n"
        except StorageError as error:
            raise DataError(str(error)) from error
        content.update(line.encode("utf-8", "surrogateescape"))
        progress(f"hash of {name}", index + 1, len(files))
    return content.hexdigest()
