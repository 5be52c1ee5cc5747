"""How large the study is run."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """Seeds, what is trained how long, and what the SVM sees.

    sparsities: shares of links that go; dense, finetune: epochs of the autoencoder and after
    pruning; samples: images that every SVM is fitted on; whole: sparsities at which one is fitted
    on the whole official training set too; forms: seeds for which all formulations are tried;
    timed: sparsities whose artifacts are measured, by which protocol.
    """

    seeds: int
    sparsities: tuple[float, ...]
    dense: int
    finetune: int
    samples: int
    whole: tuple[float, ...] = ()
    forms: int = 0
    timed: tuple[float, ...] = (0.0, 0.88, 0.95)
    protocol: str = "full"
    summary: str = ""


_ALL = (0.83, 0.88, 0.92, 0.95, 0.98)

SCALES: Mapping[str, Scale] = {
    "quick": Scale(2, (0.88, 0.95), 6, 4, 4_000, protocol="quick",
                   summary="two seeds, two sparsities, small SVMs: under 40 minutes on two cores"),
    "full": Scale(10, _ALL, 15, 10, 20_000, (0.88, 0.95), 2,
                  summary="ten seeds, five sparsities; hours on two cores, cells by the minute"),
}  # fmt: skip
