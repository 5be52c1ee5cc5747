"""The support vector machine that judges: scikit-learn's SVC with its defaults."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.svm import SVC
from torch import Tensor

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]

FITTED_BY = "sklearn.svm"
_ROWS = 1000  # of images that are told at a time


class Machine:
    """An SVM with an RBF kernel, C = 1 and gamma by scale: those that give the paper's baseline on
    raw pixels. One class is held against one other, and the one with most votes is told.

    images: (n, features); labels: (n,), of two classes or more. libsvm fits every pair of classes
    to kernel values that are computed here by matrix products, each once: a class's own serve all
    its pairs. Left to itself it takes them vector by vector, which is most of its time.
    """

    def __init__(self, images: Floats, labels: Labels) -> None:
        self._gamma = 1 / (images.shape[1] * float(images.var(dtype=np.float64)))
        self._classes: Labels = np.unique(labels)
        members = [np.flatnonzero(labels == one) for one in self._classes]
        pairs = list(combinations(range(len(members)), 2))
        weights = np.zeros((len(images), len(pairs)), np.float32)
        offsets = np.zeros(len(pairs), np.float32)
        kernels = _Kernels([_Points.of(images[those]) for those in members], self._gamma)
        for place, (one, other) in enumerate(pairs):
            made = SVC(kernel="precomputed")
            # The greater label is libsvm's positive side: the first of the pair here.
            sides = np.repeat([1, 0], [len(members[one]), len(members[other])])
            made.fit(kernels.of_pair(one, other), sides)
            both = np.concatenate([members[one], members[other]])
            weights[both[made.support_], place] = made.dual_coef_[0]
            offsets[place] = made.intercept_[0]
        support = np.flatnonzero(weights.any(1))
        self._vectors = _Points.of(images[support])
        self._weights = torch.from_numpy(weights[support])
        self._offsets = torch.from_numpy(offsets)

    def tell(self, images: Floats) -> Labels:
        """The class of every image."""
        parts = [self._tell(images[at : at + _ROWS]) for at in range(0, len(images), _ROWS)]
        return np.concatenate(parts)

    def accuracy(self, images: Floats, labels: Labels) -> float:
        """Share of images that it tells right."""
        return float((self.tell(images) == labels).mean())

    def _tell(self, images: Floats) -> Labels:
        kernel = _kernel(_Points.of(images), self._vectors, self._gamma)
        first = (kernel @ self._weights + self._offsets > 0).numpy()
        votes = np.zeros((len(images), len(self._classes)), np.int64)
        for place, (one, other) in enumerate(combinations(range(len(self._classes)), 2)):
            votes[:, one] += first[:, place]
            votes[:, other] += ~first[:, place]
        told: Labels = self._classes[votes.argmax(1)]
        return told


@dataclass(frozen=True)
class _Points:
    """Vectors (n, features), and the square of each one's length, (n,)."""

    vectors: Tensor
    squares: Tensor

    @classmethod
    def of(cls, images: Floats) -> "_Points":
        squares = np.square(images, dtype=np.float64).sum(1).astype(np.float32)
        return cls(torch.from_numpy(np.ascontiguousarray(images)), torch.from_numpy(squares))


class _Kernels:
    """Kernel values among the points of classes."""

    def __init__(self, classes: Sequence[_Points], gamma: float) -> None:
        self._classes, self._gamma = classes, gamma
        self._own = [_kernel(points, points, gamma) for points in classes]
        most = sum(sorted(len(own) for own in self._own)[-2:])
        self._space = np.empty(most * most)

    def of_pair(self, one: int, other: int) -> NDArray[np.float64]:
        """Among the points of two classes, (n, n); good until the next pair is asked for."""
        first, second = self._own[one].numpy(), self._own[other].numpy()
        across = _kernel(self._classes[one], self._classes[other], self._gamma).numpy()
        ends, whole = len(first), len(first) + len(second)
        made = self._space[: whole * whole].reshape(whole, whole)
        made[:ends, :ends], made[:ends, ends:] = first, across
        made[ends:, :ends], made[ends:, ends:] = across.T, second
        return made


def _kernel(rows: _Points, columns: _Points, gamma: float) -> Tensor:
    """exp(-gamma |x - y|^2) of every row with every column."""
    products = rows.vectors @ columns.vectors.T
    distances = products.mul_(-2).add_(rows.squares[:, None]).add_(columns.squares)
    return distances.clamp_(min=0).mul_(-gamma).exp_()
