"""A data set of images with boxes, written as a VOCdevkit that other tools read."""

from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
from PIL import Image

from edgewise import store
from edgewise.data.dataset import Dataset, Split
from edgewise.data.objects import Objects
from edgewise.data.preprocess import Pixels
from edgewise.errors import DataError
from edgewise.progress import Progress, silent

_QUALITY = 95
_TOGETHER = {"train": ("train", "trainval"), "validation": ("val", "trainval"), "test": ("test",)}
_AT_ONCE = 64


def write_voc(
    dataset: Dataset, folder: Path, lossless: bool = False, progress: Progress = silent
) -> Path:
    """Write train, validation and test of a set below `folder` as VOCdevkit/VOC2007; returns that.

    Pictures are JPEG of quality 95, or PNG where `lossless`, which the devkit itself does not know.
    Calibration is not written where it is part of train. Raises DataError for a split without
    objects, StorageError where the folder cannot be written.
    """
    year = folder / "VOCdevkit" / "VOC2007"
    sets: dict[str, list[str]] = {}
    for split in dataset.splits:
        if split.name not in _TOGETHER:
            continue
        names = _write(split, dataset.classes, (year, ".png" if lossless else ".jpg"), progress)
        for name in _TOGETHER[split.name]:
            sets.setdefault(name, []).extend(names)
    if not sets:
        raise DataError(f"{dataset.name} has no {', '.join(_TOGETHER)} to be written.")
    for name, names in sets.items():
        text = "".join(f"{line}\n" for line in names)
        store.write_bytes(year / "ImageSets" / "Main" / f"{name}.txt", text.encode())
    return year


def _write(
    split: Split, classes: Sequence[str], how: tuple[Path, str], progress: Progress
) -> list[str]:
    """The names of the images of a split, written in its order."""
    year, suffix = how
    if split.objects is None:
        raise DataError(f"nobody looked for objects in {split.name}; VOC needs them.")
    names = [f"{split.name}_{index:06d}" for index in range(len(split))]
    for start in range(0, len(split), _AT_ONCE):
        images = split.images.read(start, min(start + _AT_ONCE, len(split)))
        for index, image in enumerate(images, start):
            if image.dtype != np.uint8:
                raise DataError(f"{split.name} holds {image.dtype}; a picture needs uint8.")
            picture = f"{names[index]}{suffix}"
            with store.atomic(year / "JPEGImages" / picture) as part:
                _save(image, part, suffix)
            text = _annotation(picture, image.shape, split.objects[index], classes)
            store.write_bytes(year / "Annotations" / f"{names[index]}.xml", text.encode())
            progress(f"write {split.name}", index + 1, len(split))
    return names


def _save(image: Pixels, part: Path, suffix: str) -> None:
    picture = Image.fromarray(image)
    if suffix == ".png":
        picture.save(part, "PNG")
    else:
        picture.save(part, "JPEG", quality=_QUALITY)


def _annotation(
    picture: str, shape: tuple[int, ...], objects: Objects, classes: Sequence[str]
) -> str:
    """The XML of one image; pixels are counted from 1 and the last one is included."""
    height, width, depth = shape
    low, high = objects.boxes[:, :2], objects.boxes[:, 2:]
    if (high - low < 1).any() or (low < 0).any() or (high > (width, height)).any():
        raise DataError(f"{picture} has a box that is under a pixel or leaves the picture.")
    lines = [
        "<annotation>",
        f"\t<filename>{picture}</filename>",
        f"\t<size><width>{width}</width><height>{height}</height><depth>{depth}</depth></size>",
    ]
    for kind, box, difficult in zip(
        objects.classes.tolist(), objects.boxes.tolist(), objects.difficult.tolist(), strict=True
    ):
        corners = zip(
            ("xmin", "ymin", "xmax", "ymax"), (box[0] + 1, box[1] + 1, *box[2:]), strict=True
        )
        sides = "".join(f"<{tag}>{value:.17g}</{tag}>" for tag, value in corners)
        lines += [
            "\t<object>",
            f"\t\t<name>{escape(classes[kind])}</name>",
            f"\t\t<difficult>{int(difficult)}</difficult>",
            f"\t\t<bndbox>{sides}</bndbox>",
            "\t</object>",
        ]
    return "\n".join([*lines, "</annotation>", ""])
