"""`edgewise sensitivity`: how much each layer or region suffers from quantization."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import click
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
from edgewise.cli.keep_float import KIND, kept_float
from edgewise.cli.models import Asked, load_data, takes_model
from edgewise.cli.source import Source, takes_data
from edgewise.errors import UsageError
from edgewise.graph.network import Network
from edgewise.models.load import Loaded
from edgewise.pipeline.network import captured
from edgewise.quant.scheme import Scheme
from edgewise.report import panels, sensitivity
from edgewise.sensitivity.analysis import BY, Analysis, Request, analyse
from edgewise.steps.quantize import Quantize
from edgewise.targets.table import TARGETS, target


@click.command(
    epilog="""
\b
Examples:
  edgewise sensitivity vgg16 --data fashion-mnist
  edgewise sensitivity vgg16 --data fashion-mnist --bits 4,4 -o ranking.json --plot ranking.svg
  edgewise sensitivity net.py:make --data photos/ --input-shape 3,224,224 --by region \\
      --region backbone='stem*,stages*' --region head='head*'
\b
Three measures of every layer: the loss when only it is quantized (measured, with an interval), the
signal over the noise at its output (SQNR), and FIT, which needs gradients only. The two cheap ones
are held against the measured one. Then keep the three worst in float:
  edgewise compress vgg16 --data fashion-mnist --recipe int8 --target onnx \\
      --keep-float ranking.json:3 -o out
"""
)
@takes_model
@takes_data
@click.option("--by", type=click.Choice(BY), default="layer", show_default=True)
@click.option(
    "--region",
    "regions",
    multiple=True,
    metavar="NAME=GLOB[,GLOB]",
    help="A region by globs on layer names; repeatable [those that the network declares].",
)
@click.option(
    "--bits", default="8,8", show_default=True, metavar="W,A", help="Of weights, of activations."
)
@click.option(
    "--images",
    type=click.IntRange(min=1),
    default=256,
    show_default=True,
    help="To measure the loss on, and as many for the cheap measures.",
)
@click.option(
    "--target", "target_name", type=click.Choice(list(TARGETS)), default="onnx", show_default=True,
    help="Whose placement of quantizers to use.",
)  # fmt: skip
@click.option(
    "--keep-float",
    multiple=True,
    metavar="GLOB|FILE.json:N",
    help="Layers that stay in float and are not judged; repeatable.",
)
@seed_option
@record_option
@click.option("--plot", type=click.Path(path_type=Path), help="Draw it, a .svg or .png.")
@json_option
def command(  # noqa: PLR0913 - one argument an option
    asked: Asked,
    source: Source,
    by: str,
    regions: tuple[str, ...],
    bits: str,
    images: int,
    target_name: str,
    keep_float: tuple[str, ...],
    seed: int,
    out: Path | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """How much each layer, or region, of MODEL suffers from quantization."""
    scheme, named = parse_bits(bits), parse_regions(regions)
    kind = None if plot is None else panels.kind_of(plot)
    loaded = asked.load()
    quantize = Quantize(
        scheme=scheme,
        profile=target(target_name).profile,
        keep_float=kept_float(keep_float, loaded.inputs),
    )
    dataset, contract = load_data(asked, loaded, source, seed)
    network = _with_regions(captured(loaded, contract), named)
    with progress_bars() as progress:
        found = analyse(Request(network, dataset, quantize, by, images, seed), progress)
    result = {"model": loaded.source, "inputs": dict(loaded.inputs), **found.to_json()}
    ranking = sensitivity.read(result, "the analysis")
    if out is not None:
        _record(loaded, found, result).save(out)
    if plot is not None and kind is not None:
        store.write_bytes(plot, panels.sensitivity(kind, ranking, loaded.source))
    if as_json:
        emit("sensitivity", result)
        return
    console.print(sensitivity.to_rich(ranking, loaded.source))
    for path in (out, plot):
        if path is not None:
            console.print(Text(f"written: {path}"))


def parse_bits(text: str) -> Scheme:
    """`4,8` as 4-bit weights and 8-bit activations; raises UsageError for anything else."""
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 2 or not all(part.isdecimal() and len(part) == 1 for part in parts):
        raise UsageError(f"--bits is weights,activations, as in 8,8 or 4,8, not '{text}'.")
    return Scheme(int(parts[0]), int(parts[1]))


def parse_regions(pairs: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """`head=head.*,neck.*` as {"head": ("head.*", "neck.*")}; raises UsageError for others."""
    found: dict[str, tuple[str, ...]] = {}
    for pair in pairs:
        name, _, globs = pair.partition("=")
        split = tuple(glob for glob in globs.split(",") if glob)
        if not name or not split:
            raise UsageError(f"--region is NAME=GLOB, or NAME=GLOB,GLOB, not '{pair}'.")
        found[name] = (*found.get(name, ()), *split)
    return found


def _with_regions(network: Network, named: dict[str, tuple[str, ...]]) -> Network:
    return replace(network, regions=named) if named else network


def _record(loaded: Loaded, found: Analysis, result: dict[str, Any]) -> store.Record:
    request = {
        "quantize": found.request.quantize.to_json(),
        "by": found.request.by,
        "images": found.request.images,
        "seed": found.request.seed,
    }
    digests = {f"{use} on {split.name}": split.digest for use, split in found.splits.items()}
    return store.Record(KIND, request, {**loaded.inputs, **digests}, result)
