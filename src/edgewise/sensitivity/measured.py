"""Measured sensitivity: how much the loss grows when only one part is quantized."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgewise.data.dataset import Labels, Split
from edgewise.progress import Progress
from edgewise.sensitivity import loss
from edgewise.sensitivity.parts import Part
from edgewise.sensitivity.sample import batches
from edgewise.sensitivity.simulation import Pair, Simulation
from edgewise.stats import Interval
from edgewise.tasks.classification import Estimate, paired_difference

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_RESAMPLES = 2000
_AT_ONCE = 1 << 22  # weights of resamples held at a time


@dataclass(frozen=True)
class Scores:
    """Losses, float64, and classes, int64: (variants, images), the float network's first.

    The others are the parts, each quantized alone, in order, and last all of them together.
    """

    losses: Floats
    classes: Ints
    labels: Labels | None

    @property
    def increases(self) -> Floats:
        """Loss beyond the float network's on the same image: (variants - 1, images)."""
        increases: Floats = self.losses[1:] - self.losses[0]
        return increases


@dataclass(frozen=True)
class Change:
    """What quantization does on average: paired by image, with 95 % intervals.

    loss: increase, nats; standard_error: of it; accuracy: change of the share of right answers,
    None without labels; agreement: share of images that get the float network's class.
    """

    loss: Interval
    standard_error: float
    accuracy: Estimate | None
    agreement: float


@torch.no_grad()
def score(pair: Pair, parts: Sequence[Part], split: Split, progress: Progress) -> Scores:
    """Run the float network, every part alone, and all parts, on each image."""
    simulation, done = Simulation(pair), 0
    found = []
    for images, labels in batches(split, pair.floats):
        variants = []
        for outputs, floats in _outputs(simulation, parts, images):
            variants.append((loss.losses(outputs, floats, labels), loss.classes(outputs)))
            part = max(0, min(len(variants) - 1, len(parts)))
            progress("quantize one at a time", done + part * len(images), len(parts) * len(split))
        found.append([torch.stack(column) for column in zip(*variants, strict=True)])
        done += len(parts) * len(images)
    losses, classes = (torch.cat(column, 1).numpy() for column in zip(*found, strict=True))
    return Scores(losses, classes, split.labels)


def _outputs(
    simulation: Simulation, parts: Sequence[Part], images: Tensor
) -> Iterator[tuple[Tensor, Tensor]]:
    """Outputs of every variant, each with the float network's."""
    values = simulation.floats(images)
    floats = simulation.answer(values)
    yield floats, floats
    for part in parts:
        yield simulation.answer(values, part.nodes), floats
    yield simulation.answer(values, frozenset().union(*(part.nodes for part in parts))), floats


def resampled(increases: Floats, seed: int) -> Floats:
    """Mean increases of resamples of the images: (resamples, variants), the same for all."""
    random, count = np.random.default_rng(seed), increases.shape[1]
    rows = max(1, min(_RESAMPLES, _AT_ONCE // count))
    means = []
    for first in range(0, _RESAMPLES, rows):
        size = min(rows, _RESAMPLES - first)
        drawn = random.multinomial(count, np.full(count, 1 / count), size)
        means.append(drawn @ increases.T / count)
    return np.concatenate(means)


def changes(scores: Scores, seed: int) -> tuple[Change, ...]:
    """The change that each variant after the float network makes."""
    increases = scores.increases
    means = resampled(increases, seed)
    lows, highs = np.quantile(means, (0.025, 0.975), axis=0)
    count = increases.shape[1]
    errors = increases.std(axis=1, ddof=1 if count > 1 else 0) / np.sqrt(count)
    found = []
    for place, value in enumerate(increases.mean(axis=1)):
        answers = scores.classes[place + 1]
        found.append(
            Change(
                Interval(float(value), float(lows[place]), float(highs[place])),
                float(errors[place]),
                _accuracy(scores, answers),
                float((answers == scores.classes[0]).mean()),
            )
        )
    return tuple(found)


def _accuracy(scores: Scores, answers: Ints) -> Estimate | None:
    if scores.labels is None:
        return None
    return paired_difference(answers == scores.labels, scores.classes[0] == scores.labels)
