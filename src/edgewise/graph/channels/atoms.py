"""Single channels, joined where they can only be removed together."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]


@dataclass
class Atoms:
    """Union-find over channels, with the reason why those of a set must stay.

    A channel that a layer makes is an atom; adding two tensors joins theirs pairwise.
    """

    _parent: list[int] = field(default_factory=list)
    _reasons: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._parent)

    def new(self, count: int, reason: str | None = None) -> Labels:
        """So many channels more; with a reason, they must stay."""
        first = len(self._parent)
        made = np.arange(first, first + count, dtype=np.int64)
        self._parent.extend(made.tolist())
        if reason is not None:
            self.keep(made, reason)
        return made

    def find(self, atom: int) -> int:
        """The one that stands for all that are joined with it."""
        root = atom
        while self._parent[root] != root:
            root = self._parent[root]
        while self._parent[atom] != root:
            self._parent[atom], atom = root, self._parent[atom]
        return root

    def join(self, ones: Labels, others: Labels) -> None:
        """Channel by channel; the first reason for staying is that of both."""
        for one, other in zip(ones.tolist(), others.tolist(), strict=True):
            first, second = self.find(one), self.find(other)
            if first == second:
                continue
            self._parent[second] = first
            reason = self._reasons.pop(second, None)
            if reason is not None:
                self._reasons.setdefault(first, reason)

    def keep(self, labels: Labels, reason: str) -> None:
        """These must stay, for that reason; an earlier reason is not replaced."""
        for atom in labels.tolist():
            self._reasons.setdefault(self.find(atom), reason)

    def resolved(self, labels: Labels) -> Labels:
        """The same channels, each by the one that stands for its set."""
        return np.fromiter((self.find(atom) for atom in labels.tolist()), np.int64, len(labels))

    def reason(self, atom: int) -> str | None:
        """Why it must stay; None when it can go."""
        return self._reasons.get(self.find(atom))
