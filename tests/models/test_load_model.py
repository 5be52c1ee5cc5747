import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from edgewise.data.preprocess import natural
from edgewise.errors import EdgewiseError, ModelError, UsageError
from edgewise.models.builtin import BUILT_IN, build
from edgewise.models.load import load_model
from edgewise.models.weights import save_weights
from edgewise.store import digest_file

Write = Callable[[str], Path]

GOOD = "from torch import nn, zeros\ndef make():\n    return nn.Conv2d(3, 2, 1)\n"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def writing(text: str, name: str = "net.py") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return writing


def test_a_factory_in_a_file_makes_the_network(write: Write) -> None:
    path = write(GOOD)
    loaded = load_model(f"{path}:make")
    assert isinstance(loaded.module, nn.Conv2d)
    assert (loaded.name, loaded.source, loaded.input_shape) == ("net", "net.py:make", None)
    assert loaded.inputs == {"code": digest_file(path)}


def test_a_factory_may_say_what_the_network_takes(write: Write) -> None:
    path = write("from torch import nn, zeros\ndef make():\n"
                 "    return nn.Conv2d(3, 2, 1), zeros(7, 3, 5, 6)\n")  # fmt: skip
    loaded = load_model(f"{path}:make")
    assert loaded.input_shape == (3, 5, 6)
    assert isinstance(loaded.module, nn.Conv2d)


def test_a_class_is_a_factory_too(write: Write) -> None:
    path = write("from torch import nn\nclass Net(nn.Identity):\n    pass\n")
    assert type(load_model(f"{path}:Net").module).__name__ == "Net"


def test_files_beside_it_can_be_imported_also_when_the_factory_runs(
    write: Write, tmp_path: Path
) -> None:
    (tmp_path / "beside_one.py").write_text("SIZE = 4\n")
    (tmp_path / "beside_two.py").write_text("SIZE = 5\n")
    path = write("import beside_one\nfrom torch import nn\ndef make():\n    import beside_two\n"
                 "    return nn.Conv2d(beside_one.SIZE, beside_two.SIZE, 1)\n")  # fmt: skip
    before = list(sys.path)
    module = load_model(f"{path}:make").module
    assert isinstance(module, nn.Conv2d)
    assert (module.in_channels, module.out_channels) == (4, 5)
    assert sys.path == before


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("x = 1", "has no function 'make'"),
        ("make = 3", "has no function 'make'"),
        ("import not_there_at_all", "raised ModuleNotFoundError: No module named"),
        ("def make(:", "raised SyntaxError"),
        ("1 / 0", "raised ZeroDivisionError"),
        ("import sys; sys.exit(0)", "raised SystemExit"),
        ("def make():\n    raise ValueError('of the user')", r"make\(\) in .* ValueError: of the"),
        ("def make():\n    exit(0)", r"make\(\) in .* raised SystemExit"),
        ("def make(width):\n    return 1", r"make\(\) in .* raised TypeError"),
        ("def make():\n    return {}", "returned dict; it must return an nn.Module"),
        ("def make():\n    return None", "returned NoneType"),
        ("def make():\n    return 1, 2", "returned tuple"),
        ("from torch import nn\ndef make():\n    return nn.Identity", "returned type"),
        ("from torch import nn, zeros\ndef make():\n    return nn.Identity(), zeros(3, 8, 8)",
         r"must be \(batch, channels, height, width\), not of shape \(3, 8, 8\)"),
        ("from torch import zeros\ndef make():\n    return 1, zeros(1, 3, 8, 8)", "returned int"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_factory_is_said(write: Write, text: str, match: str) -> None:
    with pytest.raises(ModelError, match=match):
        load_model(f"{write(text)}:make")


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"absent\.py does not exist"):
        load_model(f"{tmp_path / 'absent.py'}:make")
    with pytest.raises(ModelError, match=r"absent\.pt2 does not exist"):
        load_model(str(tmp_path / "absent.pt2"))


@pytest.mark.parametrize("model", ["", "vgg", "VGG16", "net.py", "net.py:", ":make", "net.txt:make",
                                   "net.onnx", "net.pt", "vgg16:make"])  # fmt: skip
def test_what_names_no_model_is_refused_with_what_would(model: str) -> None:
    with pytest.raises(UsageError, match=r"vgg16.*file\.py:factory.*\.pt2"):
        load_model(model)


def test_options_are_for_built_in_networks_alone(write: Write) -> None:
    with pytest.raises(UsageError, match="options are for built-in networks"):
        load_model(f"{write(GOOD)}:make", options={"width": 1})


def test_weights_go_into_the_users_network(write: Write, tmp_path: Path) -> None:
    module = nn.Conv2d(3, 2, 1)
    contract = natural((3, 5, 6))
    save_weights(module, tmp_path / "w.safetensors", {"name": "other"}, contract)
    loaded = load_model(f"{write(GOOD)}:make", tmp_path / "w.safetensors")
    assert isinstance(loaded.module, nn.Conv2d)
    assert torch.equal(loaded.module.weight, module.weight)
    assert loaded.contract == contract
    assert set(loaded.inputs) == {"code", "weights"}
    assert loaded.inputs["weights"] == digest_file(tmp_path / "w.safetensors")


def test_weights_of_another_network_are_refused(write: Write, tmp_path: Path) -> None:
    save_weights(nn.Conv2d(3, 4, 1), tmp_path / "w.safetensors", {}, natural((3, 5, 6)))
    with pytest.raises(ModelError, match="of another network: .*size mismatch for weight"):
        load_model(f"{write(GOOD)}:make", tmp_path / "w.safetensors")


def test_the_built_in_network_comes_with_its_weights() -> None:
    loaded = load_model("vgg16")
    assert (loaded.name, loaded.input_shape) == ("vgg16", (3, 32, 32))
    assert loaded.contract is not None
    assert loaded.contract.shape == (3, 32, 32)
    bundled = BUILT_IN["vgg16"].weights
    assert bundled is not None
    assert loaded.inputs == {"weights": digest_file(bundled)}


def test_options_give_an_untrained_network_without_the_bundled_weights() -> None:
    loaded = load_model("vgg16", options={"width": 0.05, "classes": 3})
    assert loaded.inputs == {}
    assert loaded.contract is None
    assert loaded.module(torch.zeros(2, 3, 32, 32)).shape == (2, 3)


def test_the_options_stored_with_weights_build_the_network(tmp_path: Path) -> None:
    options = {"width": 0.05, "classes": 3, "batch_norm": False}
    module = build("vgg16", options)
    path = tmp_path / "w.safetensors"
    save_weights(module, path, {"name": "vgg16", "options": options}, natural((3, 32, 32)))
    loaded = load_model("vgg16", path)
    assert all(
        torch.equal(ours, theirs)
        for ours, theirs in zip(loaded.module.parameters(), module.parameters(), strict=True)
    )
    with pytest.raises(ModelError, match="another network"):
        load_model("vgg16", path, {"width": 0.1, "classes": 3, "batch_norm": False})


@pytest.mark.parametrize(
    ("model", "match"),
    [
        ({"name": "resnet", "options": {}}, "are of 'resnet', not of 'vgg16'"),
        ({"name": "vgg16", "options": [1]}, "does not say how"),
        ({"name": "vgg16", "options": {"depth": 3}}, "does not take the options"),
        ({"name": "vgg16", "options": {"width": "x"}}, "does not take the options"),
    ],
)  # fmt: skip
def test_a_header_that_cannot_be_is_refused(
    tmp_path: Path, model: dict[str, object], match: str
) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(nn.Conv2d(3, 2, 1), path, model, natural((3, 32, 32)))
    with pytest.raises(EdgewiseError, match=match):
        load_model("vgg16", path)


def test_a_detector_takes_the_size_that_it_was_trained_for(tmp_path: Path) -> None:
    options = {"width": 0.05, "classes": 3}
    path, contract = tmp_path / "w.safetensors", natural((3, 96, 64))
    module = build("yolov3-tiny", options)
    save_weights(module, path, {"name": "yolov3-tiny", "options": options}, contract)
    loaded = load_model("yolov3-tiny", path)
    assert (loaded.input_shape, loaded.contract) == ((3, 96, 64), contract)
    assert load_model("yolov3-tiny", options=options).input_shape == (3, 416, 416)
    state = module.state_dict()
    assert all(torch.equal(state[name], x) for name, x in loaded.module.state_dict().items())
