"""`edgewise demo`: the main job on a bundled network and real images."""

from pathlib import Path

import click
from rich.text import Text

from edgewise.cli.common import (
    console,
    emit,
    json_option,
    progress_bars,
    root_option,
    seed_option,
)
from edgewise.cli.results import show_bundle
from edgewise.data import registry
from edgewise.data.fetch import fetch
from edgewise.devices.url import connect
from edgewise.measure import QUICK
from edgewise.models.load import load_model
from edgewise.pipeline.compress import compress
from edgewise.pipeline.request import Request, contract_for
from edgewise.presets import FP16, INT8
from edgewise.report import page
from edgewise.targets.onnx.target import OnnxTarget

_MODEL, _DATA = "vgg16", "fashion-mnist"


@click.command(
    epilog="""
\b
Examples:
  edgewise demo
  edgewise demo -o /tmp/demo --json
"""
)
@root_option
@seed_option
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    default=Path("demo-out"),
    show_default=True,
    help="Folder of the bundle and its page.",
)
@json_option
def command(root: Path | None, seed: int, out: Path, as_json: bool) -> None:
    """Fetch Fashion-MNIST, compress a trained VGG-16 to fp16 and int8, measure it here, report.

    The measurement is quick: seconds instead of minutes, and labelled so.
    """
    with connect("local") as machine, progress_bars() as progress:
        fetch(_DATA, root, progress)
        loaded = load_model(_MODEL)
        data = registry.load(_DATA, root)
        request = Request(
            model=loaded,
            data=data,
            contract=contract_for(loaded, data),
            recipes=(FP16, INT8),
            target=OnnxTarget(),
            out=out,
            device=machine,
            protocol=QUICK,
            seed=seed,
        )
        made = compress(request, progress)
    report = page.write(out)
    if as_json:
        emit("demo", {"bundle": str(out), "report": str(report), "manifest": made.manifest})
        return
    show_bundle(out)
    console.print(Text(f"report in {report}"))
