"""What every contender starts from: one network, as weights and as float ONNX, and images."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from edgewise import store
from edgewise.data import registry
from edgewise.data.dataset import Dataset, Split
from edgewise.data.preprocess import Floats
from edgewise.graph.averaging import averaging
from edgewise.graph.capture import capture
from edgewise.models.builtin import build
from edgewise.models.weights import save_weights
from edgewise.presets import FLOAT32
from edgewise.targets.onnx.target import OnnxTarget

OPTIONS = {"width": 1.0}
_SEED = 0
_CHECKED = 8  # images that the float artifact is verified on
_BATCH, _BATCHES = 64, 4  # for BatchNorm's statistics


@dataclass(frozen=True)
class Workload:
    """The files that contenders read.

    weights: safetensors, for edgewise; float_model: our float32 artifact, for its peers; pixels:
    images as stored, .npy, for all; contract: how they become inputs, JSON; inputs: what it all
    was made of, by SHA-256.
    """

    weights: Path
    float_model: Path
    pixels: Path
    contract: Path
    inputs: Mapping[str, str]


def prepare(dataset: Dataset, images: int, folder: Path) -> Workload:
    """VGG-16 at full width: random weights, BatchNorm statistics of the data. For speed alone."""
    split = dataset.split("calibration")
    pixels = folder / "pixels.npy"
    np.save(pixels, split.images.read(0, min(images, len(split))))
    contract = folder / "contract.json"
    contract.write_text(json.dumps(dataset.contract.to_json()))
    module = _network(dataset, split)
    weights = folder / "vgg16.safetensors"
    save_weights(module, weights, {"name": "vgg16", "options": OPTIONS}, dataset.contract)
    float_model = folder / "float32.onnx"
    network = FLOAT32.apply(capture(module, dataset.contract, "vgg16")).network
    batch = next(split.head(_CHECKED).batches(_CHECKED, dataset.contract))
    OnnxTarget().export(network, float_model, torch.from_numpy(batch))
    inputs = {
        f"{dataset.name}/{split.name}": split.digest,
        "weights": store.digest_file(weights),
        "float32.onnx": store.digest_file(float_model),
    }
    return Workload(weights, float_model, pixels, contract, inputs)


def load(data: str, root: Path | None) -> Dataset:
    """The images by name, as every command of edgewise takes them; 3x32x32 in any case."""
    return registry.load(data, root, (3, 32, 32))


def _network(dataset: Dataset, split: Split) -> nn.Module:
    torch.manual_seed(_SEED)
    module = build("vgg16", OPTIONS)
    return settled(module, split.head(_BATCH * _BATCHES).batches(_BATCH, dataset.contract))


@torch.no_grad()
def settled(module: nn.Module, batches: Iterable[Floats]) -> nn.Module:
    """In evaluation mode, BatchNorm's statistics those of the batches: else random nets explode."""
    with averaging(module.eval()):
        for batch in batches:
            module(torch.from_numpy(batch))
    return module
