"""What a data set is: images that can be read in batches, and disjoint splits of them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from edgewise.data.objects import Objects
from edgewise.data.preprocess import Fit, Floats, Preprocessing, Stored
from edgewise.errors import DataError, UsageError

Labels = NDArray[np.int64]


class Images(Protocol):
    """Stored images, read a batch at a time."""

    def __len__(self) -> int: ...

    def read(self, start: int, stop: int) -> Stored:
        """Images [start, stop): uint8 (n, height, width, channels).

        Or float32 (n, channels, height, width), where the contract says that they are finished.
        """
        ...


@runtime_checkable
class ImageFiles(Images, Protocol):
    """Images that are brought to the input's size when they are read."""

    def fitted(self, fit: Fit) -> Images:
        """The same images, brought there in that way."""
        ...


@dataclass(frozen=True)
class ArrayImages:
    """Images that are in memory already."""

    pixels: Stored

    def __len__(self) -> int:
        return len(self.pixels)

    def read(self, start: int, stop: int) -> Stored:
        return self.pixels[start:stop]


@dataclass(frozen=True)
class FirstImages:
    """The first `limit` of other images, still read only when asked for."""

    images: Images
    limit: int

    def __len__(self) -> int:
        return min(self.limit, len(self.images))

    def read(self, start: int, stop: int) -> Stored:
        return self.images.read(start, min(stop, len(self)))


@dataclass(frozen=True)
class JoinedImages:
    """Images of several sources, one after the other."""

    parts: tuple[Images, ...]

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def read(self, start: int, stop: int) -> Stored:
        found, first = [], 0
        for part in self.parts:
            low, high = max(start - first, 0), min(stop - first, len(part))
            if low < high:
                found.append(part.read(low, high))
            first += len(part)
        whole: Stored = np.concatenate(found)  # type: ignore[assignment]
        return whole


@dataclass(frozen=True)
class Split:
    """One part of a data set.

    labels: int64 (n,), or None where there are none; digest: SHA-256 over pixels and labels, or
    over the list of files, so that two splits can be shown to be what they were; objects: of every
    image, or None where nobody looked for them; left_out: what is wrong with each broken image that
    the reader was asked to pass over.
    """

    name: str
    images: Images
    labels: Labels | None
    digest: str
    objects: tuple[Objects, ...] | None = None
    left_out: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    def head(self, limit: int | None) -> "Split":
        """The first `limit` images, labelled as such in the digest."""
        if limit is None or limit >= len(self):
            return self
        if limit < 1:
            raise UsageError(f"a split of {limit} images cannot be used; ask for one or more.")
        labels = None if self.labels is None else self.labels[:limit]
        images = FirstImages(self.images, limit)
        objects = None if self.objects is None else self.objects[:limit]
        digest = f"{self.digest}[:{limit}]"
        return Split(self.name, images, labels, digest, objects, self.left_out)

    def batches(self, size: int, contract: Preprocessing) -> Iterator[Floats]:
        """The network's input, `size` images at a time, in order.

        Raises DataError, naming the first, for an image with values that are not finite.
        """
        for start in range(0, len(self), size):
            batch = contract.apply(self.images.read(start, min(start + size, len(self))))
            finite = np.isfinite(batch).all(axis=tuple(range(1, batch.ndim)))
            if not finite.all():
                raise DataError(
                    f"image {start + int(finite.argmin())} of {self.name} holds values that are "
                    "not finite; repair it or leave it out."
                )
            yield batch


@dataclass(frozen=True)
class Dataset:
    """A named data set and its splits.

    contract: how its images become a network's input by default; stand_in_for: the set that a
    study would use in its place, shown wherever a figure from it is shown; unmirrored: classes that
    a mirror changes, as it does digits.
    """

    name: str
    classes: tuple[str, ...]
    contract: Preprocessing
    splits: tuple[Split, ...]
    stand_in_for: str | None = None
    unmirrored: tuple[int, ...] = ()

    def split(self, name: str) -> Split:
        """The split of that name; raises DataError when there is none."""
        for split in self.splits:
            if split.name == name:
                return split
        known = ", ".join(split.name for split in self.splits)
        raise DataError(f"{self.name} has no split '{name}'; it has {known}.")

    def fitted(self, fit: Fit) -> "Dataset":
        """The same set with its image files brought to the input's size in that way."""
        if fit == self.contract.fit:
            return self
        splits = tuple(
            replace(one, images=one.images.fitted(fit), digest=f"{one.digest}, {fit}")
            if isinstance(one.images, ImageFiles)
            else one
            for one in self.splits
        )
        return replace(self, contract=replace(self.contract, fit=fit), splits=splits)

    def joined(self, *names: str) -> Split:
        """Several splits as one, in that order; labels and objects where all parts have some."""
        parts = [self.split(name) for name in names]
        labels = [part.labels for part in parts if part.labels is not None]
        objects = [part.objects for part in parts if part.objects is not None]
        return Split(
            "+".join(names),
            JoinedImages(tuple(part.images for part in parts)),
            np.concatenate(labels) if len(labels) == len(parts) else None,
            "+".join(part.digest for part in parts),
            tuple(one for some in objects for one in some) if len(objects) == len(parts) else None,
            tuple(why for part in parts for why in part.left_out),
        )

    def digests(self) -> dict[str, str]:
        """Split name -> digest."""
        return {f"{self.name}/{split.name}": split.digest for split in self.splits}
