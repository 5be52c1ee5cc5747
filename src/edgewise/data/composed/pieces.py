"""Photographs and cut-outs of the composed set, from the packages that have them.

Photographs: darknet (MIT), lomiri-wallpapers (CC BY, CC BY-SA and CC0, 2018), MATE's
backgrounds (GPL-2+), scikit-image's samples (CC0 or public domain). Cut-outs: the stamps of Tux
Paint (GPL-2). They are read on the machine that fetched them and passed on to nobody.
"""

import hashlib
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from edgewise import store
from edgewise.data.acquire import File
from edgewise.data.archives import spill, unzip
from edgewise.data.composed.resize import premultiplied, resized
from edgewise.data.idx import idx_bytes, read_idx
from edgewise.data.preprocess import Pixels
from edgewise.data.sources import Debian, PyPI, Together
from edgewise.errors import DataError, StorageError

PHOTOGRAPHS = "photographs-idx4-ubyte"
CUTOUTS = "cutouts-idx4-ubyte"
FILES = (
    File(
        PHOTOGRAPHS,
        25_536_020,
        "a020e072bdd95f558ef5c3b4dfabc9ac78721fbbd2bd42604b9dec61ca01f47e",
    ),
    File(
        CUTOUTS,
        4_440_084,
        "e5c4d71648daae5226127d662d22ca188362dd0d1288ff1595f0b71ca7e4b156",
    ),
)

# Disjoint, and each with scenes of every kind. No place and no flower is in two
# splits, and photographs that show digits are left out.
CHOSEN = {
    "train": (
        "darknet/dog darknet/horses darknet/person darknet/giraffe "
        "lomiri/Dragonfly_by_Bolly lomiri/Picture_0B_by_freespace lomiri/Picture_1A_by_freespace "
        "lomiri/aitzgorri_by_Aitzol_Berasategi lomiri/free_by_Peter_Nerlich "
        "lomiri/picosdeeuropa_by_Aitzol_Berasategi lomiri/seeding_by_Clements_Engelhardt "
        "lomiri/Wine_by_Jakkub_Mede "
        "mate/Aqua mate/Dune mate/Garden mate/TwoWings mate/Storm mate/RainDrops mate/Wood "
        "skimage/astronaut skimage/brick skimage/gravel skimage/motorcycle_left skimage/rocket"
    ),
    "validation": (
        "darknet/kite lomiri/Bridge_by_Sander_Klootwijk lomiri/sunset_by_Aitzol_Berasategi "
        "mate/YellowFlower mate/GreenMeadow skimage/coffee"
    ),
    "test": (
        "darknet/eagle lomiri/friends_by_Aitzol_Berasategi lomiri/life_by_Aitzol_Berasategi "
        "mate/Blinds mate/FreshFlower mate/LadyBird skimage/chelsea skimage/grass"
    ),
}
_FOLDERS = {
    "darknet": "darknet/files/usr/share/darknet/data",
    "lomiri": "lomiri/files/usr/share/backgrounds",
    "mate": "mate/files/usr/share/backgrounds/mate/nature",
    "skimage": "skimage",
}
_STAMPS = "stamps/files/usr/share/tuxpaint/stamps"
_KINDS = ("animals", "food", "household", "plants", "sports", "vehicles")
_DRAWINGS = ("cartoon", "echidna", "hedgehog", "pizza", "sedan_police", "rugby_goal_posts")
_PHOTOGRAPHS_DIGEST = "de854e1c10da939b95daf5153eb9aee00a9191ae5a3de195a1e4b46c9da34e6c"
_CUTOUTS_DIGEST = "017f7ad5a5564946d124c4164acbfe02f276527af60a29ffa665591a87ecc5d2"

HEIGHT, WIDTH = 400, 560  # the smallest crop of a photograph, 40 %, is a picture's side
CUTOUT = 64

SOURCE = Together(
    (
        ("darknet", Debian("darknet")),
        ("lomiri", Debian("lomiri-wallpapers-16.04")),
        ("mate", Debian("mate-backgrounds")),
        ("skimage", PyPI("scikit-image", "0.26.0")),
        ("stamps", Debian("tuxpaint-stamps-default")),
    )
)


def cutouts_of(split: str) -> slice:
    """Which cut-outs a split has: disjoint thirds by place, so that kinds are spread evenly."""
    return slice(("train", "validation", "test").index(split), None, 3)


def photographs_of(split: str) -> slice:
    """Which photographs a split has, in the order in which they are stored."""
    start = 0
    for name, chosen in CHOSEN.items():
        count = len(chosen.split())
        if name == split:
            return slice(start, start + count)
        start += count
    raise DataError(f"the composed set has no split '{split}'; it has {', '.join(CHOSEN)}.")


def photographs(folder: Path, without: str) -> list[Image.Image]:
    """The photographs that lie in the set's folder, but those of one package.

    Raises DataError where they are not there.
    """
    names = " ".join(CHOSEN.values()).split()
    stored = read_idx(folder / PHOTOGRAPHS)
    kept = (place for place, name in enumerate(names) if not name.startswith(f"{without}/"))
    return [Image.fromarray(stored[place]) for place in kept]


def unpack(brought: Path, files: Path) -> None:
    """The two files of pieces, made of what the packages hold; raises DataError."""
    photographs = _photographs(brought)
    _expect(photographs, _PHOTOGRAPHS_DIGEST, "the photographs")
    stamps = _stamps(brought / _STAMPS)
    _expect(stamps, _CUTOUTS_DIGEST, "the cut-outs")
    for name, pieces in (
        (PHOTOGRAPHS, [_decoded(file, "RGB") for file in photographs]),
        (CUTOUTS, [_decoded(file, "RGBA") for file in stamps]),
    ):
        spill(files / name, iter([idx_bytes(np.stack(pieces))]))


def _photographs(brought: Path) -> list[Path]:
    """Where the chosen photographs lie, in order."""
    wheels = list((brought / "skimage").glob("*.whl"))
    if len(wheels) != 1:
        raise DataError(f"scikit-image came as {len(wheels)} wheels, not one")
    found = []
    for name in " ".join(CHOSEN.values()).split():
        package, _, stem = name.partition("/")
        folder = brought / _FOLDERS[package]
        if package == "skimage":
            file = f"{stem}.jpg" if stem == "rocket" else f"{stem}.png"
            unzip(wheels[0], f"skimage/data/{file}", folder / file, 1 << 20)
        else:
            file = f"{stem}.jpg"
        found.append(folder / file)
    return found


def _stamps(folder: Path) -> list[Path]:
    """The stamps that are photographs of the kinds we want, in the order of their names."""
    found = [file for kind in _KINDS for file in sorted((folder / kind).rglob("*.png"))]
    names = [str(file.relative_to(folder)) for file in found]
    return [
        file
        for file, name in zip(found, names, strict=True)
        if not any(word in name for word in _DRAWINGS)
    ]


def _expect(files: Sequence[Path], digest: str, what: str) -> None:
    """Raises DataError unless these are the files that the set is made of."""
    content = hashlib.sha256()
    try:
        for file in files:
            content.update(f"{file.name}\0{store.digest_file(file)}\n".encode())
    except StorageError as error:
        raise DataError(f"{what} are not all there: {error}") from error
    if content.hexdigest() != digest:
        raise DataError(
            f"{what} are {len(files)} files with the digest {content.hexdigest()}, not {digest}: "
            "the packages hold other versions of them"
        )


def _decoded(file: Path, mode: str) -> Pixels:
    """A photograph that fills 400 x 560, or a cut-out in the corner of 64 x 64."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=("PNG", "JPEG")) as image:
                whole = image.convert(mode)
    except Exception as error:  # Pillow raises what the file's format dictates
        raise DataError(f"{file.name} cannot be decoded: {error}") from error
    pixels = np.asarray(whole, np.uint8)
    return _filled(pixels) if mode == "RGB" else _cornered(pixels)


def _filled(pixels: Pixels) -> Pixels:
    """The middle of a photograph, 400 x 560."""
    height, width = pixels.shape[:2]
    high = max(1, min(height, width * HEIGHT // WIDTH))
    wide = max(1, min(width, height * WIDTH // HEIGHT))
    top, left = (height - high) // 2, (width - wide) // 2
    return resized(pixels[top : top + high, left : left + wide], HEIGHT, WIDTH)


def _cornered(pixels: Pixels) -> Pixels:
    """A cut-out in the corner of 64 x 64, its colours multiplied by alpha."""
    height, width = pixels.shape[:2]
    longest = max(height, width)
    size = max(1, height * CUTOUT // longest), max(1, width * CUTOUT // longest)
    canvas = np.zeros((CUTOUT, CUTOUT, 4), np.uint8)
    canvas[: size[0], : size[1]] = resized(premultiplied(pixels), *size)
    return canvas
