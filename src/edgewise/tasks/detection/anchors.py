"""Anchors from the boxes of a training set: k-means by shape (Redmon & Farhadi 2017)."""

import numpy as np
from numpy.typing import NDArray

from edgewise.errors import DataError
from edgewise.tasks.detection.decoder import Size

Sizes = NDArray[np.float64]

_STARTS = 8
_TURNS = 300


def find_anchors(
    sizes: NDArray[np.floating], maps: int, each: int, seed: int = 0
) -> tuple[tuple[Size, ...], ...]:
    """Anchors of every map, coarsest first, each map's from small to large.

    sizes: width and height of boxes (n, 2), in pixels of the network's input. The distance is one
    less the overlap of shapes, a cluster's centre the medians of its sides; of several seeded
    starts, that of the highest mean overlap. Raises DataError where there are fewer unlike boxes
    than anchors.
    """
    boxes = np.asarray(sizes, np.float64)
    count = maps * each
    if boxes.ndim != 2 or boxes.shape[1] != 2 or not (np.isfinite(boxes) & (boxes > 0)).all():
        raise DataError("anchors are made from widths and heights (n, 2), finite and over zero.")
    unlike = np.unique(boxes, axis=0)
    if not 0 < count <= len(unlike):
        raise DataError(f"{len(unlike)} unlike boxes cannot give {count} anchors; ask for fewer.")
    random = np.random.default_rng(seed)
    tried = [_cluster(boxes, unlike[random.choice(len(unlike), count, replace=False)])
             for _ in range(_STARTS)]  # fmt: skip
    best = max(tried, key=lambda centres: mean_overlap(boxes, centres))
    best = best[np.lexsort((best[:, 0], best.prod(axis=1)))]
    groups = best.reshape(maps, each, 2)[::-1]
    return tuple(tuple((float(w), float(h)) for w, h in group) for group in groups)


def mean_overlap(sizes: NDArray[np.floating], anchors: NDArray[np.floating]) -> float:
    """Mean over boxes (n, 2) of the overlap of shapes with the best of anchors (k, 2)."""
    return float(_overlap(np.asarray(sizes, np.float64), anchors).max(axis=1).mean())


def _cluster(boxes: Sizes, centres: Sizes) -> Sizes:
    """Where Lloyd's iteration ends from these centres; a centre that nobody is near to stays."""
    nearest = np.full(len(boxes), -1)
    for _ in range(_TURNS):
        found = _overlap(boxes, centres).argmax(axis=1)
        if np.array_equal(found, nearest):
            break
        nearest = found
        centres = np.array([
            np.median(boxes[nearest == place], axis=0) if (nearest == place).any() else centre
            for place, centre in enumerate(centres)
        ])  # fmt: skip
    return centres


def _overlap(boxes: Sizes, centres: NDArray[np.floating]) -> Sizes:
    common = np.minimum(boxes[:, None], centres).prod(axis=2)
    shares: Sizes = common / (boxes.prod(axis=1)[:, None] + centres.prod(axis=1) - common)
    return shares
