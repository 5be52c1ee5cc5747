"""The support vector machine that judges: scikit-learn's SVC with its defaults."""

import importlib.util
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.loading import load_module

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]

_ROWS = 1000  # of images that are told at a time
_CACHE_MB = 2000  # of kernel values, while a machine is fitted


def solver() -> str:
    """Which package fits: Intel's where it is installed, else scikit-learn's own."""
    return "sklearnex.svm" if importlib.util.find_spec("sklearnex") else "sklearn.svm"


def use_threads(count: int) -> None:
    """How many threads a fit takes; scikit-learn's own takes one."""
    if solver() != "sklearn.svm":
        load_module("daal4py").daalinit(count)


class Machine:
    """An SVM with an RBF kernel, C = 1 and gamma by scale: those that give the paper's baseline on
    raw pixels. One class is held against one other, and the one with most votes is told.

    images: (n, features); labels: (n,), of three classes or more. What it tells is computed here
    by matrix products, as libsvm would by loops, and does not depend on who fitted.
    """

    def __init__(self, images: Floats, labels: Labels) -> None:
        self._gamma = 1 / (images.shape[1] * float(images.var(dtype=np.float64)))
        made: Any = load_module(solver()).SVC(gamma=self._gamma, cache_size=_CACHE_MB)
        made.fit(images, labels)
        self._classes: Labels = np.asarray(made.classes_)
        ends = np.cumsum(made.n_support_)
        self._of = [slice(end - n, end) for end, n in zip(ends, made.n_support_, strict=True)]
        self._vectors = np.ascontiguousarray(made.support_vectors_, np.float32)
        self._squares = np.square(self._vectors, dtype=np.float64).sum(1)
        self._weights = np.asarray(made.dual_coef_, np.float64)
        self._offsets = np.asarray(made.intercept_, np.float64)

    def tell(self, images: Floats) -> Labels:
        """The class of every image."""
        parts = [self._tell(images[at : at + _ROWS]) for at in range(0, len(images), _ROWS)]
        return np.concatenate(parts)

    def accuracy(self, images: Floats, labels: Labels) -> float:
        """Share of images that it tells right."""
        return float((self.tell(images) == labels).mean())

    def _tell(self, images: Floats) -> Labels:
        rows = np.square(images, dtype=np.float64).sum(1)[:, None]
        distances = rows + self._squares - 2.0 * (images @ self._vectors.T)
        kernel = np.exp(-self._gamma * np.maximum(distances, 0))
        # For each class: what its vectors say against every other one, (images, classes - 1).
        said = [kernel[:, own] @ self._weights[:, own].T for own in self._of]
        votes = np.zeros((len(images), len(self._classes)), np.int64)
        for place, (one, other) in enumerate(combinations(range(len(self._classes)), 2)):
            decision = said[one][:, other - 1] + said[other][:, one] + self._offsets[place]
            votes[:, one] += decision > 0
            votes[:, other] += decision <= 0
        told: Labels = self._classes[votes.argmax(1)]
        return told
