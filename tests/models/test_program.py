import copy
import json
import os
import pickle
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim

from edgewise.errors import ModelError
from edgewise.models.load import load_model
from edgewise.models.program import load_program

MODEL, SAMPLES = "models/model.json", "data/sample_inputs/model.pt"
WEIGHTS = "data/weights/model_weights_config.json"
CONSTANTS = "data/constants/model_constants_config.json"
Records = dict[str, bytes]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.head = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.conv(x)) * torch.tensor([0.5])
        return self.head(y.mean((2, 3)))  # type: ignore[no-any-return]


def export(module: nn.Module, path: Path, **sizes: Any) -> Path:
    shapes = ({0: Dim("batch"), **sizes.get("shapes", {})},)
    program = torch.export.export(module, (torch.zeros(2, 3, 8, 8),), dynamic_shapes=shapes)
    torch.export.save(program, path)
    return path


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    return export(Net().eval(), tmp_path_factory.mktemp("program") / "good.pt2")


@pytest.fixture(scope="module")
def records(good: Path) -> Records:
    with zipfile.ZipFile(good) as archive:
        return {name.split("/", 1)[1]: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Mapping[str, bytes]], Path]:
    def writing(records: Mapping[str, bytes]) -> Path:
        with zipfile.ZipFile(tmp_path / "evil.pt2", "w") as archive:
            for name, content in records.items():
                archive.writestr(f"evil/{name}", content)
        return tmp_path / "evil.pt2"

    return writing


Write = Callable[[Mapping[str, bytes]], Path]


def sing(canary: Path) -> str:
    """An expression that leaves the file, without dots."""
    return f"getattr(__import__('os'),'system')('touch {canary}')"


def refused(path: Path, canary: Path, match: str) -> None:
    with pytest.raises(ModelError, match=match):
        load_program(path)
    assert not canary.exists()


@torch.no_grad()
def test_a_program_computes_what_the_network_does(good: Path, tiny_images: Tensor) -> None:
    torch.manual_seed(0)
    module, example = load_program(good)
    assert example is not None
    assert example.shape == (2, 3, 8, 8)
    assert torch.allclose(module(tiny_images), Net().eval()(tiny_images), atol=1e-6)
    loaded = load_model(str(good))
    assert (loaded.name, loaded.source, loaded.input_shape) == ("good", "good.pt2", (3, 8, 8))
    assert set(loaded.inputs) == {"program"}


def test_an_archive_packed_by_another_tool_is_read_too(records: Records, write: Write) -> None:
    module, _ = load_program(write(records))
    assert module(torch.zeros(1, 3, 8, 8)).shape == (1, 5)


class Sized(nn.Module):
    """Sizes that are expressions, outputs in a dictionary, a name that is no identifier."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleDict({"a-b": nn.Conv2d(3, 4, 3, stride=2, padding=1)})

    def forward(self, x: Tensor) -> dict[str, Any]:
        y = self.parts["a-b"](x)
        flat = y.reshape(y.shape[0], -1)[:, : y.shape[2] // 2]
        return {"out": flat, "more": [y * y.shape[3], nn.functional.interpolate(y, scale_factor=2)]}


def test_sizes_that_are_left_open_are_read(tmp_path: Path) -> None:
    sizes = {2: Dim("height", min=8), 3: Dim("width", min=8)}
    module, _ = load_program(export(Sized().eval(), tmp_path / "sized.pt2", shapes=sizes))
    assert module(torch.zeros(1, 3, 12, 10))["out"].shape == (1, 3)


def test_a_program_cut_short_is_refused(good: Path, tmp_path: Path) -> None:
    whole = good.read_bytes()
    path = tmp_path / "cut.pt2"
    for length in (0, 1, 1000, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelError, match="cannot be read as an exported program"):
            load_program(path)


@pytest.mark.parametrize("name", [MODEL, WEIGHTS, CONSTANTS, SAMPLES, "archive_format"])
def test_a_program_without_a_part_is_refused(records: Records, write: Write, name: str) -> None:
    with pytest.raises(ModelError, match="exported program"):
        load_program(write({key: value for key, value in records.items() if key != name}))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"{}", b'"x"', b"[" * 10**5])
@pytest.mark.parametrize("name", [MODEL, WEIGHTS])
def test_a_part_that_is_no_such_json_is_refused(
    records: Records, write: Write, name: str, content: bytes
) -> None:
    with pytest.raises(ModelError, match=r"evil\.pt2"):
        load_program(write({**records, name: content}))


def test_a_checkpoint_under_the_name_of_a_program_is_refused(tmp_path: Path) -> None:
    torch.save(Net().state_dict(), tmp_path / "net.pt2")
    with pytest.raises(ModelError, match=r"net\.pt2"):
        load_program(tmp_path / "net.pt2")


@pytest.mark.parametrize("name", [SAMPLES, "data/weights/weight_0", "data/constants/tensor_0"])
def test_a_pickle_runs_nothing_wherever_it_lies(
    records: Records, write: Write, canary: Path, evil: object, name: str
) -> None:
    changed = {**records, name: pickle.dumps(evil)}
    for config in (WEIGHTS, CONSTANTS):
        changed[config] = changed[config].replace(b'"use_pickle": false', b'"use_pickle": true')
    refused(write(changed), canary, "cannot be read as an exported program")


@pytest.mark.parametrize(
    "name",
    [
        "data/constants/opaque_obj_0", "data/constants/custom_obj_0", "data/weights/model.pt",
        "data/constants/model.pt", "data/aotinductor/model/net.so", "models/other.json",
        "MODELS/model.json", "models/model.JSON", "serialized_exported_program.json", "x",
        "data/constants/../constants/opaque_obj_0",
    ],
)  # fmt: skip
def test_records_that_no_network_needs_are_refused(
    records: Records, write: Write, canary: Path, evil: object, name: str
) -> None:
    config = json.loads(records[CONSTANTS])
    config["config"]["evil"] = {
        "path_name": name.rsplit("/", 1)[-1],
        "is_param": False, "use_pickle": True, "tensor_meta": None,
    }  # fmt: skip
    made = {**records, name: pickle.dumps(evil), CONSTANTS: json.dumps(config).encode()}
    refused(write(made), canary, "which no network needs|two records of one name")


def test_two_records_of_one_name_are_refused(records: Records, tmp_path: Path) -> None:
    path = tmp_path / "twice.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in records.items():
            archive.writestr(f"x/{name}", content)
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr(f"x/{MODEL}", records[MODEL])
    with pytest.raises(ModelError, match="two records of one name"):
        load_program(path)


def test_the_older_form_of_file_is_not_read_instead(records: Records, tmp_path: Path) -> None:
    """torch.export.load turns to it where the newer one fails; nothing of it would be checked."""
    path = tmp_path / "older.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in records.items():
            archive.writestr(f"older/{name}", b"{}" if name == MODEL else content)
        archive.writestr("version", "8.15")
        archive.writestr("serialized_exported_program.json", "{}")
    with pytest.raises(ModelError, match=r"older\.pt2"):
        load_program(path)


def test_an_archive_that_unpacks_to_more_than_it_is_is_refused(
    records: Records, tmp_path: Path
) -> None:
    path = tmp_path / "bomb.pt2"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**records, "extra/x": bytes(10**7)}.items():
            archive.writestr(f"bomb/{name}", content)
    with pytest.raises(ModelError, match="unpacks to more than it is"):
        load_program(path)


def changed(records: Records, change: Callable[[Any], None]) -> Records:
    model = json.loads(records[MODEL])
    change(model)
    return {**records, MODEL: json.dumps(model).encode()}


@pytest.mark.parametrize(
    "target",
    [
        "torch.hub.load", "torch.load", "torch.os.system", "os.system", "builtins.eval", "",
        "_operator.call", "_operator.methodcaller", "_operator.attrgetter", "math.__loader__",
        "torch.ops.load_library", "torch.ops.higher_order.cond", "torch.ops.aten.from_file.default",
        "torch.ops.aten.save.default", "torch.ops.aten.relu.default.__globals__", "#x",
        "torch.ops.aten.relu.default\n",
    ],
)  # fmt: skip
def test_nodes_call_tensor_operators_alone(
    records: Records, write: Write, canary: Path, target: str
) -> None:
    def call(model: Any) -> None:
        model["graph_module"]["graph"]["nodes"][1]["target"] = target

    refused(write(changed(records, call)), canary, "where a tensor operator should be")


def test_an_operator_that_opens_files_is_refused_with_its_arguments(
    records: Records, write: Write, canary: Path
) -> None:
    def call(model: Any) -> None:
        graph = model["graph_module"]["graph"]
        node = copy.deepcopy(graph["nodes"][1])
        node["target"] = "torch.ops.aten.from_file.default"
        given = {"filename": {"as_string": str(canary)}, "shared": {"as_bool": True},
                 "size": {"as_int": 9}}  # fmt: skip
        node["inputs"] = [{"name": k, "arg": v, "kind": 1} for k, v in given.items()]
        graph["nodes"].insert(1, node)

    refused(write(changed(records, call)), canary, "where a tensor operator should be")


def test_a_function_is_no_argument(records: Records, write: Write, canary: Path) -> None:
    def call(model: Any) -> None:
        node = model["graph_module"]["graph"]["nodes"][1]
        node["inputs"].append({"name": "", "arg": {"as_operator": "torch.os.system"}, "kind": 1})

    refused(write(changed(records, call)), canary, "'torch.os.system' where a tensor operator")


@pytest.mark.parametrize(
    "text",
    [
        "{code}", "(exec)('import os')", "Symbol('s77', positive=True)+{code}", "(Symbol)('x')",
        "Symbol('s77', positive={code})", "preview('x')", "Max.__class__", "Integer(1).real",
        "9**9**9", "lambda: 1", "s77", "Symbol('s77', positive=True, integer=True).free_symbols",
    ],
)  # fmt: skip
def test_a_size_is_arithmetic_and_never_evaluated_otherwise(
    records: Records, write: Write, canary: Path, text: str
) -> None:
    def resize(value: Any) -> None:
        for key, entry in value.items() if isinstance(value, dict) else enumerate(value):
            if key == "expr_str":
                value[key] = text.replace("{code}", sing(canary))
            elif isinstance(entry, (dict, list)):
                resize(entry)

    evil = changed(records, resize)
    assert evil != records
    refused(write(evil), canary, "where a size should be")


@pytest.mark.parametrize("name", ["x", "p_conv_weight", "conv2d", "conv.weight"])
def test_names_never_reach_source_code_as_anything_else(
    records: Records, write: Write, canary: Path, name: str
) -> None:
    """Inputs and parameters are written into Python source by name."""
    for code in (f"x={sing(canary)}", f'c"),{sing(canary)},getattr(self,"c', "x, *args", "a b"):
        evil = {
            part: content.replace(json.dumps(name).encode(), json.dumps(code).encode())
            for part, content in records.items()
        }
        assert evil != records
        refused(write(evil), canary, "where a name should be")


def test_names_of_arguments_are_names_too(records: Records, write: Write, canary: Path) -> None:
    def rename(model: Any) -> None:
        for call in model["graph_module"]["module_call_graph"]:
            if call["signature"]:
                call["signature"]["forward_arg_names"] = [f"x={sing(canary)}"]

    refused(write(changed(records, rename)), canary, "where a name should be")


@pytest.mark.parametrize(
    "node",
    [
        {"type": "builtins.tuple", "context": '{"__enum__": true, "fqn": "canary_module:x"}'},
        {"type": "collections.defaultdict", "context": '{"default_factory_module": "os"}'},
        {"type": "builtins.dict", "context": '["x=1)"]'},
        {"type": "builtins.dict", "context": '[["x"]]'},
        {"type": "collections.namedtuple", "context": '"os"'},
    ],
)
def test_structures_of_inputs_import_no_modules(
    records: Records, write: Write, canary: Path, node: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    (tmp_path / "canary_module.py").write_text(f"open({str(canary)!r}, 'w')")
    monkeypatch.syspath_prepend(tmp_path)

    def restructure(model: Any) -> None:
        for call in model["graph_module"]["module_call_graph"]:
            if call["signature"]:
                call["signature"]["in_spec"] = json.dumps([1, {**node, "children_spec": []}])

    refused(write(changed(records, restructure)), canary, "where a tuple of tensors should be")
    assert "canary_module" not in sys.modules


def test_payloads_lie_where_tensors_lie(records: Records, write: Write, canary: Path) -> None:
    evil = records[WEIGHTS].replace(b'"weight_0"', b'"../sample_inputs/model.pt"')
    assert evil != records[WEIGHTS]
    refused(write({**records, WEIGHTS: evil}), canary, "where a tensor should be")


def test_free_text_on_where_nodes_come_from_may_say_anything(
    records: Records, write: Write, canary: Path
) -> None:
    def comment(model: Any) -> None:
        for node in model["graph_module"]["graph"]["nodes"]:
            node["metadata"]["stack_trace"] = f"\n{sing(canary)}\n"

    module, _ = load_program(write(changed(records, comment)))
    module(torch.zeros(1, 3, 8, 8))
    assert not canary.exists()


def test_the_environment_is_left_as_it_was(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    for before in (None, "0"):
        if before is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, before)
        load_program(good)
        assert os.environ.get(name) == before
