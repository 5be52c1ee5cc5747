"""`edgewise compress`: from a model to a bundle of verified artifacts."""

from pathlib import Path

import click

from edgewise import store
from edgewise.cli.common import (
    emit,
    json_option,
    notes,
    out_option,
    progress_bars,
    seed_option,
)
from edgewise.cli.keep_float import kept_float
from edgewise.cli.models import Asked, load_data, takes_model
from edgewise.cli.results import show_bundle
from edgewise.cli.source import Source, takes_data
from edgewise.data.dataset import Dataset
from edgewise.data.preprocess import Preprocessing
from edgewise.devices.url import connect
from edgewise.errors import UsageError
from edgewise.graph.regions import declared_decoder
from edgewise.measure import FULL, QUICK
from edgewise.models.load import Loaded, Uncut
from edgewise.pipeline.compress import compress
from edgewise.pipeline.request import Request
from edgewise.presets import PRESETS
from edgewise.recipe import Recipe
from edgewise.targets.table import KERNELS, TARGETS, target
from edgewise.targets.target import ANY, Target


@click.command(
    epilog="""
\b
Examples:
  edgewise compress vgg16 --data fashion-mnist --recipe int8 --target onnx -o out
  edgewise compress net.py:make --weights net.safetensors --data photos/ \\
      --input-shape 3,224,224 --recipe fp16 --recipe int8 --target onnx --device local -o out
  edgewise compress net.py:make --data random --input-shape 3,224,224 --recipe int8 \\
      --target onnx --keep-float 'head.*' -o out
\b
A recipe is a preset (fp16: half the file, the accuracy of float; int8: a quarter of the file and
the fastest, needs calibration images; int8-dynamic: a quarter of the file without such images,
for convolutions slower than float) or a JSON file. The float network is always exported too:
every figure is shown beside it. With --device the artifacts are measured there.
\b
Layers are named by globs on their paths, or by a region of the network (`edgewise inspect` shows
both); a region's name comes first where both would do. --keep-float head --mixed 'body.*=w4a8'
keeps the head in float and gives the body weights of 4 bits, in one network.
"""
)
@takes_model
@takes_data
@click.option("--recipe", "recipes", multiple=True, required=True, metavar="PRESET|FILE.json")
@click.option("--target", "target_name", required=True, type=click.Choice(list(TARGETS)))
@click.option(
    "--keep-float",
    multiple=True,
    metavar="GLOB|REGION|FILE.json:N",
    help="Layers that stay in float, or the N worst of a ranking; repeatable.",
)
@click.option(
    "--mixed",
    multiple=True,
    metavar="'GLOB|REGION=w4a8'",
    help="Bits of weights and activations of some layers; the first that covers one decides.",
)
@click.option(
    "--integer-outputs",
    is_flag=True,
    help="Quantize also the layers of a detector's outputs, which stay in float by default.",
)
@click.option(
    "--kernels",
    type=click.Choice(KERNELS),
    default=ANY,
    show_default=True,
    help="Weights in the form that a processor's fastest kernels take; the answers are the same to "
    "the bit. amx: only for Intel processors whose flags have amx_int8, in ONNX Runtime.",
)
@click.option("--device", help="Measure there: local.")
@click.option("--quick", is_flag=True, help="Measure for seconds, not minutes; labelled quick.")
@click.option("--test-images", type=click.IntRange(min=1), help="Score only so many [all].")
@click.option(
    "--calibration-images",
    type=click.IntRange(min=1),
    help="Find ranges on so many [256, or as the recipe says].",
)
@seed_option
@out_option("Folder of the bundle.")
@json_option
def command(  # noqa: PLR0913 - one argument an option
    asked: Asked,
    source: Source,
    recipes: tuple[str, ...],
    target_name: str,
    keep_float: tuple[str, ...],
    mixed: tuple[str, ...],
    integer_outputs: bool,
    kernels: str,
    device: str | None,
    quick: bool,
    test_images: int | None,
    calibration_images: int | None,
    seed: int,
    out: Path,
    as_json: bool,
) -> None:
    """Compress MODEL by each recipe, verify every artifact, and write a bundle."""
    wanted = tuple(load_recipe(name) for name in recipes)
    wanted_target = _target(target_name, kernels, wanted)
    loaded = asked.load()
    globs = kept_float(keep_float, loaded.inputs)
    if mixed and not any(recipe.quantizes for recipe in wanted):
        raise UsageError(
            f"--mixed sets the bits of integer layers, and {', '.join(recipes)} has none; add "
            "--recipe int8."
        )
    chosen = tuple(recipe.with_kept_float(globs).with_mixed(mixed) for recipe in wanted)
    dataset, contract = load_data(asked, loaded, source, seed)
    if said := _unscored(loaded, dataset, contract):
        notes.print(said)
    with connect(device or "local") as machine, progress_bars() as progress:
        protocol = None if device is None else QUICK if quick else FULL
        request = Request(
            model=loaded,
            data=dataset,
            contract=contract,
            recipes=chosen,
            target=wanted_target,
            out=out,
            device=machine,
            protocol=protocol,
            test_images=test_images,
            seed=seed,
            integer_outputs=integer_outputs,
            calibration_images=calibration_images,
        )
        made = compress(request, progress)
    if as_json:
        emit("compress", made.manifest)
    else:
        show_bundle(out)


def _target(name: str, kernels: str, recipes: tuple[Recipe, ...]) -> Target:
    if kernels != ANY and not any(recipe.quantizes for recipe in recipes):
        raise UsageError(
            f"--kernels {kernels} lays out the weights of integer layers, and "
            f"{', '.join(recipe.name for recipe in recipes)} has none; add --recipe int8."
        )
    return target(name, kernels)


def _unscored(loaded: Loaded, data: Dataset, contract: Preprocessing) -> str:
    """What is reported where nothing says what would be right; empty where something does."""
    test = data.split("test")
    module = loaded.module.architecture if isinstance(loaded.module, Uncut) else loaded.module
    finds = declared_decoder(module, contract) is not None
    if test.objects is not None and not finds:
        return (
            f"{data.name} has objects and {loaded.source} does not say how its outputs become any "
            "(edgewise_decoder): how close they are to float is reported, not precision."
        )
    if finds and test.objects is None:
        return (
            f"{data.name} has no objects: how close outputs are to float, and agreement of what is "
            "found, is reported, not precision."
        )
    if test.objects is None and test.labels is None:
        return f"{data.name} has no labels: agreement is reported, not accuracy."
    return ""


def load_recipe(name: str) -> Recipe:
    """A preset by name, or a recipe in a JSON file."""
    if name in PRESETS:
        return PRESETS[name]
    if name.endswith(".json"):
        return Recipe.from_json(store.read_json(Path(name)))
    raise UsageError(
        f"there is no recipe '{name}'; presets are {', '.join(PRESETS)}, anything else is a .json."
    )
