"""Verdicts on a detector follow from the figures; its artifacts are what their names say."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch.nn.functional as F
from benchmarks.beside import WithWeights
from benchmarks.detector_artifacts import FOR_OPENVINO, FORMS, Form
from benchmarks.detector_promises import Figures
from torch import Tensor, nn

from benchmarks import contender
from edgewise.data.dataset import Dataset
from edgewise.data.preprocess import natural
from edgewise.graph.capture import capture
from edgewise.graph.network import Network
from edgewise.models.yolov3 import YOLOv3
from edgewise.progress import silent
from edgewise.quant.fake import QuantizedLayer
from edgewise.stats import Interval
from edgewise.steps.calibrate import Calibrate
from edgewise.steps.fold import Fold
from edgewise.worker.facts import machine

VNNI = ("avx512_vnni",)


def around(value: float) -> Interval:
    return Interval(value, value - 0.02, value + 0.02)


def made(size: int, *left: str) -> dict[str, Any]:
    return {"size_bytes": size, "weight_bytes": 4000, "layers": 75, "in_float": len(left),
            "float_layers": list(left)}  # fmt: skip


OUTPUTS = tuple(f"head.{place}.output" for place in range(3))
OURS = {
    ("nothing", "onnxruntime"): made(4010, *("x",) * 75),
    ("all but outputs", "onnxruntime"): made(1015, *OUTPUTS),
    ("all", "onnxruntime"): made(1010),
}
GOOD = Figures(around(3.2), VNNI, {"NNCF": around(0.99)}, around(1.0), "int8",
               {"head": around(1.3)}, OURS)  # fmt: skip


def words(figures: Figures) -> list[str]:
    return [one.word for one in figures.verdicts()]


def test_figures_at_their_limits_pass() -> None:
    assert words(GOOD) == ["PASS"] * 8


def test_each_promise_is_broken_by_its_own_figure() -> None:
    spoiled: list[tuple[int, dict[str, Any]]] = [
        (0, {"speed_up": around(3.19)}),
        (1, {"same_runtime": {"NNCF": around(2), "ONNX Runtime": around(0.97)}}),
        (2, {"native": around(0.97)}),
        (3, {"parts": {"neck": around(0.9), "head": around(2)}}),
        (4, {"ours": {**OURS, ("nothing", "onnxruntime"): made(4041, "x")}}),
        (5, {"ours": {**OURS, ("all but outputs", "onnxruntime"): made(1019, *OUTPUTS)}}),
        (6, {"ours": {**OURS, ("all but outputs", "onnxruntime"): made(1015, *OUTPUTS[:2], "x")}}),
        (6, {"ours": {**OURS, ("all but outputs", "onnxruntime"): made(1015, *OUTPUTS[:2])}}),
        (7, {"ours": {**OURS, ("all", "onnxruntime"): made(1010, "head.0.output")}}),
    ]
    for place, change in spoiled:
        found = words(replace(GOOD, **change))
        assert [index for index, word in enumerate(found) if word == "FAIL"] == [place]


def test_what_was_not_measured_is_not_judged() -> None:
    absent = replace(GOOD, features=(), same_runtime={}, native=None)
    assert words(absent)[:4] == ["NOT JUDGED"] * 3 + ["PASS"]


def test_the_least_is_shown_with_its_name() -> None:
    shown = replace(GOOD, same_runtime={"a": around(2), "b": around(1.5)}).verdicts()[1].figures
    assert shown == "1.500x [1.480, 1.520] against b"


class Twig(nn.Module):
    """What makes one output."""

    def __init__(self) -> None:
        super().__init__()
        self.block, self.output = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 2, 1)

    def forward(self, features: Tensor) -> Tensor:
        found: Tensor = self.output(F.leaky_relu(self.block(features)))
        return found


class Small(nn.Module):
    """Regions and outputs by the names that the detector has."""

    edgewise_regions = YOLOv3.edgewise_regions
    edgewise_outputs = YOLOv3.edgewise_outputs

    def __init__(self) -> None:
        super().__init__()
        self.backbone, self.neck = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)
        self.head = nn.ModuleList(Twig() for _ in range(3))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        features = F.leaky_relu(self.neck(F.leaky_relu(self.backbone(images))))
        return tuple(one(features) for one in self.head)


@pytest.fixture(scope="module")
def small(tiny_data: Dataset) -> Network:
    network = Fold().apply(capture(Small().eval(), natural((3, 8, 8)), "small"), None, silent)
    return Calibrate().apply(network, tiny_data.split("calibration"), silent)


@pytest.mark.parametrize("form", [*FORMS, FOR_OPENVINO], ids=lambda one: one.name)
def test_what_is_on_integers_is_what_the_name_says(
    form: Form, small: Network, tiny_data: Dataset
) -> None:
    made = form.recipe(small).apply(small, tiny_data.split("calibration"))
    layers = [one for one in made.network.module.modules() if isinstance(one, QuantizedLayer)]
    found = {layer.form.path for layer in layers}
    every = {layer.form.path for _, layer in small.layers()}
    outputs = {path for path in every if path.endswith(".output")}
    assert len(outputs) == 3
    wanted = {
        "nothing": set(),
        "all": every,
        "all but outputs": every - outputs,
    }.get(form.part, {path for path in every - outputs if path.startswith(form.part)})
    assert found == wanted


def test_a_form_for_one_processor_is_a_row_of_its_own_where_that_processor_is() -> None:
    plain, amx = Form("all but outputs"), Form("all but outputs", kernels="amx")
    assert (amx.name, amx.file) == ("int8 all but outputs, AMX", "all-but-outputs-amx.onnx")
    assert plain in FORMS
    assert (amx in FORMS) == ("amx_int8" in machine()["features"])


def test_every_form_has_a_name_and_a_file_of_its_own() -> None:
    forms = [*FORMS, FOR_OPENVINO]
    assert len({one.name for one in forms}) == len({one.file for one in forms}) == len(forms)


def test_large_images_come_one_at_a_time() -> None:
    assert contender.batch_of(32, 32) == contender.batch_of(64, 64) == 16
    assert contender.batch_of(416, 416) == 1


def test_weights_go_where_their_model_goes(tmp_path: Path) -> None:
    for name in ("m.xml", "m.bin"):
        (tmp_path / name).write_text(name)
    (tmp_path / "list.py").write_text("import os; print(sorted(os.listdir()))")
    with WithWeights() as device:
        device.put(tmp_path / "m.xml", "artifact-3.xml")
        device.put(tmp_path / "list.py", "list.py")
        assert device.run(("list.py",), 60) == "['artifact-3.bin', 'artifact-3.xml', 'list.py']\n"
        device.get("artifact-3.bin", tmp_path / "back")
    assert (tmp_path / "back").read_text() == "m.bin"
