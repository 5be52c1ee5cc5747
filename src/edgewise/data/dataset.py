"""What a data set is: images that can be read in batches, and disjoint splits of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgewise.data.preprocess import Floats, Pixels, Preprocessing
from edgewise.errors import DataError

Labels = NDArray[np.int64]


class Images(Protocol):
    """Stored pixels, read a batch at a time."""

    def __len__(self) -> int: ...

    def read(self, start: int, stop: int) -> Pixels:
        """Images [start, stop), uint8 (n, height, width, channels)."""
        ...


@dataclass(frozen=True)
class ArrayImages:
    """Images that are in memory already: uint8 (n, height, width, channels)."""

    pixels: Pixels

    def __len__(self) -> int:
        return len(self.pixels)

    def read(self, start: int, stop: int) -> Pixels:
        return self.pixels[start:stop]


@dataclass(frozen=True)
class Split:
    """One part of a data set.

    labels: int64 (n,), or None where there are none; digest: SHA-256 over pixels and labels, or
    over the list of files, so that two splits can be shown to be what they were.
    """

    name: str
    images: Images
    labels: Labels | None
    digest: str

    def __len__(self) -> int:
        return len(self.images)

    def head(self, limit: int | None) -> "Split":
        """The first `limit` images, labelled as such in the digest."""
        if limit is None or limit >= len(self):
            return self
        labels = None if self.labels is None else self.labels[:limit]
        pixels = ArrayImages(self.images.read(0, limit))
        return Split(self.name, pixels, labels, f"{self.digest}[:{limit}]")

    def batches(self, size: int, contract: Preprocessing) -> Iterator[Floats]:
        """The network's input, `size` images at a time, in order."""
        for start in range(0, len(self), size):
            yield contract.apply(self.images.read(start, min(start + size, len(self))))


@dataclass(frozen=True)
class Dataset:
    """A named data set and its splits.

    contract: how its images become a network's input by default; stand_in_for: the set that a
    study would use in its place, shown wherever a figure from it is shown.
    """

    name: str
    classes: tuple[str, ...]
    contract: Preprocessing
    splits: tuple[Split, ...]
    stand_in_for: str | None = None

    def split(self, name: str) -> Split:
        """The split of that name; raises DataError when there is none."""
        for split in self.splits:
            if split.name == name:
                return split
        known = ", ".join(split.name for split in self.splits)
        raise DataError(f"{self.name} has no split '{name}'; it has {known}.")

    def digests(self) -> dict[str, str]:
        """Split name -> digest."""
        return {f"{self.name}/{split.name}": split.digest for split in self.splits}
