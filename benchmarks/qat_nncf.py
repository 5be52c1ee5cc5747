"""NNCF on torch, as a contender in training steps: quantize, then train on, as documented."""

import nncf
from torch import nn

from benchmarks import qat_child


def make(given: qat_child.Material) -> nn.Module:
    batches = nncf.Dataset([given.images])
    quantized: nn.Module = nncf.quantize(qat_child.network().eval(), batches, subset_size=1)
    return quantized.train()


if __name__ == "__main__":
    qat_child.serve(make)
