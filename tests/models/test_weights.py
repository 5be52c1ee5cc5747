import json
import pickle
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save
from torch import Tensor, nn

from edgewise.data.preprocess import natural
from edgewise.errors import ModelError
from edgewise.models.weights import apply_weights, load_weights, save_weights
from edgewise.store import digest_file

CONTRACT = natural((3, 8, 8))
GOOD = {"weight": torch.arange(6.0).view(2, 3, 1, 1), "bias": torch.tensor([1.0, -1.0])}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Callable[[Any], Path]:
    def saving(content: Any) -> Path:
        torch.save(content, tmp_path / "net.pt")
        return tmp_path / "net.pt"

    return saving


def test_weights_go_through_a_file_and_back(tmp_path: Path, tiny_module: nn.Module) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(tiny_module, path, {"name": "x", "options": {"a": [1]}}, CONTRACT)
    weights = load_weights(path)
    state = tiny_module.state_dict()
    assert weights.tensors.keys() == state.keys()
    assert all(torch.equal(weights.tensors[name], state[name]) for name in state)
    assert weights.model == {"name": "x", "options": {"a": [1]}}
    assert weights.contract == CONTRACT
    assert weights.digest == digest_file(path)
    save_weights(tiny_module, tmp_path / "again", weights.model, CONTRACT)
    assert (tmp_path / "again").read_bytes() == path.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["again", "w.safetensors"]


def test_memory_layout_does_not_matter(tmp_path: Path) -> None:
    module = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    save_weights(module, tmp_path / "w.safetensors", {}, CONTRACT)
    loaded = nn.Conv2d(3, 4, 3)
    apply_weights(loaded, load_weights(tmp_path / "w.safetensors"), tmp_path)
    assert torch.equal(loaded.weight, module.weight)


def test_safetensors_of_others_need_no_header(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(save(GOOD))
    weights = load_weights(tmp_path / "w.safetensors")
    assert (weights.model, weights.contract) == (None, None)
    assert torch.equal(weights.tensors["weight"], GOOD["weight"])


@given(cut=st.floats(0, 1, exclude_max=True), tail=st.binary(min_size=1, max_size=3))
def test_a_file_cut_short_or_with_more_behind_is_refused(
    tmp_path_factory: pytest.TempPathFactory, cut: float, tail: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "cut.safetensors"
    whole = save(GOOD)
    for content in (whole[: int(cut * len(whole))], whole + tail):
        path.write_bytes(content)
        with pytest.raises(ModelError, match="not whole safetensors"):
            load_weights(path)


@pytest.mark.parametrize("length", [2**63, 2**40, 10**8, 1])
def test_a_header_cannot_claim_the_memory(tmp_path: Path, length: int) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(struct.pack("<Q", length) + save(GOOD)[8:])
    with pytest.raises(ModelError, match="not whole safetensors"):
        load_weights(path)


@pytest.mark.parametrize(
    "header",
    [
        '{"weight":{"dtype":"F32","shape":[1000000,1000000],"data_offsets":[0,4]}}',
        '{"weight":{"dtype":"F32","shape":[1],"data_offsets":[0,99]}}',
        '{"weight":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}',
        '{"weight":{"dtype":"X32","shape":[1],"data_offsets":[0,4]}}',
        '{"weight":5}', "[]", "nonsense",
    ],
)  # fmt: skip
def test_a_header_that_lies_is_refused(tmp_path: Path, header: str) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header.encode() + bytes(4))
    with pytest.raises(ModelError, match="not whole safetensors"):
        load_weights(path)


@pytest.mark.parametrize(
    "text",
    [
        "[", "[" * 100_000, "[]", "1", "null", '"x"', '{"preprocessing": 1}',
        '{"preprocessing": {}}', '{"preprocessing": {"height": 1e999}}',
        json.dumps({"preprocessing": {**CONTRACT.to_json(), "mean": [0.5]}}),
        json.dumps({"preprocessing": {**CONTRACT.to_json(), "std": [1, 1, 0]}}),
        json.dumps({"preprocessing": {**CONTRACT.to_json(), "stored": "pickle"}}),
    ],
    ids=lambda text: text[:20],
)  # fmt: skip
def test_a_header_of_ours_that_is_damaged_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(save(GOOD, {"edgewise": text}))
    with pytest.raises(ModelError, match=r"w\.safetensors"):
        load_weights(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_values_that_are_not_finite_are_refused_by_name(
    tmp_path: Path, value: float, dtype: torch.dtype
) -> None:
    bias = torch.tensor([0.0, value], dtype=dtype)
    (tmp_path / "w.safetensors").write_bytes(save({**GOOD, "bias": bias}))
    with pytest.raises(ModelError, match="not finite, first in 'bias'"):
        load_weights(tmp_path / "w.safetensors")
    torch.save({**GOOD, "bias": bias}, tmp_path / "w.pt")
    with pytest.raises(ModelError, match="not finite, first in 'bias'"):
        load_weights(tmp_path / "w.pt")


def test_what_float32_cannot_hold_is_not_finite_either(tmp_path: Path) -> None:
    torch.save({"weight": torch.tensor([1e300], dtype=torch.float64)}, tmp_path / "w.pt")
    with pytest.raises(ModelError, match="not finite"):
        load_weights(tmp_path / "w.pt")


@pytest.mark.parametrize("wrap", [lambda d: d, lambda d: {"state_dict": d, "epoch": 3},
                                  lambda d: {"model_state_dict": d}, lambda d: {"model": d},
                                  lambda d: {f"module.{k}": v for k, v in d.items()}])  # fmt: skip
def test_checkpoints_of_every_usual_form_are_read(
    checkpoint: Callable[[Any], Path], wrap: Callable[[Mapping[str, Tensor]], Any]
) -> None:
    path = checkpoint(wrap(GOOD))
    module = nn.Conv2d(3, 2, 1)
    weights = load_weights(path)
    apply_weights(module, weights, path)
    assert torch.equal(module.weight, GOOD["weight"])
    assert weights.digest == digest_file(path)


@pytest.mark.parametrize("content", [{}, [], None, 5, torch.ones(2), {"state_dict": {}}, "x",
                                     {"weight": 1}, {"state_dict": {"a": [1]}},
                                     {"model": {"state_dict": GOOD}}])  # fmt: skip
def test_what_holds_no_tensors_by_name_is_refused(
    checkpoint: Callable[[Any], Path], content: Any
) -> None:
    with pytest.raises(ModelError, match="holds no state_dict"):
        load_weights(checkpoint(content))


@pytest.mark.parametrize(
    "tensor",
    [
        torch.eye(2).to_sparse(), torch.empty(2, device="meta"),
        torch.ones(2).to(torch.float8_e4m3fn), torch.ones(2, dtype=torch.complex64),
    ],
    ids=["sparse", "meta", "float8", "complex"],
)  # fmt: skip
def test_tensors_that_are_not_plain_are_refused_by_name(
    checkpoint: Callable[[Any], Path], tensor: Tensor
) -> None:
    with pytest.raises(ModelError, match="'bias' as .* no plain tensor"):
        load_weights(checkpoint({**GOOD, "bias": tensor}))


def test_a_whole_network_is_refused_with_what_would_do(checkpoint: Callable[[Any], Path]) -> None:
    with pytest.raises(ModelError, match=r"state_dict\(\)"):
        load_weights(checkpoint(nn.Conv2d(3, 2, 1)))


@pytest.mark.parametrize("place", ["alone", "beside", "inside", "raw"])
def test_a_pickle_that_runs_code_runs_nothing(
    checkpoint: Callable[[Any], Path], evil: object, canary: Path, place: str
) -> None:
    content: Any = {"alone": evil, "beside": {**GOOD, "x": evil},
                    "inside": {"state_dict": {**GOOD, "x": evil}}, "raw": evil}[place]  # fmt: skip
    path = checkpoint(content)
    if place == "raw":
        path.write_bytes(pickle.dumps(content))
    with pytest.raises(ModelError, match="Nothing in it was executed"):
        load_weights(path)
    assert not canary.exists()
    pickle.loads(pickle.dumps(evil))
    assert canary.exists(), "the canary sings when it should"


@given(content=st.binary(max_size=200))
def test_any_bytes_give_a_clear_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    for name in ("any.pt", "any.safetensors"):
        path = tmp_path_factory.getbasetemp() / name
        path.write_bytes(content)
        with pytest.raises(ModelError, match=name):
            load_weights(path)


def test_a_checkpoint_cut_short_is_refused(checkpoint: Callable[[Any], Path]) -> None:
    path = checkpoint(GOOD)
    whole = path.read_bytes()
    for length in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelError, match="cut short"):
            load_weights(path)


@pytest.mark.parametrize("name", ["absent.pt", "absent.safetensors", "."])
def test_a_file_that_is_not_there_is_said(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError, match="do not exist"):
        load_weights(tmp_path / name)


@pytest.mark.parametrize(
    ("tensors", "match"),
    [
        ({"weight": GOOD["weight"]}, "Missing key"),
        ({**GOOD, "more": torch.ones(1)}, "Unexpected"),
        ({**GOOD, "bias": torch.ones(3)}, "size mismatch"),
        ({str(k): v for k, v in enumerate(GOOD.values())}, "Missing key"),
    ],
)  # fmt: skip
def test_weights_of_another_network_say_what_does_not_fit(
    checkpoint: Callable[[Any], Path], tensors: dict[str, Tensor], match: str
) -> None:
    path = checkpoint(tensors)
    module = nn.Conv2d(3, 2, 1)
    with pytest.raises(ModelError, match=f"another network: .*{match}"):
        apply_weights(module, load_weights(path), path)
