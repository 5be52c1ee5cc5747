"""A network that gives several tensors gives them all as an artifact."""

from pathlib import Path

import numpy as np
import pytest
import torch
from target_kinds import OPENVINO, Case, Kind
from target_networks import Pyramid
from torch import Tensor

from edgewise.data.dataset import ArrayImages, Dataset, Split
from edgewise.data.preprocess import finished, natural
from edgewise.devices.local import LocalDevice
from edgewise.graph.capture import capture
from edgewise.inference import run_artifact, run_outputs
from edgewise.presets import INT8
from edgewise.progress import silent


@torch.no_grad()
def test_every_output_is_the_networks(
    case: Case, tiny_data: Dataset, tiny_images: Tensor, tmp_path: Path
) -> None:
    kind, recipe = case
    torch.manual_seed(3)
    network = capture(Pyramid(), natural((3, 8, 8)))
    made = kind.place(recipe).apply(network, tiny_data.split("calibration"))
    export = made.export(kind.target, tmp_path / kind.file, tiny_images)
    images = Split("test", ArrayImages(tiny_images.numpy()), None, "d")
    asked = (export.path, images, finished((3, 8, 8)), silent, kind.target.runtime)
    with LocalDevice() as device:
        found = run_outputs(device, *asked)
        (first,) = (run_artifact(device, *asked),)
    expected = [output.numpy() for output in made.network.all_outputs(tiny_images)]
    assert [one.shape[1:] for one in found] == [(5, 4, 4), (5, 8, 8), (1,)]
    assert np.array_equal(first, found[0])
    errors = [abs(a - b).max() / abs(b).max() for a, b in zip(found, expected, strict=True)]
    assert max(errors) == pytest.approx(export.float_error, abs=1e-6)
    assert export.worst <= 1
    assert all(entry.integer == entry.meant for entry in export.executions)
    if recipe.name == INT8.name:
        assert export.integer_share == 1
        assert {b.after for b in export.boundaries if b.place == "output"} <= {("output",)}


def test_outputs_in_float_have_weights_of_eight_bits_in_the_file(
    kind: Kind, tiny_data: Dataset, tiny_images: Tensor, tmp_path: Path
) -> None:
    torch.manual_seed(3)
    module = Pyramid(width=256)
    module.edgewise_outputs = ("first", "second")  # type: ignore[assignment]
    network = capture(module, natural((3, 8, 8)))
    sizes: list[int] = []
    for recipe in (INT8.with_float_outputs(network), INT8.with_kept_float(network.float_outputs)):
        made = kind.place(recipe).apply(network, tiny_data.split("calibration"))
        export = made.export(kind.target, tmp_path / kind.file, tiny_images)
        floats = [one.layer for one in export.executions if not one.meant]
        assert floats == ["first", "second"]
        # OpenVINO multiplies codes by codes wherever it can.
        stored = kind is OPENVINO and not sizes
        assert all(one.integer == (one.meant or stored) for one in export.executions)
        assert export.worst <= 1
        sizes.append(export.size_bytes)
    saved = 3 * sum(layer.weight.numel() for layer in (module.first, module.second))
    assert sizes[1] - sizes[0] == pytest.approx(saved, rel=0.35)  # less what describes them
