"""`edgewise importance`: what channels or layers are worth to a network's loss."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from edgewise import store
from edgewise.cli.common import (
    console,
    emit,
    json_option,
    progress_bars,
    record_option,
    seed_option,
)
from edgewise.cli.models import Asked, load_data, takes_model
from edgewise.cli.source import Source, takes_data
from edgewise.graph.capture import capture
from edgewise.importance.ablation import BY
from edgewise.importance.estimate import Budget
from edgewise.sensitivity.attribution import Attribution, Plan, Worth, attribute

KIND = "importance"


@click.command(
    epilog="""
\b
Examples:
  edgewise importance vgg16 --data fashion-mnist --by layer
  edgewise importance vgg16 --data fashion-mnist --agreement 0.8 --draws 400 -o worth.json
\b
Shapley values of the game in which absent channels read as their mean and the value is what is
taken off the loss: antithetic permutations, each pair unbiased. Stopped or killed, the same command
with the same -o goes on after the last pair.
"""
)
@takes_model
@takes_data
@click.option("--by", type=click.Choice(BY), default="channel", show_default=True)
@click.option("--images", type=click.IntRange(min=1), default=256, show_default=True)
@click.option(
    "--at-once", type=click.IntRange(min=1), default=16, show_default=True,
    help="Images that one pair of permutations looks at; all are looked at equally often.",
)  # fmt: skip
@click.option(
    "--draws", type=click.IntRange(min=2), default=128, show_default=True,
    help="Pairs of permutations, at most.",
)  # fmt: skip
@click.option(
    "--agreement", type=click.FloatRange(0, 1), metavar="TAU",
    help="End when the two halves of the draws agree so well (Kendall).",
)  # fmt: skip
@seed_option
@record_option
@json_option
def command(  # noqa: PLR0913 - one argument an option
    asked: Asked,
    source: Source,
    by: str,
    images: int,
    at_once: int,
    draws: int,
    agreement: float | None,
    seed: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """What every channel, or layer, of MODEL is worth to its loss."""
    loaded = asked.load()
    dataset, contract = load_data(asked, loaded, source, seed)
    network = capture(loaded.module, contract, loaded.name)
    split = dataset.split("calibration").head(images)
    checkpoint = None if out is None else out.with_name(f".{out.name}.checkpoint")
    plan = Plan(by, at_once, Budget(draws, agreement, seed))
    with progress_bars() as progress:
        found = attribute(network, split, plan, checkpoint, progress)
    result: dict[str, Any] = {"model": loaded.source, **found.to_json()}
    if out is not None:
        request = {"by": by, "images": len(split), "at_once": at_once, "seed": seed}
        inputs = {**loaded.inputs, split.name: split.digest}
        store.Record(KIND, request, inputs, result).save(out)
        assert checkpoint is not None
        checkpoint.unlink(missing_ok=True)
    if as_json:
        emit("importance", result)
        return
    console.print(_table(loaded.source, found))
    console.print(_words(found))
    if out is not None:
        console.print(Text(f"written: {out}"))


def _table(title: str, found: Attribution) -> Table:
    table = Table(title=title)
    table.add_column("layer")
    for heading in ("worth", "95 % interval", "players", "least", "most"):
        table.add_column(heading, justify="right")
    for layer, group in groupby(found.players, key=lambda one: one.layer):
        table.add_row(layer, *_figures(list(group)))
    return table


def _figures(players: Sequence[Worth]) -> tuple[str, ...]:
    values = [one.value for one in players]
    alone = f"{players[0].low:.3f} to {players[0].high:.3f}" if len(players) == 1 else ""
    return (
        f"{sum(values):.3f}", alone, str(len(values)), f"{min(values):.4f}", f"{max(values):.4f}",
    )  # fmt: skip


def _words(found: Attribution) -> str:
    return (
        f"The loss is {found.nobody:.3f} without any and {found.everybody:.3f} with all; the worth "
        f"shares out the difference. {found.draws} pairs of permutations, whose halves agree to "
        f"{found.agreement:.2f} (Kendall's tau)."
    )
