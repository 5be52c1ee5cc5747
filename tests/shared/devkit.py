"""Tiny VOCdevkit folders in the exact format."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

Box = tuple[str, tuple[float, float, float, float], int]  # class, 1-based corners, difficult

ONE: Sequence[Box] = (("dog", (3, 2, 10, 9), 0),)


def annotation(size: tuple[int, int], objects: Sequence[Box]) -> str:
    """An annotation as the published ones are, parts of a person and all."""
    lines = [
        "<annotation>", "\t<folder>VOC2007</folder>", "\t<size>",
        f"\t\t<width>{size[0]}</width>", f"\t\t<height>{size[1]}</height>",
        "\t\t<depth>3</depth>", "\t</size>",
    ]  # fmt: skip
    for name, (xmin, ymin, xmax, ymax), difficult in objects:
        lines += [
            "\t<object>", f"\t\t<name>{name}</name>", "\t\t<pose>Left</pose>",
            "\t\t<truncated>1</truncated>", f"\t\t<difficult>{difficult}</difficult>",
            "\t\t<bndbox>", f"\t\t\t<xmin>{xmin:g}</xmin>", f"\t\t\t<ymin>{ymin:g}</ymin>",
            f"\t\t\t<xmax>{xmax:g}</xmax>", f"\t\t\t<ymax>{ymax:g}</ymax>", "\t\t</bndbox>",
            "\t\t<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax>"
            "<ymax>2</ymax></bndbox></part>",
            "\t</object>",
        ]  # fmt: skip
    return "\n".join([*lines, "</annotation>", ""])


def write(
    year: Path, name: str, objects: Sequence[Box] = ONE, size: tuple[int, int] = (20, 10)
) -> None:
    """One image of noise and its annotation."""
    for inside in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (year / inside).mkdir(parents=True, exist_ok=True)
    (year / "Annotations" / f"{name}.xml").write_text(annotation(size, objects))
    pixels = np.random.default_rng(len(name)).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(year / "JPEGImages" / f"{name}.jpg", quality=95)


def sets(year: Path, lists: Mapping[str, Sequence[str]]) -> None:
    """The files that say which image belongs to which set."""
    for name, images in lists.items():
        file = year / "ImageSets" / "Main" / f"{name}.txt"
        file.write_text("".join(f"{image}\n" for image in images))
