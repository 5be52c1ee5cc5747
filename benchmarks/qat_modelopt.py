"""NVIDIA ModelOpt, as a contender in training steps: INT8_DEFAULT_CFG, as documented."""

import modelopt.torch.quantization as mtq
import torch
from torch import nn

from benchmarks import qat_child


def make(given: qat_child.Material) -> nn.Module:
    @torch.no_grad()
    def calibrate(module: nn.Module) -> None:
        module(given.images)

    module = qat_child.network().eval()
    quantized: nn.Module = mtq.quantize(module, mtq.INT8_DEFAULT_CFG, calibrate)
    return quantized.train()


if __name__ == "__main__":
    qat_child.serve(make)
