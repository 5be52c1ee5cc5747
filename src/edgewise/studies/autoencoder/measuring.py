"""Time, memory and processor of the study's artifacts on a device."""

from collections.abc import Sequence
from typing import Any

import torch

from edgewise.dispatch import Variant
from edgewise.graph.capture import capture
from edgewise.measure import Inputs
from edgewise.models.builtin import build
from edgewise.studies import measured
from edgewise.studies.autoencoder.judging import PRECISIONS
from edgewise.studies.autoencoder.networks import MODEL, Job, Pruning, prune
from edgewise.study import Bench
from edgewise.targets.tflite.target import LiteRtTarget

_CHECKED, _TIMED = 16, 32


def measure_artifacts(
    job: Job, sparsities: Sequence[float], label: str, url: str, name: str, bench: Bench
) -> Any:  # fmt: skip
    """Write and measure every sparsity at every precision, interleaved; name: of the cell.

    label: of the protocol, quick or full; url: of the device. Weights are random, pruned by
    magnitude: which links are gone changes neither the time nor the size of a dense kernel.
    """
    job.start()
    contract, progress = job.data.contract, bench.progress
    network = capture(build(MODEL, {}), contract, MODEL)
    calibration, test = job.data.split("calibration"), job.data.split("test")
    batch = torch.from_numpy(next(calibration.batches(_CHECKED, contract)))
    variants = []
    for sparsity in sparsities:
        made, words = network, "not pruned"
        if sparsity:
            recipe = Pruning("magnitude", "none").recipe(sparsity)
            made = prune(job, network, recipe, bench.scratch, progress)
            words = f"{100 * sparsity:.0f} % gone"
        for precision, preset in PRECISIONS.items():
            path = bench.scratch / f"{sparsity}-{precision}.tflite"
            preset.apply(made, calibration, progress).export(LiteRtTarget(), path, batch)
            variants.append(Variant(f"{words}, {precision}", path, LiteRtTarget.runtime))
    inputs = Inputs(test.images.read(0, _TIMED), contract)
    return measured.take(variants, inputs, label, url, name, bench)
