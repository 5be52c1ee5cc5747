"""NNCF on torch, as a contender in training steps: quantize, then train on, as documented.

It compiles its quantizers in C++ when they are first run: that needs a compiler, and minutes.
"""

import os

os.environ.setdefault("NNCF_EXTENSION_LOAD_TIMEOUT", "600")  # seconds; a busy machine needs them

import nncf  # noqa: E402 - reads that variable
from torch import nn  # noqa: E402

from benchmarks import qat_child  # noqa: E402


def make(given: qat_child.Material) -> nn.Module:
    batches = nncf.Dataset([given.images])
    quantized: nn.Module = nncf.quantize(qat_child.network().eval(), batches, subset_size=1)
    return quantized.train()


if __name__ == "__main__":
    qat_child.serve(make)
