"""YOLOv3 of full size in each of our forms, and what its peers make of our float artifact.

Weights are random and BatchNorm's statistics those of noise: for speed and size alone. What lies in
the folder from before is taken as it is.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.processes import Contender, Outcome, missing, run_in_turn
from benchmarks.workload import settled
from edgewise import store
from edgewise.data.dataset import Dataset
from edgewise.data.random import load_random
from edgewise.dispatch import Variant
from edgewise.graph.capture import capture
from edgewise.graph.network import Network
from edgewise.models.yolov3 import YOLOv3
from edgewise.presets import FLOAT32
from edgewise.progress import Progress, silent
from edgewise.recipe import Recipe
from edgewise.steps.calibrate import Calibrate
from edgewise.steps.fold import Fold
from edgewise.steps.quantize import Quantize
from edgewise.targets.onnx.target import OnnxTarget
from edgewise.targets.openvino.target import OpenVinoTarget
from edgewise.targets.table import target
from edgewise.targets.target import ANY, Target
from edgewise.targets.tflite.target import LiteRtTarget
from edgewise.worker.facts import machine

SHAPE, CLASSES, IMAGES = (3, 416, 416), 20, 16
FLOAT = "float32"
SETTLING, CHECKED = 4, 2  # images that BatchNorm sees, and that artifacts are verified on
_INT8 = Recipe("int8", (Quantize(),))


_SHOWN: Mapping[type[Target], str] = {
    OnnxTarget: "", LiteRtTarget: ", LiteRT", OpenVinoTarget: ", for OpenVINO",
}  # fmt: skip


@dataclass(frozen=True)
class Form:
    """One of our artifacts.

    part: what is on integers: "nothing", "all", a region, or "all but outputs"; kernels: for which
    processor's its weights are laid out.
    """

    part: str
    kind: type[Target] = OnnxTarget
    kernels: str = ANY

    @property
    def name(self) -> str:
        """As tables show it."""
        shown = FLOAT if self.part == "nothing" else f"int8 {self.part}"
        shown = shown if self.kernels == ANY else f"{shown}, {self.kernels.upper()}"
        return f"{shown}{_SHOWN[self.kind]}"

    @property
    def file(self) -> str:
        """Of the artifact."""
        kernels = "" if self.kernels == ANY else f"-{self.kernels}"
        of = "-openvino" if self.kind is OpenVinoTarget else ""  # whose files have ONNX's suffix
        return f"{self.part.replace(' ', '-')}{kernels}{of}{self.kind.suffix}"

    def recipe(self, network: Network) -> Recipe:
        """For a folded and calibrated network."""
        if self.part == "nothing":
            return FLOAT32
        placed = _INT8.placed_for(self.kind.profile)
        if self.part != "all":
            placed = placed.with_float_outputs(network)
        if self.part in network.regions:
            others = (globs for name, globs in network.regions.items() if name != self.part)
            placed = placed.with_kept_float([one for globs in others for one in globs])
        return placed


REGIONS = ("backbone", "neck", "head")
PARTS = ("nothing", "all but outputs", "all", *REGIONS)
FORMS = tuple(Form(part, kind) for part in PARTS for kind in (OnnxTarget, LiteRtTarget))
if "amx_int8" in machine()["features"]:
    FORMS += (Form("all but outputs", kernels="amx"),)
# Beside FORMS, since it needs an extra: there the outputs' layers too are multiplied on integers.
FOR_OPENVINO = Form("all but outputs", OpenVinoTarget)

Facts = Mapping[str, Any]  # what was found when an artifact was made


def data() -> Dataset:
    """Noise."""
    return load_random(SHAPE, calibration=IMAGES, test=SETTLING)


def make_ours(noise: Dataset, folder: Path, progress: Progress) -> Iterator[tuple[Variant, Facts]]:
    """Every one of FORMS, and what is for OpenVINO where that is; verified as any export."""
    forms = FORMS if missing(OpenVinoTarget.needs) else (*FORMS, FOR_OPENVINO)
    stored = {form: (folder / form.file).with_suffix(f"{form.kind.suffix}.json") for form in forms}
    if not all(path.is_file() for path in stored.values()):
        network = _calibrated(noise, progress)
        for done, (form, path) in enumerate(stored.items()):
            progress("exporting", done, len(forms))
            if not path.is_file():
                store.write_json(path, _export(form, network, noise, folder / form.file))
    for form, path in stored.items():
        yield Variant(form.name, folder / form.file, form.kind.runtime), store.read_json(path)


def _calibrated(noise: Dataset, progress: Progress) -> Network:
    torch.manual_seed(0)
    module = YOLOv3(classes=CLASSES)
    settled(module, noise.split("test").head(SETTLING).batches(SETTLING, noise.contract))
    network = Fold().apply(capture(module, noise.contract, "yolov3"), None, silent)
    return Calibrate().apply(network, noise.split("calibration"), progress)


def _export(form: Form, network: Network, noise: Dataset, path: Path) -> Facts:
    batch = next(noise.split("calibration").batches(CHECKED, noise.contract))
    made = form.recipe(network).apply(network, noise.split("calibration"))
    export = made.export(target(form.kind.name, form.kernels), path, torch.from_numpy(batch))
    left = [one.layer for one in export.executions if not one.integer]
    weights = sum(value.numel() for value in network.module.parameters())
    return {
        "size_bytes": export.size_bytes,
        "weight_bytes": 4 * weights,
        "layers": len(export.executions),
        "in_float": len(left),
        "float_layers": left if form.part in ("all", "all but outputs") else [],
        "worst_code": export.worst,
        "free_running_code": export.free_running,
        "float_error": export.float_error,
    }


def make_peers(
    noise: Dataset, folder: Path, threads: int, progress: Progress
) -> Mapping[str, Outcome]:
    """What ONNX Runtime's quantizer and NNCF make of our float artifact, by contender's name."""
    pixels, contract = folder / "pixels.npy", folder / "contract.json"
    np.save(pixels, noise.split("calibration").images.read(0, IMAGES))
    contract.write_text(json.dumps(noise.contract.to_json()))
    given = (str(folder / Form("nothing").file), str(pixels), str(contract), str(IMAGES))
    contenders = [
        Contender(name, program, (*given, str(folder / file), option), folder / file, needs)
        for name, program, file, option, needs in PEERS
    ]
    absent = [one for one in contenders if not one.out.is_file()]
    outcomes = {one.contender.name: one for one in run_in_turn(absent, 1, threads, progress)}
    return {one.name: outcomes.get(one.name, Outcome(one, ())) for one in contenders}


ORT_U8, ORT_S8, ORT_OWN = "ONNX Runtime u8s8", "ONNX Runtime s8s8", "ONNX Runtime, its own options"
NNCF, NNCF_OPENVINO = "NNCF", "NNCF, OpenVINO"
# Without bias correction, which changes no speed.
PEERS: Sequence[tuple[str, str, str, str, str]] = (
    (ORT_U8, "ptq_onnxruntime", "ort-u8s8.onnx", "u8", "onnxruntime"),
    (ORT_S8, "ptq_onnxruntime", "ort-s8s8.onnx", "s8", "onnxruntime"),
    (ORT_OWN, "ptq_onnxruntime", "ort-own.onnx", "config", "onnxruntime"),
    (NNCF, "ptq_nncf", "nncf.onnx", "plain", "nncf"),
    (NNCF_OPENVINO, "ptq_openvino", "nncf-openvino.xml", "plain", "openvino"),
)
