"""The main table: one row a variant, for the terminal, for Markdown and for machines."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from edgewise import units
from edgewise.report import detector, figures, near
from edgewise.report.cell import MISSING, Cell, interval_cell, number_cell
from edgewise.report.rows import Row, is_tie
from edgewise.stats import Interval

Columns = Mapping[str, Callable[[Row], Cell]]

_ACROSS = 4  # variants side by side in a terminal


def _variant(row: Row) -> Cell:
    return Cell(row.variant.name, "baseline" if row.is_baseline else "")


def _accuracy(row: Row) -> Cell:
    figure = None if row.accuracy is None else row.accuracy.artifact
    return interval_cell(row, figure, figures.percent, "share", "accuracy")


def _difference(row: Row) -> Cell:
    if row.is_baseline:
        return Cell()
    figure = None if row.accuracy is None else row.accuracy.difference
    return interval_cell(row, figure, figures.points, "share", "accuracy")


def _agreement(row: Row) -> Cell:
    share = None if row.accuracy is None else row.accuracy.agreement_with_float
    return number_cell(row, share, lambda value: figures.share(value, 2), "share", "accuracy")


def _size(row: Row) -> Cell:
    size = None if row.export is None else row.export.size_bytes
    cell = number_cell(row, size, units.size, "bytes", "export")
    if size is None or row.is_baseline or not row.baseline.size_bytes:
        return cell
    share = units.percent(size / row.baseline.size_bytes, 0)
    return Cell(cell.text, share, cell.figure, cell.unit, cell.source)


def _latency(row: Row) -> Cell:
    figure = None if row.measured is None else row.measured.statistics.p50_s
    return interval_cell(row, figure, figures.seconds, "s", "measurement")


def _speed_up(row: Row) -> Cell:
    cell = interval_cell(row, row.speed_up, figures.times, "ratio", "measurement")
    if row.speed_up is None or not is_tie(row.speed_up):
        return cell
    return Cell(cell.text, f"{cell.detail}, a tie", cell.figure, cell.unit, cell.source)


def _first(row: Row) -> Cell:
    first_s = None if row.measured is None else row.measured.first_s
    return number_cell(row, first_s, units.seconds, "s", "measurement")


def _memory(row: Row) -> Cell:
    own = None if row.measured is None else row.measured.memory.own_bytes
    return number_cell(row, own, units.size, "bytes", "measurement")


def _cpu(row: Row) -> Cell:
    share = None if row.measured is None else row.measured.cpu_share
    return number_cell(row, share, lambda value: units.percent(value, 0), "share", "measurement")


def _integers(row: Row) -> Cell:
    share = None if row.export is None else row.export.integer_share
    return number_cell(row, share, lambda value: figures.share(value, 1), "share", "export")


def _codes(row: Row) -> Cell:
    # Without quantized tensors there are no codes that could differ.
    worst = row.export.worst if row.export is not None and row.export.checks else None
    return number_cell(row, worst, str, "codes", "export")


ACCURACY: Columns = {
    "accuracy": _accuracy,
    "difference to float": _difference,
    "same answers as float": _agreement,
}

COSTS: Columns = {
    "size": _size,
    "latency p50": _latency,
    "speed-up": _speed_up,
    "first inference": _first,
    "peak memory": _memory,
    "CPU": _cpu,
    "MACs in int8": _integers,
    "codes off": _codes,
}

# What the headings mean, for a reader who meets them first.
NOTES: Mapping[str, str] = {
    "accuracy": "of the artifact in its runtime, all test images; 95 % interval below",
    "difference to float": "accuracy less the baseline's, same images; paired 95 % interval",
    "same answers as float": "images that the artifact gives the class that the float network does",
    **detector.NOTES,
    **near.NOTES,
    "size": "of the file; below, its share of the baseline's",
    "latency p50": "median of one inference, batch 1; 95 % block-bootstrap interval",
    "speed-up": "baseline's median over this one's, paired by round; 95 % interval",
    "first inference": "after loading, before any warm-up; median of the rounds",
    "peak memory": "resident, less what the runtime takes without a model",
    "CPU": "CPU time of all threads over wall time while it runs",
    "MACs in int8": "share of the multiply-accumulates that the runtime executes on integers",
    "codes off": "largest difference from the exact integer twin at any tensor",
}


def columns(table: Sequence[Row]) -> Columns:
    """What a bundle's table shows: what says how good its variants are, and what they cost."""
    merit = ACCURACY
    if any(row.precision is not None for row in table):
        merit = detector.COLUMNS
    elif any(row.closeness is not None for row in table):
        merit = near.columns(table)
    return {"variant": _variant, **merit, **COSTS}


def visible(table: Sequence[Row]) -> Columns:
    """The columns without those that are empty in every row; of a classifier they all stay."""
    known = columns(table)
    if "accuracy" in known:
        return known
    return {
        heading: column
        for heading, column in known.items()
        if any(column(row).text != MISSING for row in table)
    }


def cells(row: Row) -> dict[str, Cell]:
    """All cells of a row by heading."""
    return {heading: column(row) for heading, column in columns((row,)).items()}


def to_json(table: Sequence[Row]) -> list[dict[str, Any]]:
    """Rows for machines: value, bounds, unit, and the record that each comes from."""
    return [
        {
            "variant": row.variant.name,
            "figures": {
                heading: _cell_json(cell)
                for heading, cell in cells(row).items()
                if heading != "variant"
            },
        }
        for row in table
    ]


def to_markdown(table: Sequence[Row], title: str) -> str:
    """A Markdown table under its title; names cannot break out of their cells."""
    known = visible(table)
    lines = [title, "", _line(known), _line("---" for _ in known)]
    for row in table:
        lines.append(_line(_escaped(_flat(column(row))) for column in known.values()))
    return "\n".join(lines) + "\n"


def to_rich(table: Sequence[Row], title: str) -> Group:
    """The table for a terminal: variants side by side, a few at a time."""
    blocks = [table[first : first + _ACROSS] for first in range(0, len(table), _ACROSS)]
    known = visible(table)
    return Group(Text(title, style="bold"), *(_block(block, known) for block in blocks))


def _block(table: Sequence[Row], known: Columns) -> Table:
    block = Table(box=box.SIMPLE_HEAD)
    for place, (heading, column) in enumerate(known.items()):
        line = [_stacked(column(row)) for row in table]
        if place == 0:
            block.add_column(heading)
            for cell in line:
                block.add_column(cell, justify="right", overflow="fold")
        else:
            block.add_row(heading, *line)
    return block


def _cell_json(cell: Cell) -> dict[str, Any] | None:
    if cell.figure is None or cell.source is None:
        return None
    value = asdict(cell.figure) if isinstance(cell.figure, Interval) else {"value": cell.figure}
    return {
        **value,
        "unit": cell.unit,
        "source": cell.source.file,
        "digest": cell.source.digest,
    }


def _stacked(cell: Cell) -> Text:
    text = Text(cell.text)
    return text.append(f"\n{cell.detail}", style="dim") if cell.detail else text


def _flat(cell: Cell) -> str:
    return f"{cell.text} ({cell.detail})" if cell.detail else cell.text


def _line(texts: Iterable[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _escaped(text: str) -> str:
    for each in "\\`*_[]<>|~":
        text = text.replace(each, f"\\{each}")
    return text
