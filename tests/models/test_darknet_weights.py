import shutil
import struct
from pathlib import Path

import darknet_cfg
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgewise.errors import ModelError
from edgewise.models.blocks import Block
from edgewise.models.builtin import build
from edgewise.models.darknet import Header, read_darknet, read_header, write_darknet
from edgewise.models.load import load_model
from edgewise.store import digest_file

NAMES = ("yolov3", "yolov3-tiny")
WIDTH = 0.1


class Small(nn.Module):
    """Two convolutions, run in the other order than they were made in."""

    def __init__(self) -> None:
        super().__init__()
        self.second = nn.Conv2d(2, 3, 1)
        self.first = Block(1, 2, 3)

    def darknet_order(self) -> tuple[nn.Module, ...]:
        return self.first, self.second


def drawn(module: nn.Module, seed: int = 0) -> nn.Module:
    """The module with other numbers everywhere, statistics of BatchNorm too."""
    draw = torch.Generator().manual_seed(seed)
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.randn(tensor.shape, generator=draw) * tensor[0].numel() ** -0.5)
            if "norm" in name and not name.endswith(("bias", "running_mean")):
                tensor.abs_().add_(0.5)
    return module.eval()


def same(one: nn.Module, other: nn.Module) -> bool:
    left, right = one.state_dict(), other.state_dict()
    assert left.keys() == right.keys()
    return all(torch.equal(left[name], right[name]) for name in left)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    write_darknet(tmp_path / "small.weights", drawn(Small()))
    return tmp_path / "small.weights"


@pytest.mark.parametrize("name", NAMES)
def test_darknets_own_configuration_computes_the_same_with_the_same_file(
    name: str, tmp_path: Path
) -> None:
    classes = {"yolov3": 20, "yolov3-tiny": 80}[name]
    module = drawn(build(name, {"width": WIDTH, "classes": classes}))
    path = tmp_path / "net.weights"
    write_darknet(path, module, Header(seen=7))
    values = np.fromfile(path, "<f4", offset=20)
    images = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found = module(images)
        expected = darknet_cfg.run(darknet_cfg.CFGS[name], values, images, WIDTH)
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        assert float((one - other).abs().max()) <= 1e-5 * float(other.abs().max())
        assert float(other.std()) > 0.1  # where all is alike, every order would do


@pytest.mark.parametrize("name", NAMES)
def test_a_round_trip_is_exact(name: str, tmp_path: Path) -> None:
    module, path = drawn(build(name, {"width": WIDTH})), tmp_path / "one.weights"
    write_darknet(path, module, Header(0, 2, 5, 1 << 40))
    loaded = load_model(name, path, {"width": WIDTH})
    assert same(loaded.module, module)
    assert loaded.inputs == {"weights": digest_file(path)}
    assert loaded.contract is not None
    assert (loaded.contract.mean, loaded.contract.std) == ((0.0,) * 3, (1.0,) * 3)
    assert loaded.contract.shape == loaded.input_shape
    assert read_header(path) == Header(0, 2, 5, 1 << 40)
    write_darknet(tmp_path / "two.weights", loaded.module, read_header(path))
    assert (tmp_path / "two.weights").read_bytes() == path.read_bytes()


def test_numbers_lie_in_darknets_order(small: Path) -> None:
    content = small.read_bytes()
    assert struct.unpack("<3iq", content[:20]) == (0, 2, 0, 0)
    state = drawn(Small()).state_dict()
    names = (
        "first.norm.bias", "first.norm.weight", "first.norm.running_mean",
        "first.norm.running_var", "first.conv.weight", "second.bias", "second.weight",
    )  # fmt: skip
    expected = torch.cat([state[name].flatten() for name in names])
    assert content[20:] == expected.numpy().tobytes()


@pytest.mark.parametrize(
    ("header", "size"),
    [
        (Header(0, 1, 9, 5), 16), (Header(0, 2, 0, 5), 20), (Header(1, 0, 0, 5), 20),
        (Header(2000, 0, 0, 5), 16), (Header(0, 2000, 0, 5), 16),
    ],
    ids=str,
)  # fmt: skip
def test_old_headers_count_in_32_bits(header: Header, size: int, tmp_path: Path) -> None:
    module = drawn(Small())
    write_darknet(tmp_path / "a.weights", module, header)
    floats = sum(value.numel() for value in module.state_dict().values()) - 1
    assert (tmp_path / "a.weights").stat().st_size == size + 4 * floats
    assert read_header(tmp_path / "a.weights") == header
    assert torch.equal(
        read_darknet(tmp_path / "a.weights", Small()).tensors["second.weight"],
        module.state_dict()["second.weight"],
    )


def test_a_file_of_any_other_length_is_refused_with_the_one_that_is_right(small: Path) -> None:
    content = small.read_bytes()
    for length in range(len(content) + 9):
        if length == len(content):
            continue
        small.write_bytes((content + bytes(9))[:length])
        with pytest.raises(ModelError) as caught:
            read_darknet(small, Small())
        said = str(caught.value)
        if length < 20:
            assert "no header of darknet" in said
        else:
            assert f"{length} bytes and this network takes {len(content)}: a header of 20" in said
            assert ("cut short" if length < len(content) else "followed by") in said


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_cannot_be_are_named(small: Path, value: float) -> None:
    content = small.read_bytes()
    numbers = np.frombuffer(content, "<f4", offset=20).copy()
    numbers[-1] = value
    small.write_bytes(content[:20] + numbers.tobytes())
    with pytest.raises(ModelError, match=r"not finite, first in 'second\.weight'"):
        read_darknet(small, Small())


def test_a_negative_variance_is_refused(small: Path) -> None:
    content = small.read_bytes()
    numbers = np.frombuffer(content, "<f4", offset=20).copy()
    numbers[7] *= -1
    small.write_bytes(content[:20] + numbers.tobytes())
    with pytest.raises(ModelError, match=r"negative variance in 'first\.norm\.running_var'"):
        read_darknet(small, Small())


def test_what_is_no_file_is_said(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.weights", tmp_path):
        with pytest.raises(ModelError, match="do not exist"):
            read_darknet(path, Small())


class Twice(Small):
    def darknet_order(self) -> tuple[nn.Module, ...]:
        return self.first, self.second, self.second


class Without(Small):
    def darknet_order(self) -> tuple[nn.Module, ...]:
        return (self.first,)


class Linear(Small):
    def __init__(self) -> None:
        super().__init__()
        self.third = nn.Linear(2, 2)


@pytest.mark.parametrize("kind", [Twice, Without, Linear])
def test_a_network_has_to_name_every_layer_once(kind: type[Small], small: Path) -> None:
    with pytest.raises(ModelError, match=f"{kind.__name__} does not name each of its layers once"):
        read_darknet(small, kind())


def test_another_network_than_the_files(small: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="VGG16 is no network of darknet"):
        load_model("vgg16", small)
    with pytest.raises(ModelError, match=r"takes 35434956: .* 8858734 numbers.*--model-option"):
        load_model("yolov3-tiny", small)
    user = tmp_path / "net.py"
    user.write_text("from torch import nn\ndef make():\n    return nn.Conv2d(3, 2, 1)\n")
    with pytest.raises(ModelError, match="for the built-in yolov3, yolov3-tiny"):
        load_model(f"{user}:make", small)


def test_what_is_read_shares_nothing(small: Path) -> None:
    tensors = read_darknet(small, Small()).tensors
    places = {tensor.untyped_storage().data_ptr() for tensor in tensors.values()}
    assert len(places) == len(tensors)
    kept: Tensor = tensors["second.weight"].clone()
    shutil.copy(small, small.with_name("other.weights"))
    small.write_bytes(bytes(small.stat().st_size))
    assert torch.equal(tensors["second.weight"], kept)
