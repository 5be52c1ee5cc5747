"""What calibration of the full-size YOLOv3 at 416x416 costs, by the number of images.

    python -m benchmarks.calibration

Whole processes, from photographs on disk to a verified int8 file. A promise that does not hold is
printed as such; the exit code tells only whether the benchmark itself ran.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import click
from rich.table import Table

from benchmarks.processes import ROOT, Contender, Outcome, run_in_turn
from benchmarks.promises import Verdict
from benchmarks.ptq_detector import SHAPE
from edgewise import store, units
from edgewise.cli.common import console, progress_bars
from edgewise.data import registry

FEW, MANY = 200, 2_000
OUT = ROOT / "records" / "bench" / "calibration.json"
MOST_BYTES = 3e9
MOST_GROWTH = 0.05


def verdicts(peaks: Mapping[int, float]) -> list[Verdict]:
    """peaks: images -> bytes; promises that were not measured are not judged."""
    bounded = f"calibration at 416x416: under {units.size(MOST_BYTES)} with {MANY} images"
    steady = f"within {units.percent(MOST_GROWTH, 0)} from {FEW} to {MANY} images"
    if not {FEW, MANY} <= peaks.keys():
        return [Verdict(promise, None, "a process failed") for promise in (bounded, steady)]
    growth = peaks[MANY] / peaks[FEW] - 1
    return [
        Verdict(bounded, peaks[MANY] < MOST_BYTES, units.size(peaks[MANY])),
        Verdict(steady, growth <= MOST_GROWTH, f"{growth:+.1%}"),
    ]


@click.command()
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1))
@click.option("-o", "--out", type=click.Path(path_type=Path), default=OUT)
def main(threads: int, out: Path) -> None:
    """Run both, print what they took, and store it as a record."""
    with tempfile.TemporaryDirectory(prefix="edgewise-bench-") as name, progress_bars() as bars:
        files = [(images, Path(name) / f"{images}.onnx") for images in (FEW, MANY)]
        contenders = [
            Contender(f"{images} images", "ptq_detector", (str(images), str(path)), path)
            for images, path in files
        ]
        outcomes = run_in_turn(contenders, 1, threads, bars)
    found = dict(zip((FEW, MANY), outcomes, strict=True))
    peaks = {images: one.peak_bytes for images, one in found.items() if one.runs}
    result = {
        "promises": [{**asdict(one), "verdict": one.word} for one in verdicts(peaks)],
        "processes": [one.to_json() for one in outcomes],
    }
    inputs = registry.load("composed-voc", None, SHAPE).digests()
    store.Record("calibration-bench", {"threads": threads}, inputs, result).save(out)
    show(outcomes, verdicts(peaks))


def show(outcomes: Sequence[Outcome], judged: Sequence[Verdict]) -> None:
    """A table of processes, and the promises."""
    table = Table("process", "peak memory", "CPU time")
    for one in outcomes:
        shown = (units.size(one.peak_bytes), units.seconds(one.cpu_s)) if one.runs else ("", "")
        table.add_row(one.contender.name, *shown)
        if one.problem:
            table.add_row("", one.problem, "")
    console.print(table)
    for verdict in judged:
        console.print(f"{verdict.word}  {verdict.promise}: {verdict.figures}", markup=False)


if __name__ == "__main__":
    main()
