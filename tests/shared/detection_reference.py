"""Overlap of two boxes (left, top, right, bottom), one pair a time and in float64."""

import math


def share(first: list[float], second: list[float]) -> float:
    """Intersection over union."""
    a, b, c, d = first
    e, f, g, h = second
    common = max(min(c, g) - max(a, e), 0) * max(min(d, h) - max(b, f), 0)
    return common / ((c - a) * (d - b) + (g - e) * (h - f) - common)


def complete(ours: list[float], theirs: list[float]) -> float:
    """CIoU by the formulas of the paper (Zheng et al. 2020)."""
    (a, b, c, d), (e, f, g, h) = ours, theirs
    shared = share(ours, theirs)
    distance = ((a + c - e - g) / 2) ** 2 + ((b + d - f - h) / 2) ** 2
    diagonal = (max(c, g) - min(a, e)) ** 2 + (max(d, h) - min(b, f)) ** 2
    angle = math.atan((g - e) / (h - f)) - math.atan((c - a) / (d - b))
    unlike = 4 / math.pi**2 * angle**2
    return shared - distance / diagonal - unlike**2 / (1 - shared + unlike)
