"""Test images that a page can show, kept in the bundle because a report reads nothing else."""

from collections.abc import Sequence

import numpy as np

from edgewise import store
from edgewise.data.npz import to_npz
from edgewise.pipeline.work import Work

PICTURES = "records/pictures.npz"
_MOST = 8


def save_pictures(work: Work, chosen: Sequence[bool]) -> str | None:
    """The first chosen images as they are stored; None where they are no pixels, or of another
    size than the network's input, in whose pixels boxes are.
    """
    contract = work.request.contract
    places = [place for place, one in enumerate(chosen) if one][:_MOST]
    pixels = [work.test.images.read(place, place + 1) for place in places]
    if not pixels or any(
        one.dtype != np.uint8 or one.shape[1:3] != (contract.height, contract.width)
        for one in pixels
    ):
        return None
    content = to_npz({"pixels": np.concatenate(pixels), "images": np.array(places)})
    store.write_bytes(work.folder / PICTURES, content)
    return PICTURES


def class_names(work: Work, classes: int) -> list[str]:
    """Of every class that a detector knows; its number where data name others or none."""
    known = work.request.data.classes
    return list(known) if len(known) == classes else [f"class {place}" for place in range(classes)]
