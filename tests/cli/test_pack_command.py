from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from edgewise.data.dataset import Dataset
from edgewise.devices.local import LocalDevice
from edgewise.graph.network import Network
from edgewise.inference import run_artifact
from edgewise.presets import INT8
from edgewise.progress import silent
from edgewise.steps.prune_links import PruneLinks
from edgewise.targets.table import TARGETS, contract_of, target, target_of
from edgewise.worker.packed import unpack

Said = Callable[..., tuple[int, Any, str]]


@pytest.fixture(params=TARGETS)
def artifact(
    request: pytest.FixtureRequest, captured: Callable[[str], Network], tiny_data: Dataset,
    tiny_images: Tensor, tmp_path: Path,
) -> Path:  # fmt: skip
    """Of a network without nine links in ten, on integers."""
    needs = TARGETS[request.param].needs
    if needs is not None:
        pytest.importorskip(needs)  # otherwise it refuses
    kind = target(request.param)
    split = tiny_data.split("calibration")
    pruned = PruneLinks(0.9, images=24).apply(captured("plain").copy(), split, silent)
    made = INT8.placed_for(kind.profile).apply(pruned, split)
    path = tmp_path / f"model{kind.suffix}"
    made.export(kind, path, tiny_images)
    return path


def test_a_packed_artifact_is_run_as_the_plain_one(
    said: Said, artifact: Path, tiny_data: Dataset
) -> None:
    code, answer, err = said("pack", artifact)
    assert code == 0, err
    path = Path(answer["result"]["artifact"])
    assert path == artifact.with_name(artifact.name + ".packed")
    assert unpack(path.read_bytes()) == artifact.read_bytes()
    assert path.stat().st_size == answer["result"]["packed"]
    assert answer["result"]["dense"] == artifact.stat().st_size
    assert contract_of(path) == contract_of(artifact)
    assert target_of(path).runtime == target_of(artifact).runtime
    split, outputs = tiny_data.split("test"), []
    with LocalDevice() as device:
        for one in (artifact, path):
            outputs.append(run_artifact(device, one, split, tiny_data.contract, silent,
                                        target_of(one).runtime))  # fmt: skip
    assert np.array_equal(outputs[0], outputs[1])


def test_packed_artifacts_are_evaluated_by_their_name(
    said: Said, artifact: Path, tiny_npz: Path
) -> None:
    assert said("pack", artifact)[0] == 0
    scores = [
        said("evaluate", path, "--data", tiny_npz)[1]["result"]["accuracy"]
        for path in (artifact, artifact.with_name(artifact.name + ".packed"))
    ]
    assert scores[0] == scores[1]


def test_what_cannot_be_packed_is_refused(said: Said, artifact: Path, tmp_path: Path) -> None:
    text = tmp_path / f"text{artifact.suffix}"
    text.write_text("no model")
    for path, named in (
        (text, "text"), (tmp_path / "a.txt", "a.txt"), (tmp_path / "b.onnx.packed", "already"),
        (tmp_path / f"absent{artifact.suffix}", "absent"),
    ):  # fmt: skip
        code, answer, _ = said("pack", path)
        assert code != 0
        assert named in answer["error"]
    damaged = tmp_path / f"bad{artifact.suffix}.packed"
    damaged.write_bytes(b"EWPACK1\n" + bytes(40))
    code, answer, _ = said("evaluate", damaged, "--data", "random")
    assert code != 0
    assert "damaged" in answer["error"]
