"""Every operation that can be written: in float as PyTorch computes it, on integers as the twin."""

from collections.abc import Callable, Iterable
from pathlib import Path

import onnx_operations
import openvino_operations
import pytest
import tflite_operations
import torch
from target_kinds import ONNX, OPENVINO, TFLITE, Kind
from target_networks import Between
from target_operations import CONVOLUTIONS, Entry, Operations
from target_recipes import narrow
from torch import Tensor

from edgewise.data.dataset import Dataset
from edgewise.data.preprocess import natural
from edgewise.errors import UnsupportedOpError
from edgewise.graph.capture import capture
from edgewise.graph.network import Network
from edgewise.presets import FLOAT32, INT8

OF = {ONNX: onnx_operations.OPERATIONS, TFLITE: tflite_operations.OPERATIONS,
      OPENVINO: openvino_operations.OPERATIONS}  # fmt: skip
FEW = (
    "relu6", "hardtanh", "twice", "max_pool2d", "pad", "gate", "chunk", "cat, relu", "add",
    "classifier",
)  # fmt: skip
BITS = [(8, 4), (4, 8), (4, 4), (2, 8), (3, 3), (2, 2)]


def each(choose: Callable[[Operations], Iterable[str]]) -> pytest.MarkDecorator:
    """Every target with the names that are chosen of its operations."""
    return pytest.mark.parametrize(
        ("kind", "name"),
        [pytest.param(kind, name, id=f"{kind.name}-{name}")
         for kind, known in OF.items() for name in choose(known)],
    )  # fmt: skip


@pytest.fixture(scope="session")
def around() -> Callable[[Entry], Network]:
    """A network around an operation, captured once: for reading only."""
    known: dict[Entry, Network] = {}

    def find(entry: Entry) -> Network:
        if entry not in known:
            torch.manual_seed(0)
            known[entry] = capture(Between(*entry).eval(), natural((3, 8, 8)))
        return known[entry]

    return find


@each(lambda known: known.written)
def test_in_float_the_artifact_is_the_network_on_plain_kernels_too(
    kind: Kind, name: str, tiny_images: Tensor, tmp_path: Path, around: Callable[[Entry], Network]
) -> None:
    made = FLOAT32.apply(around(OF[kind].written[name]))
    export = made.export(kind.target, tmp_path / kind.file, tiny_images)
    assert export.float_error < 1e-5
    assert not any(entry.integer for entry in export.executions)
    assert all(entry.operator != "unknown" for entry in export.executions)
    plain = kind.load_plainly(export.path)(tiny_images)
    with torch.no_grad():
        ours = made.network(tiny_images).numpy()
    assert abs(plain - ours).max() < 1e-5 * abs(ours).max()


@each(lambda known: known.written)
def test_on_integers_the_artifact_is_the_twin(
    kind: Kind, name: str, tiny_data: Dataset, tiny_images: Tensor, tmp_path: Path,
    around: Callable[[Entry], Network],
) -> None:  # fmt: skip
    known = OF[kind]
    recipe = kind.place(INT8).with_kept_float(known.kept if name in known.floats else ())
    made = recipe.apply(around(known.written[name]), tiny_data.split("calibration"))
    export = made.export(kind.target, tmp_path / kind.file, tiny_images)
    assert export.worst <= 1
    assert {"one", "two"} <= {entry.layer for entry in export.executions if entry.integer}
    if name in CONVOLUTIONS:
        assert all(check.off == 0 for check in export.checks)
        assert export.integer_share == 1
    if name in CONVOLUTIONS or name in known.codes:
        assert kind.on_codes(export.path), "only the input and the output are float"


@each(lambda known: known.floats)
def test_without_leave_to_run_in_float_it_is_refused_by_name(
    kind: Kind, name: str, tiny_data: Dataset, around: Callable[[Entry], Network]
) -> None:
    network = around(OF[kind].floats[name])
    with pytest.raises(UnsupportedOpError, match=f"{name.partition(' ')[0]}.* at '"):
        kind.place(INT8).apply(network, tiny_data.split("calibration"))


@each(lambda known: known.refused)
def test_what_cannot_be_written_is_refused_by_name(
    kind: Kind, name: str, tiny_images: Tensor, tmp_path: Path, around: Callable[[Entry], Network]
) -> None:
    function, message = OF[kind].refused[name]
    made = FLOAT32.apply(around((function, 4)))
    with pytest.raises(UnsupportedOpError, match=message):
        made.export(kind.target, tmp_path / kind.file, tiny_images)
    assert list(tmp_path.iterdir()) == []


@each(lambda known: FEW)
@pytest.mark.parametrize("bits", BITS, ids=str)
def test_narrow_codes_stay_in_their_bounds_and_on_integers(
    kind: Kind, name: str, bits: tuple[int, int], tiny_data: Dataset, tiny_images: Tensor,
    tmp_path: Path, around: Callable[[Entry], Network],
) -> None:  # fmt: skip
    recipe = kind.place(narrow(*bits))
    made = recipe.apply(around(OF[kind].written[name]), tiny_data.split("calibration"))
    export = made.export(kind.target, tmp_path / kind.file, tiny_images)
    assert export.worst <= 1
    assert export.integer_share == 1
    if name in OF[kind].codes:
        assert kind.on_codes(export.path), "only the input and the output are float"


@pytest.mark.parametrize("name", OF[ONNX].written)
def test_in_the_newer_opset_of_two_bits_every_operation_is_what_it_was(
    name: str, tiny_data: Dataset, tiny_images: Tensor, tmp_path: Path,
    around: Callable[[Entry], Network],
) -> None:  # fmt: skip
    known = OF[ONNX]
    recipe = narrow(2, 4).with_kept_float(known.kept if name in known.floats else ())
    made = recipe.apply(around(known.written[name]), tiny_data.split("calibration"))
    export = made.export(ONNX.target, tmp_path / ONNX.file, tiny_images)
    assert export.worst <= 1
    assert {"one", "two"} <= {entry.layer for entry in export.executions if entry.integer}
    if name in known.codes:
        assert ONNX.on_codes(export.path), "only the input and the output are float"
