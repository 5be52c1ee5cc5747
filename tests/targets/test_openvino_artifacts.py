"""Our ONNX artifacts in OpenVINO: all outputs, of every format, packed or not."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from target_networks import Pyramid
from target_recipes import W4A8
from torch import Tensor

from edgewise import store
from edgewise.data.dataset import ArrayImages, Dataset, Split
from edgewise.data.preprocess import finished, natural
from edgewise.devices.local import LocalDevice
from edgewise.graph.capture import capture
from edgewise.graph.network import Network
from edgewise.inference import run_outputs
from edgewise.presets import FLOAT32, FP16, INT8
from edgewise.progress import silent
from edgewise.recipe import Recipe
from edgewise.targets.onnx.target import OnnxTarget
from edgewise.targets.packing import pack
from edgewise.worker.packed import SUFFIX

pytest.importorskip("openvino")

RECIPES = (FLOAT32, FP16, INT8, W4A8)


@pytest.fixture(scope="module")
def network() -> Network:
    """Of three outputs."""
    torch.manual_seed(3)
    return capture(Pyramid(), natural((3, 8, 8)))


def outputs(path: Path, images: Tensor) -> tuple[NDArray[np.float32], ...]:
    split = Split("test", ArrayImages(images.numpy()), None, "d")
    with LocalDevice() as device:
        return run_outputs(device, path, split, finished((3, 8, 8)), silent, "openvino")


@torch.no_grad()
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda one: one.name)
def test_every_output_is_the_networks(
    recipe: Recipe, network: Network, tiny_data: Dataset, tiny_images: Tensor, tmp_path: Path
) -> None:
    made = recipe.apply(network, tiny_data.split("calibration"))
    export = made.export(OnnxTarget(), tmp_path / "model.onnx", tiny_images)
    found = outputs(export.path, tiny_images)
    expected = [output.numpy() for output in made.network.all_outputs(tiny_images)]
    most = max(export.float_error, 1e-6)  # an integer one is as far off as in ONNX Runtime
    for one, wanted in zip(found, expected, strict=True):
        assert one.shape == wanted.shape
        assert abs(one - wanted).max() <= 2 * most * abs(wanted).max()


def test_a_packed_artifact_is_run_as_the_plain_one(
    network: Network, tiny_data: Dataset, tiny_images: Tensor, tmp_path: Path
) -> None:
    made = INT8.apply(network, tiny_data.split("calibration"))
    path = made.export(OnnxTarget(), tmp_path / "model.onnx", tiny_images).path
    packed = path.with_name(path.name + SUFFIX)
    content = path.read_bytes()
    store.write_bytes(packed, pack(content, OnnxTarget().stretches(content)))
    for one, other in zip(outputs(path, tiny_images), outputs(packed, tiny_images), strict=True):
        assert np.array_equal(one, other)
