"""The paper's own figures: MNIST, per cent right, means of ten runs."""

from collections.abc import Mapping

BASELINE: Mapping[str, float] = {"FP32": 97.92, "FP16": 98.40, "INT8": 98.48}

# criterion -> sparsity -> precision; read as shares of links that were removed.
PRUNED: Mapping[str, Mapping[float, Mapping[str, float]]] = {
    "shapley": {
        0.83: {"FP32": 97.85, "FP16": 98.03, "INT8": 98.04},
        0.88: {"FP32": 97.21, "FP16": 97.19, "INT8": 97.13},
        0.92: {"FP32": 95.96, "FP16": 95.98, "INT8": 95.82},
        0.95: {"FP32": 88.41, "FP16": 88.63, "INT8": 88.24},
    },
    "magnitude": {
        0.82: {"FP32": 94.31, "FP16": 94.44, "INT8": 94.19},
        0.88: {"FP32": 94.60, "FP16": 88.84, "INT8": 88.82},
        0.91: {"FP32": 83.04, "FP16": 83.10, "INT8": 83.21},
        0.95: {"FP32": 76.20, "FP16": 75.78, "INT8": 75.23},
    },
}
# The paper's sparsity that stands beside one of ours.
BESIDE: Mapping[str, Mapping[float, float]] = {"magnitude": {0.83: 0.82, 0.92: 0.91}}


def beside(criterion: str, sparsity: float, precision: str) -> float | None:
    """The paper's figure nearest to a cell of ours, or None where it has none."""
    theirs = BESIDE.get(criterion, {}).get(sparsity, sparsity)
    return PRUNED.get(criterion, {}).get(theirs, {}).get(precision)
