"""`edgewise study`: rerun a published study, resume it, show it beside the paper's figures."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path

import click
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table as Shown

from edgewise.cli.common import console, emit, json_option, progress_bars, root_option
from edgewise.data import registry
from edgewise.data.dataset import Dataset
from edgewise.errors import UsageError
from edgewise.studies import result
from edgewise.studies.table import STUDIES, study
from edgewise.study import Finding, Grid, run, stored

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


@dataclass(frozen=True)
class _Opened:
    """A study at one scale on one data set, and the folder of its records."""

    name: str
    data: Dataset
    grid: Grid
    folder: Path


def _takes_study(function: Callable[..., None]) -> Callable[..., None]:
    """Options that say which study; the command gets it opened."""

    @wraps(function)
    def command(
        name: str, scale: str, data: str | None, root: Path | None, threads: int | None,
        out: Path | None, **others: object,
    ) -> None:  # fmt: skip
        one = study(name)
        if scale not in one.scales:
            raise UsageError(
                f"study {name} has no scale '{scale}'; it has {', '.join(one.scales)}."
            )
        wanted = registry.data_root(root) / one.data
        which = data or (one.data if wanted.is_dir() else one.stand_in)
        images = registry.load(which, root, one.shape)
        grid = one.grid(images, scale, threads or os.cpu_count() or 1)
        function(_Opened(name, images, grid, (out or Path("records") / name) / scale), **others)

    for option in (
        click.option("--scale", type=click.Choice(_SCALES), default="quick", show_default=True),
        click.option("--data", metavar="NAME", help="Images [the paper's, else its stand-in]."),
        root_option,
        click.option("--threads", type=click.IntRange(1), help="Of the processor [all]."),
        click.option(
            "-o", "--out", type=click.Path(path_type=Path), help="Of records [records/NAME]."
        ),
        json_option,
        click.argument("name"),
    ):
        command = option(command)
    return command


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
@_takes_study
@click.option("--only", multiple=True, metavar="GLOB", help="Cells to compute; repeatable [all].")
def run_study(opened: _Opened, only: tuple[str, ...], as_json: bool) -> None:
    """Compute what is missing of study NAME, and show it."""
    with progress_bars() as progress:
        run(opened.grid, opened.folder, progress, only)
    _show(opened, as_json)


@command.command(
    "show",
    epilog="""
\b
Examples:
  edgewise study show vgg16
  edgewise study show vgg16 --scale standard --json
""",
)
@_takes_study
def show_study(opened: _Opened, as_json: bool) -> None:
    """Show what is stored of study NAME."""
    _show(opened, as_json)


def _show(opened: _Opened, as_json: bool) -> None:
    grid, dataset = opened.grid, opened.data
    found: list[Finding] = []
    for cell in grid.cells:
        if (one := stored(grid, cell, opened.folder)) is not None:
            found.append(one)
    tables = study(opened.name).tables(found)
    if as_json:
        cells = {one.cell.name: dict(one.record) for one in found}
        emit(
            "study",
            {"name": opened.name, "scale": grid.scale, "data": dataset.name, "cells": cells},
        )
        return
    stand_in = dataset.stand_in_for
    note = f" (stand-in for {stand_in})" if stand_in else ""
    console.print(f"{opened.name}, {grid.scale}, on {dataset.name}{note}: {len(found)} of "
                  f"{len(grid.cells)} cells in {opened.folder}")  # fmt: skip
    for table in tables:
        console.print(_rendered(table))
        for remark in table.notes:
            console.print(escape(remark))


def _rendered(table: result.Table) -> Shown:
    shown = Shown(title=table.title, box=SIMPLE_HEAD, show_edge=False, padding=0)
    shown.add_column(table.headings[0], overflow="fold")
    for heading in table.headings[1:]:
        shown.add_column(heading, justify="right", overflow="fold")
    for row in table.rows:
        shown.add_row(*map(escape, row))
    return shown
