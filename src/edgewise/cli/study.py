"""`edgewise study`: rerun a published study, resume it, show it beside the paper's figures."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.markup import escape
from rich.table import Table as Shown

from edgewise.cli.common import console, emit, json_option, progress_bars, root_option
from edgewise.data import registry
from edgewise.data.dataset import Dataset
from edgewise.errors import UsageError
from edgewise.studies import result
from edgewise.studies.table import STUDIES, study
from edgewise.study import Finding, Grid, run, stored

Command = TypeVar("Command", bound=Callable[..., Any])

_SCALES = ("quick", "standard", "full")


@click.group(
    epilog="""
\b
Examples:
  edgewise study list
  edgewise study run vgg16 --scale quick
  edgewise study show vgg16 --scale quick
"""
)
def command() -> None:
    """Rerun published studies, with the paper's figures beside."""


def _where(function: Command) -> Command:
    for option in (
        click.option("--scale", type=click.Choice(_SCALES), default="quick", show_default=True),
        click.option("--data", metavar="NAME", help="Images [the paper's, else its stand-in]."),
        root_option,
        click.option("--threads", type=click.IntRange(1), help="Of the processor [all]."),
        click.option(
            "-o", "--out", type=click.Path(path_type=Path), help="Of records [records/NAME]."
        ),
        json_option,
    ):
        function = option(function)
    return function


@command.command(
    "list",
    epilog="""
\b
Examples:
  edgewise study list
  edgewise study list --json
""",
)
@json_option
def list_studies(as_json: bool) -> None:
    """The studies and their scales."""
    if as_json:
        rows = {n: {"summary": s.summary, "scales": dict(s.scales)} for n, s in STUDIES.items()}
        emit("study list", rows)
        return
    for name, one in STUDIES.items():
        table = Shown("scale", "what it takes", title=f"{name}: {one.summary}")
        for scale, summary in one.scales.items():
            table.add_row(scale, summary)
        console.print(table)


@command.command(
    "run",
    epilog="""
\b
Examples:
  edgewise study run vgg16 --scale quick
  edgewise study run vgg16 --scale standard --only 'seed-0/*'
\b
Every cell is stored when it is done; stopped or killed, the same command goes on after the last
finished epoch. Several commands may run at once: a cell is computed by one of them.
""",
)
@click.argument("name")
@_where
@click.option("--only", multiple=True, metavar="GLOB", help="Cells to compute; repeatable [all].")
def run_study(  # noqa: PLR0913 - one argument an option
    name: str,
    scale: str,
    data: str | None,
    root: Path | None,
    threads: int | None,
    out: Path | None,
    only: tuple[str, ...],
    as_json: bool,
) -> None:
    """Compute what is missing of study NAME, and show it."""
    dataset, grid, folder = _open(name, scale, data, root, threads, out)
    with progress_bars() as progress:
        run(grid, folder, progress, only)
    _show(name, dataset, grid, folder, as_json)


@command.command(
    "show",
    epilog="""
\b
Examples:
  edgewise study show vgg16
  edgewise study show vgg16 --scale standard --json
""",
)
@click.argument("name")
@_where
def show_study(  # noqa: PLR0913 - one argument an option
    name: str,
    scale: str,
    data: str | None,
    root: Path | None,
    threads: int | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Show what is stored of study NAME."""
    dataset, grid, folder = _open(name, scale, data, root, threads, out)
    _show(name, dataset, grid, folder, as_json)


def _open(  # noqa: PLR0913 - the command's own options
    name: str,
    scale: str,
    data: str | None,
    root: Path | None,
    threads: int | None,
    out: Path | None,
) -> tuple[Dataset, Grid, Path]:
    one = study(name)
    wanted = registry.data_root(root) / one.data
    dataset = registry.load(data or (one.data if wanted.is_dir() else one.stand_in), root)
    if dataset.contract.shape != (3, 32, 32):
        raise UsageError(f"study {name} takes images of 3x32x32, not {dataset.contract.shape}.")
    folder = (out or Path("records") / name) / scale
    return dataset, one.grid(dataset, scale, threads or os.cpu_count() or 1), folder


def _show(name: str, dataset: Dataset, grid: Grid, folder: Path, as_json: bool) -> None:
    found: list[Finding] = []
    for cell in grid.cells:
        if (one := stored(grid, cell, folder)) is not None:
            found.append(one)
    tables = study(name).tables(found)
    if as_json:
        cells = {one.cell.name: dict(one.record) for one in found}
        emit("study", {"name": name, "scale": grid.scale, "data": dataset.name, "cells": cells})
        return
    stand_in = dataset.stand_in_for
    note = f" (stand-in for {stand_in})" if stand_in else ""
    console.print(f"{name}, {grid.scale}, on {dataset.name}{note}: {len(found)} of "
                  f"{len(grid.cells)} cells in {folder}")  # fmt: skip
    for table in tables:
        console.print(_rendered(table))
        for remark in table.notes:
            console.print(escape(remark))


def _rendered(table: result.Table) -> Shown:
    shown = Shown(title=table.title)
    for place, heading in enumerate(table.headings):
        shown.add_column(heading, justify="right" if place else "left")
    for row in table.rows:
        shown.add_row(*map(escape, row))
    return shown
