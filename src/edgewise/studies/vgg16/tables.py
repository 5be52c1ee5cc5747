"""The paper's four tables, its figures beside ours, and its curves."""

from collections.abc import Mapping, Sequence

from edgewise import units
from edgewise.studies import measured
from edgewise.studies.result import Curve, Mean, Plot, Table
from edgewise.studies.vgg16.bound import JETSON_NANO
from edgewise.study import Finding

# The paper's own figures: CIFAR-10, accuracy in per cent, one run each.
PAPER: Mapping[str, float] = {
    "plain-w8a8-every-output": 85.28,
    "plain-w8a8-activations": 85.47,
    "float": 91.54,
    "w8a8-fused": 91.09,
    "w4a4": 90.95,
    "w2a2": 74.45,
}
_TABLES: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    (
        "1. Where quantizers stand (8 bit)",
        (
            ("plain-float", "without BatchNorm: float"),
            ("plain-w8a8-every-output", "without BatchNorm: every output"),
            ("plain-w8a8-activations", "without BatchNorm: weights and activations"),
            ("plain-w8a8-target", "without BatchNorm: as ONNX Runtime executes"),
            ("w8a8-every-output", "with BatchNorm: every output"),
            ("w8a8-activations", "with BatchNorm: weights and activations"),
            ("w8a8-target", "with BatchNorm: as ONNX Runtime executes"),
        ),
    ),
    (
        "2. Fusion of convolution and BatchNorm (8 bit)",
        (
            ("float", "float, with BatchNorm"),
            ("w8a8-target", "8 bit, BatchNorm kept while training"),
            ("w8a8-fused", "8 bit, BatchNorm folded before training"),
        ),
    ),
    (
        "3. Precision",
        (
            ("float", "float"),
            ("w8a8-target", "8-bit weights and activations"),
            ("w4a4", "4-bit weights and activations"),
            ("w2a8", "2-bit weights, 8-bit activations"),
            ("w2a2", "2-bit weights and activations"),
            ("ste-w8a8", "8 bit, plain straight-through"),
            ("ste-w4a4", "4 bit, plain straight-through"),
            ("ste-w2a2", "2 bit, plain straight-through"),
            ("wide-float", "width 0.5: float"),
            ("wide-w2a2", "width 0.5: 2-bit weights and activations"),
        ),
    ),
)


def tables(findings: Sequence[Finding]) -> tuple[Table, ...]:
    """Every table of the paper, of what is there."""
    by_name = _by_name(findings)
    made = [_table(title, rows, by_name) for title, rows in _TABLES]
    series = [one for one in findings if one.cell.name.startswith("measured/")]
    return (*made, *(_measured(one) for one in series if one.error is None))


# The paper's table 4: TensorRT in FP16 on a Jetson Nano, time in ms and memory in MB.
PAPER_MEASURED = (("float", 3.6, 463.81), ("FP16, TensorRT", JETSON_NANO.claimed * 1e3, 274.17))
_RANDOM = "The network of full width, with random weights: they change neither time nor size."


def _measured(one: Finding) -> Table:
    """Times, files and memory; the paper's were of another device and are shown as such."""
    result = one.result
    theirs = [
        (
            f"paper, Jetson Nano: {name}",
            "",
            f"{ms:g} ms",
            measured.rate(ms / 1e3),
            "",
            "",
            f"{mb:g} MB",
            "",
        )
        for name, ms, mb in PAPER_MEASURED
    ]
    rows = (*theirs, *measured.rows(result))
    title = f"4. Inference on {result['cpu']}, batch 1, one thread ({result['mode']} measurement)"
    return Table(
        title, ("", *measured.HEADINGS), rows, (_RANDOM, *result["remarks"], JETSON_NANO.words())
    )


def _by_name(findings: Sequence[Finding]) -> dict[str, dict[str, Finding]]:
    """Cell name without its seed -> seed -> finding."""
    found: dict[str, dict[str, Finding]] = {}
    for one in findings:
        seed, _, name = one.cell.name.partition("/")
        found.setdefault(name, {})[seed] = one
    return found


def _table(
    title: str,
    rows: Sequence[tuple[str, str]],
    found: Mapping[str, Mapping[str, Finding]],
) -> Table:
    headings = ("", "paper, CIFAR-10", "ours", "less float", "seeds", "artifact", "codes off")
    lines = []
    for name, words in rows:
        cells = found.get(name, {})
        if name.startswith("wide-") and not cells:
            continue  # most scales have one width
        paper = f"{PAPER[name]:.2f} %" if name in PAPER else ""
        failed = [one.error for one in cells.values() if one.error is not None]
        values = {s: one.result["test_accuracy"] for s, one in cells.items() if one.error is None}
        mean = Mean.of(list(values.values()))
        if mean is None:
            lines.append((words, paper, f"failed: {failed[0]}" if failed else "not run", *[""] * 4))
            continue
        difference = _difference(name, values, found)
        lines.append((words, paper, _percent(mean), difference, str(mean.count), *_files(cells)))
    return Table(title, headings, tuple(lines))


def _difference(
    name: str, values: Mapping[str, float], found: Mapping[str, Mapping[str, Finding]]
) -> str:
    """Mean over seeds of the difference from the same seed's float network, in points."""
    prefix = next((one for one in ("plain-", "wide-") if name.startswith(one)), "")
    reference = f"{prefix}float"
    floats = found.get(reference, {})
    gains = [
        value - floats[seed].result["test_accuracy"]
        for seed, value in values.items()
        if seed in floats and floats[seed].error is None
    ]
    mean = Mean.of(gains)
    if name == reference or mean is None:
        return ""
    text = f"{mean.value * 100:+.2f}"
    if mean.low is not None and mean.high is not None:
        text += f" ({mean.low * 100:+.2f} to {mean.high * 100:+.2f})"
    return text


def _percent(mean: Mean) -> str:
    text = units.percent(mean.value)
    if mean.low is not None and mean.high is not None:
        text += f" ({mean.low * 100:.2f} to {mean.high * 100:.2f})"
    return text


def _files(cells: Mapping[str, Finding]) -> tuple[str, str]:
    written = [one.result["artifact"] for one in cells.values() if "artifact" in one.result]
    if not written:
        return "", ""
    worst = max(one["free_running_code"] for one in written)
    return units.size(max(one["size_bytes"] for one in written)), str(worst)


def plots(findings: Sequence[Finding]) -> tuple[Plot, ...]:
    """Validation accuracy per epoch and loss per iteration, of the first seed."""
    found = {
        name: cells["seed-0"].result
        for name, cells in _by_name(findings).items()
        if "seed-0" in cells and cells["seed-0"].error is None
    }
    made = []
    for title, rows in _TABLES:
        names = [(name, words) for name, words in rows if name in found]
        accuracy = tuple(
            Curve(words, tuple(100 * v for v in found[name]["curves"]["accuracy"]))
            for name, words in names
        )
        loss = tuple(Curve(words, tuple(found[name]["curves"]["loss"])) for name, words in names)
        made.append(Plot(title, "epoch", "validation accuracy, %", accuracy))
        made.append(Plot(title, "iteration", "training loss", loss))
    return tuple(made)
