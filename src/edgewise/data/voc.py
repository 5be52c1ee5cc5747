"""PASCAL VOC 2007 and 2012 (Everingham et al. 2010), as the devkits lay it out, or any like it."""

import hashlib
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from edgewise import store
from edgewise.data.dataset import Dataset, Split
from edgewise.data.folder import MODES
from edgewise.data.letterbox import check_shape, letterbox, moved, place
from edgewise.data.objects import Objects
from edgewise.data.preprocess import Pixels, Shape, whole
from edgewise.data.voc_xml import read_annotation
from edgewise.errors import DataError

CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
    "tvmonitor",
)  # fmt: skip
YEARS = ("VOC2007", "VOC2012")
DEFAULT_SHAPE = (3, 416, 416)
CALIBRATION = 2_000
CLASS_FILE = "classes.txt"

_HELD_OUT = 20  # one in so many images of trainval is for validation
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SUFFIXES = (".jpg", ".png")


@dataclass(frozen=True)
class Reading:
    """How a devkit is read: its classes, whether broken images are passed over, and its name."""

    classes: tuple[str, ...] = CLASSES
    skip_broken: bool = False
    name: str = "voc"


@dataclass(frozen=True)
class Picture:
    """An image file and the size that its annotation states, width and height in pixels."""

    file: Path
    size: tuple[int, int]


@dataclass(frozen=True)
class VocImages:
    """Pictures, decoded and letterboxed when they are read: uint8 (n, height, width, 3)."""

    pictures: tuple[Picture, ...]
    shape: Shape

    def __len__(self) -> int:
        return len(self.pictures)

    def read(self, start: int, stop: int) -> Pixels:
        found = [decode(picture, self.shape) for picture in self.pictures[start:stop]]
        return np.stack(found) if found else np.zeros((0, *self.shape[1:], 3), np.uint8)


def decode(picture: Picture, shape: Shape) -> Pixels:
    """A picture as uint8 (height, width, 3), as it is stored: boxes know of no turned camera.

    Raises DataError, naming the file, when it is corrupt, cut short, of another format or of
    another size than its annotation states.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(picture.file, formats=("JPEG", "PNG")) as image:
                if image.mode not in MODES:
                    raise DataError(f"pixels of the kind {image.mode} are not of 8 bits")
                if image.size != picture.size:
                    raise DataError(f"it has {image.size} pixels, not {picture.size} as annotated")
                return letterbox(image, shape)
    except Exception as error:  # Pillow raises what the file's format dictates
        raise DataError(f"the image {picture.file} cannot be used: {error}.") from error


def load_voc(folder: Path, shape: Shape = DEFAULT_SHAPE, reading: Reading | None = None) -> Dataset:
    """A VOCdevkit with VOC2007, VOC2012 or both, letterboxed into `shape`.

    train: both trainvals but a random image in twenty, which make validation; calibration: 2,000
    random images of train, as in the study, so no split of its own; test: the test images of 2007,
    where they are there. Digests are over annotations, and sizes of the picture files. Raises
    DataError, naming file and line, for what is broken, unless the reading passes over it; then
    each split says what is wrong with those that it left out.
    """
    check_shape(shape)
    reading = reading or Reading()
    years = _years(folder)
    trainval = [each for year in years for each in _listed(year, "trainval")]
    if not trainval:
        raise DataError(f"{folder} lists no images in ImageSets/Main/trainval.txt.")
    held, kept = _held_out(trainval)
    train = _split("train", kept, shape, reading)
    splits = [train, _calibration(train)] if len(train) else []
    splits.append(_split("validation", held, shape, reading))
    test = [each for year in years if year.name == YEARS[0] for each in _listed(year, "test")]
    splits.append(_split("test", test, shape, reading))
    filled = tuple(split for split in splits if len(split))
    if not filled:
        raise DataError(f"{folder} holds no image that is not broken.")
    return Dataset(reading.name, reading.classes, whole(shape), filled)


def is_devkit(folder: Path) -> bool:
    """Whether a folder is laid out as a devkit is."""
    return bool(_found_years(folder))


def own_classes(folder: Path) -> tuple[str, ...]:
    """The classes of a devkit: those of its classes.txt, one a line, else the published twenty.

    Raises DataError where that file cannot be read, is empty or names a class twice.
    """
    file = folder / CLASS_FILE
    if not file.is_file():
        return CLASSES
    try:
        names = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read: {error}.") from error
    classes = tuple(name for name in names if name)
    if not classes or len(set(classes)) < len(classes):
        raise DataError(f"{file} should name every class once, one a line.")
    return classes


@dataclass(frozen=True)
class _Image:
    """One line of an image set: a year's folder and the name of an image."""

    year: Path
    name: str


def _found_years(folder: Path) -> list[Path]:
    for devkit in (folder / "VOCdevkit", folder):
        if found := [devkit / year for year in YEARS if (devkit / year).is_dir()]:
            return found
    return []


def _years(folder: Path) -> list[Path]:
    if found := _found_years(folder):
        return found
    raise DataError(
        f"{folder} holds neither {' nor '.join(YEARS)}, nor a VOCdevkit with them; "
        "`edgewise data fetch voc` brings them, or unpack the devkit's archives there."
    )


def _listed(year: Path, name: str) -> list[_Image]:
    """The images of an image set, in its order; none where there is no such set."""
    file = year / "ImageSets" / "Main" / f"{name}.txt"
    try:
        lines = file.read_text(encoding="ascii").splitlines()
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read: {error}.") from error
    names: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if text and (not _ID.fullmatch(text) or text in names):
            what = "a second time" if text in names else "which is no name of an image"
            raise DataError(f"{file}, line {number}: it lists '{text[:70]}' {what}.")
        if text:
            names[text] = number
    return [_Image(year, name) for name in names]


def _held_out(images: Sequence[_Image]) -> tuple[list[_Image], list[_Image]]:
    """Validation and train, each in the order of the devkit; one of two images at least is held."""
    count = max(len(images) // _HELD_OUT, int(len(images) > 1))
    chosen = set(_first(images, "validation", count))
    held = [image for index, image in enumerate(images) if index in chosen]
    return held, [image for index, image in enumerate(images) if index not in chosen]


def _first(images: Sequence[_Image], purpose: str, count: int) -> list[int]:
    """The places of `count` random images, in their order."""
    drawn = [_drawn(purpose, image) for image in images]
    return sorted(sorted(range(len(drawn)), key=drawn.__getitem__)[:count])


def _drawn(purpose: str, image: _Image) -> int:
    """A number that is random, and the same everywhere for an image and a purpose."""
    said = f"{purpose} {image.year.name} {image.name}".encode()
    return int.from_bytes(hashlib.sha256(said).digest()[:8])


def _split(name: str, images: Sequence[_Image], shape: Shape, reading: Reading) -> Split:
    pictures: list[Picture] = []
    objects: list[Objects] = []
    content = hashlib.sha256(f"{shape}".encode())
    left_out: list[str] = []
    for image in images:
        try:
            picture, found, described = _read(image, reading.classes)
        except DataError as error:
            if not reading.skip_broken:
                raise
            left_out.append(str(error))
            continue
        pictures.append(picture)
        objects.append(moved(found, place(*picture.size, shape)))
        content.update(described)
    made = VocImages(tuple(pictures), shape)
    return Split(name, made, None, content.hexdigest(), tuple(objects), tuple(left_out))


def _read(image: _Image, classes: Sequence[str]) -> tuple[Picture, Objects, bytes]:
    """A picture, what is in it in its own pixels, and a line for the digest."""
    file = image.year / "Annotations" / f"{image.name}.xml"
    annotation = read_annotation(file, classes)
    stems = [image.year / "JPEGImages" / f"{image.name}{suffix}" for suffix in _SUFFIXES]
    there = [picture for picture in stems if picture.is_file()]
    if not there:
        raise DataError(f"{file}, line 1: its picture {stems[0]} is not there.")
    found = annotation.objects
    line = f"{image.year.name}/{image.name}\0{there[0].stat().st_size}\0".encode()
    described = found.classes.tobytes() + found.boxes.tobytes() + found.difficult.tobytes()
    size = (annotation.width, annotation.height)
    return Picture(there[0], size), found, line + described


def _calibration(train: Split) -> Split:
    """Random training images, in the order of training."""
    images = train.images
    assert isinstance(images, VocImages)
    assert train.objects is not None
    named = [_Image(each.file.parent.parent, each.file.stem) for each in images.pictures]
    chosen = _first(named, "calibration", CALIBRATION)
    pictures = tuple(images.pictures[index] for index in chosen)
    objects = tuple(train.objects[index] for index in chosen)
    digest = store.digest(f"{train.digest} {chosen}".encode())
    return Split("calibration", VocImages(pictures, images.shape), None, digest, objects)
