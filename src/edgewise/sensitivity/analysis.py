"""One sensitivity analysis: the three measures of every part, and whether they agree."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgewise.data.dataset import Dataset, Split
from edgewise.errors import UsageError
from edgewise.graph.network import Network
from edgewise.progress import Progress
from edgewise.sensitivity import loss, words
from edgewise.sensitivity.fit import Term, fit_terms
from edgewise.sensitivity.measured import Change, Scores, changes, resampled, score
from edgewise.sensitivity.noise import LayerNoise, layer_noise
from edgewise.sensitivity.parts import Part, parts
from edgewise.sensitivity.ranking import agreement
from edgewise.sensitivity.sample import batch_size, spread
from edgewise.sensitivity.simulation import Pair, quantized_pair
from edgewise.stats import Interval
from edgewise.steps.quantize import Quantize

BY = ("layer", "region")


@dataclass(frozen=True)
class Request:
    """What to analyse.

    quantize: how the network would be quantized; by: layer or region; images: how many at most the
    loss is measured on, and as many for the gradients.
    """

    network: Network
    data: Dataset
    quantize: Quantize
    by: str = "layer"
    images: int = 256
    seed: int = 0

    def __post_init__(self) -> None:
        if self.by not in BY:
            raise UsageError(f"sensitivity is by {' or by '.join(BY)}, not by '{self.by}'.")
        if self.images < 1:
            raise UsageError("a loss needs at least one image to be measured on.")


@dataclass(frozen=True)
class Finding:
    """The three measures of one part.

    change: measured, only this part quantized; alone_sqnr_db, accumulated_sqnr_db: lowest of its
    layers; fit_weights, fit_activations: its terms of FIT, summed.
    """

    part: Part
    change: Change
    alone_sqnr_db: float
    accumulated_sqnr_db: float
    fit_weights: float
    fit_activations: float

    @property
    def fit(self) -> float:
        return self.fit_weights + self.fit_activations

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.part.name,
            "region": self.part.region,
            "globs": list(self.part.globs),
            "layers": list(self.part.layers),
            "parameters": self.part.parameters,
            "change": asdict(self.change),
            "alone_sqnr_db": self.alone_sqnr_db,
            "accumulated_sqnr_db": self.accumulated_sqnr_db,
            "fit": self.fit,
            "fit_weights": self.fit_weights,
            "fit_activations": self.fit_activations,
        }


@dataclass(frozen=True)
class Analysis:
    """All findings, in the order the parts run.

    whole: all parts quantized together; agreements: rank correlation of each cheap measure with the
    measured one; splits: what was used for what.
    """

    request: Request
    findings: tuple[Finding, ...]
    whole: Change
    float_loss: float
    agreements: Mapping[str, Interval | None]
    splits: Mapping[str, Split]

    @property
    def ranked(self) -> tuple[Finding, ...]:
        """From the most sensitive to the least, by the measured loss."""
        return tuple(sorted(self.findings, key=lambda one: -one.change.loss.value))

    @property
    def is_held_out(self) -> bool:
        """Whether the loss is of other images than those that ranges were chosen by."""
        return self.splits["measured"].name != self.splits["cheap"].name

    def to_json(self) -> dict[str, Any]:
        request, measured = self.request, self.splits["measured"]
        return {
            "by": request.by,
            "data": request.data.name,
            "stand_in_for": request.data.stand_in_for,
            "quantize": request.quantize.to_json(),
            "weight_bits": request.quantize.scheme.weight_bits,
            "activation_bits": request.quantize.scheme.activation_bits,
            "loss": loss.kind_of(measured.labels),
            "float_loss": self.float_loss,
            "measured_on": _described(measured),
            "held_out": self.is_held_out,
            "cheap_on": _described(self.splits["cheap"]),
            "parts": [one.to_json() for one in self.findings],
            "whole": asdict(self.whole),
            "rank_correlation": {
                name: None if rho is None else asdict(rho) for name, rho in self.agreements.items()
            },
            "warnings": list(self.warnings()),
            "keep_float": [list(one.part.globs) for one in self.ranked],
        }

    def warnings(self) -> tuple[str, ...]:
        """What to know before choosing by these figures."""
        split = self.splits["measured"]
        losses = [one.change.loss for one in self.findings]
        chance = words.of_noise(losses, len(split), self.request.by)
        # What is ranked by chance cannot judge a measure.
        ranks = [] if chance else [words.of_rank(*pair) for pair in self.agreements.items()]
        said = (words.of_images(split, self.is_held_out), chance, *ranks)
        return tuple(text for text in said if text)


def analyse(request: Request, progress: Progress) -> Analysis:
    """Quantize the network, and judge every part of it by the three measures."""
    calibration = request.data.split("calibration")
    pair = quantized_pair(request.network, request.quantize, calibration, progress)
    judged = parts(pair.quantized, request.by)
    cheap = spread(calibration, request.images)
    terms = fit_terms(pair, cheap, progress, request.seed)
    noise = _noise(pair, cheap)
    measured = spread(_held_out(request.data), request.images)
    scores = score(pair, judged, measured, progress)
    *alone, whole = changes(scores, request.seed)
    findings = tuple(
        _finding(part, change, terms, noise) for part, change in zip(judged, alone, strict=True)
    )
    return Analysis(
        request,
        findings,
        whole,
        float(scores.losses[0].mean()),
        _agreements(findings, scores, request.seed),
        {"measured": measured, "cheap": cheap},
    )


def _held_out(data: Dataset) -> Split:
    names = {split.name for split in data.splits}
    return data.split("validation" if "validation" in names else "calibration")


def _noise(pair: Pair, split: Split) -> tuple[LayerNoise, ...]:
    count = batch_size(pair.floats)
    images = next(spread(split, count).batches(count, pair.floats.contract))
    return layer_noise(pair.floats, pair.quantized, torch.from_numpy(images))


def _finding(
    part: Part, change: Change, terms: Mapping[str, Term], noise: Sequence[LayerNoise]
) -> Finding:
    of_part = [one for one in noise if one.layer in part.layers]
    mine = [terms[name] for name in sorted(part.nodes) if name in terms]
    return Finding(
        part,
        change,
        min(one.alone_sqnr_db for one in of_part),
        min(one.accumulated_sqnr_db for one in of_part),
        sum(term.fit for term in mine if term.role == "weight"),
        sum(term.fit for term in mine if term.role == "activation"),
    )


def _agreements(
    findings: Sequence[Finding], scores: Scores, seed: int
) -> dict[str, Interval | None]:
    increases = scores.increases[:-1]  # the last is of all together
    measured, draws = increases.mean(axis=1), resampled(increases, seed)
    # Less signal over noise is more sensitive.
    cheap = {
        "SQNR": _column([-one.alone_sqnr_db for one in findings]),
        "FIT": _column([one.fit for one in findings]),
    }
    return {name: agreement(values, measured, draws) for name, values in cheap.items()}


def _column(values: Sequence[float]) -> NDArray[np.float64]:
    return np.array(values, dtype=np.float64)


def _described(split: Split) -> dict[str, Any]:
    return {"split": split.name, "images": len(split), "digest": split.digest}
