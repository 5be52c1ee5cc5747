"""Networks that nobody here wrote, one factory each: `edgewise compress zoo_factories.py:resnet18`.

Weights are random, so only sizes, speed and the agreement of artifacts mean anything. BatchNorm
gets statistics of a few noise images first: without them activations vanish with depth, and nothing
would be left to compare.
"""

from collections.abc import Callable

import torch
from pytorchcv.models.densenet import densenet121 as _densenet121
from pytorchcv.models.efficientnet import efficientnet_b0 as _efficientnet_b0
from pytorchcv.models.mobilenetv2 import mobilenetv2_w1 as _mobilenetv2
from pytorchcv.models.mobilenetv3 import mobilenetv3_small_w1 as _mobilenetv3
from pytorchcv.models.regnet import regnetx002 as _regnetx002
from pytorchcv.models.resnet import resnet18 as _resnet18
from pytorchcv.models.shufflenetv2 import shufflenetv2_w1 as _shufflenetv2
from pytorchcv.models.squeezenet import squeezenet_v1_1 as _squeezenet
from torch import Tensor, nn
from transformers import ResNetConfig, ResNetForImageClassification

from edgewise.data.random import load_random

SIZE = 224
_SEED = 0
_IMAGES, _BATCH = 16, 8


@torch.no_grad()
def _warmed(make: Callable[[], nn.Module]) -> nn.Module:
    """A network from seeded weights, its BatchNorm statistics those of noise images."""
    torch.manual_seed(_SEED)
    module = make().train()
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None  # plain averages of what the batches show
    data = load_random((3, SIZE, SIZE), seed=1)
    for images in data.split("calibration").head(_IMAGES).batches(_BATCH, data.contract):
        module(torch.from_numpy(images))
    return module.eval()


def resnet18() -> nn.Module:
    return _warmed(_resnet18)


def mobilenetv2() -> nn.Module:
    return _warmed(_mobilenetv2)


def mobilenetv3() -> nn.Module:
    return _warmed(_mobilenetv3)


def efficientnet_b0() -> nn.Module:
    return _warmed(_efficientnet_b0)


def squeezenet() -> nn.Module:
    return _warmed(_squeezenet)


def densenet121() -> nn.Module:
    return _warmed(_densenet121)


def shufflenetv2() -> nn.Module:
    return _warmed(_shufflenetv2)


def regnetx002() -> nn.Module:
    return _warmed(_regnetx002)


class _Logits(nn.Module):
    """A transformers network that returns its logits alone, without the record around them."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        logits = self.network(images, return_dict=False)[0]
        assert isinstance(logits, Tensor)
        return logits


def transformers_resnet() -> nn.Module:
    config = ResNetConfig(
        embedding_size=32, hidden_sizes=[32, 64, 128, 256], depths=[2, 2, 2, 2], layer_type="basic"
    )
    return _warmed(lambda: _Logits(ResNetForImageClassification(config)))
