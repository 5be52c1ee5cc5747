"""One step of quantization-aware training, ours and that of other tools, over the float step.

    python -m benchmarks.qat_steps

VGG-16 at full width with random weights, a batch of 128, forward to SGD: for speed alone. Every
contender is a process of its own that waits for its turn; every figure comes from the same rounds.
Nobody distills. A promise that does not hold is printed as such; the exit code tells only whether
the benchmark itself ran.
"""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

import click
import numpy as np
from rich.markup import escape
from rich.table import Table

from benchmarks import workload
from benchmarks.comparison import ratio
from benchmarks.processes import ROOT
from benchmarks.promises import Verdict
from benchmarks.qat_processes import Outcome, Trainee, run_in_turn
from edgewise import store, units
from edgewise.cli.common import console, progress_bars, root_option
from edgewise.data.dataset import Dataset
from edgewise.errors import EdgewiseError
from edgewise.stats import Interval, Samples

FLOAT, OURS = "float", "edgewise LSQ"
FLOAT32 = ("float32", "float32 channels_last")
BFLOAT16 = "bfloat16 channels_last"
MOST_TIMES_FLOAT = 1.25
BATCH = 128
_PEER = (FLOAT32[1], BFLOAT16)  # as documented, and as we train
TRAINEES = (
    Trainee(FLOAT, "qat_float", (*FLOAT32, BFLOAT16)),
    Trainee(OURS, "qat_edgewise", (BFLOAT16,)),
    Trainee("ModelOpt", "qat_modelopt", _PEER, needs="modelopt"),
    Trainee("torchao PT2E", "qat_torchao", _PEER, needs="torchao"),
    Trainee("Brevitas", "qat_brevitas", _PEER, needs="brevitas"),
    Trainee("NNCF", "qat_nncf", _PEER, needs="nncf"),
)
_PACKAGES = ("torch", "nvidia-modelopt", "torchao", "brevitas", "nncf")


@dataclass(frozen=True)
class Figure:
    """One contender in one form; over_float: its step over the float32 step in its better format;
    over_ours: its step over ours.
    """

    name: str
    form: str
    median_s: float
    over_float: Interval
    over_ours: Interval


@click.command()
@click.option("--data", default="fashion-mnist", show_default=True, metavar="NAME|FOLDER|FILE.npz")
@root_option
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(3), help="Of each.")
@click.option("--steps", default=2, show_default=True, type=click.IntRange(1), help="In a round.")
@click.option("--threads", default=2, show_default=True, type=click.IntRange(1))
@click.option("-o", "--out", type=click.Path(path_type=Path), default=ROOT / "records" / "bench")
def main(
    data: str, root: Path | None, rounds: int, steps: int, threads: int, out: Path
) -> None:  # fmt: skip
    """Run everything, print it, and store it as a record."""
    try:
        with tempfile.TemporaryDirectory(prefix="edgewise-bench-") as name, progress_bars() as bars:
            dataset = workload.load(data, root)
            batch = _prepare(dataset, Path(name))
            outcomes = run_in_turn(TRAINEES, batch, (rounds, steps, threads), bars)
            inputs = {"batch": store.digest_file(batch)}
        figures = compared(outcomes)
    except EdgewiseError as error:
        raise click.ClickException(str(error)) from error
    found = verdicts(figures, outcomes)
    request = {"data": dataset.name, "rounds": rounds, "steps": steps, "threads": threads}
    result = {
        "promises": [{**asdict(one), "verdict": one.word} for one in found],
        "figures": [asdict(one) for one in figures],
        "contenders": [one.to_json() for one in outcomes],
        "peers": {package: _version(package) for package in _PACKAGES},
    }
    request |= {"batch": BATCH, "distillation": False, "weights": "random"}
    store.Record("benchmark", request, inputs, result).save(out / "vgg16-qat-steps.json")
    show(figures, outcomes, found)


def _prepare(dataset: Dataset, folder: Path) -> Path:
    """The batch that every contender is made of and trained on."""
    split = dataset.split("train")
    if split.labels is None or len(split) < BATCH:
        raise EdgewiseError(f"training needs {BATCH} labelled images; '{split.name}' has fewer.")
    path = folder / "batch.npz"
    with store.atomic(path) as part, part.open("wb") as handle:
        np.savez(handle, pixels=split.images.read(0, BATCH), labels=split.labels[:BATCH])
    path.with_suffix(".json").write_text(json.dumps(dataset.contract.to_json()))
    return path


def compared(outcomes: Sequence[Outcome]) -> list[Figure]:
    """Every contender in every form that it was trained in; raises EdgewiseError without ours."""
    by_name = {one.trainee.name: one for one in outcomes}
    for name in (FLOAT, OURS):
        problem = by_name[name].problem or "; ".join(by_name[name].problems.values())
        if problem:
            raise EdgewiseError(f"{name} {problem}")
    plain = {form: _samples(by_name[FLOAT].rounds[form]) for form in FLOAT32}
    best = min(plain.values(), key=lambda rounds: float(np.median(np.concatenate(rounds))))
    ours = _samples(by_name[OURS].rounds[BFLOAT16])
    figures = []
    for one in outcomes:
        for form, rounds in one.rounds.items():
            taken = _samples(rounds)
            median = float(np.median(np.concatenate(taken)))
            over = (ratio(taken, best), ratio(taken, ours))
            figures.append(Figure(one.trainee.name, form, median, *over))
    return figures


def verdicts(figures: Sequence[Figure], outcomes: Sequence[Outcome]) -> list[Verdict]:
    """A peer is judged in the fastest form that it can be trained in."""
    ours = next(one for one in figures if one.name == OURS)
    promise = f"QAT step: at most {MOST_TIMES_FLOAT}x the float32 step in its better memory format"
    found = [Verdict(promise, below(ours.over_float, MOST_TIMES_FLOAT), times(ours.over_float))]
    for one in outcomes:
        name, peers = one.trainee.name, [each for each in figures if each.name == one.trainee.name]
        if name in (FLOAT, OURS):
            continue
        if not peers:
            found.append(Verdict(f"QAT step: below {name}", None, f"{name} was not run"))
            continue
        fastest = min(peers, key=lambda each: each.median_s)
        shown = f"its {fastest.form} step takes {times(fastest.over_ours)} ours"
        slower = below(fastest.over_ours, 1.0)
        found.append(
            Verdict(f"QAT step: below {name}", None if slower is None else not slower, shown)
        )
    return found


def below(figure: Interval, limit: float) -> bool | None:
    """Whether a ratio is below a limit; None where its interval holds both answers."""
    return None if figure.low <= limit < figure.high else figure.value <= limit


def show(
    figures: Sequence[Figure], outcomes: Sequence[Outcome], found: Sequence[Verdict]
) -> None:  # fmt: skip
    """Two tables: steps and promises."""
    table = Table(title=f"A training step of VGG-16 at full width, batch {BATCH}, medians")
    for heading in ("", "trained in", "step", "over float32 [95 %]", "over ours [95 %]"):
        table.add_column(heading, justify="left" if heading in ("", "trained in") else "right")
    for figure in figures:
        shown = (times(figure.over_float), times(figure.over_ours))
        table.add_row(figure.name, figure.form, units.seconds(figure.median_s), *shown)
    for one in outcomes:
        problems: Mapping[str, str] = {"": one.problem} if one.problem else one.problems
        for form, problem in problems.items():
            table.add_row(one.trainee.name, form, escape(problem), "", "")
    console.print(table)
    promised = Table("promise", "", "figures", title="Promises")
    colours = {True: "green", False: "red", None: "yellow"}
    for verdict in found:
        word = f"[{colours[verdict.holds]}]{verdict.word}"
        promised.add_row(verdict.promise, word, escape(verdict.figures))
    console.print(promised)


def times(figure: Interval) -> str:
    """A ratio with its 95 % interval."""
    return f"{figure.value:.2f}x [{figure.low:.2f}, {figure.high:.2f}]"


def _samples(rounds: Sequence[Sequence[float]]) -> list[Samples]:
    return [np.array(one) for one in rounds]


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
