"""The float network, as a contender in training steps."""

from torch import nn

from benchmarks import qat_child


def make(_: qat_child.Material) -> nn.Module:
    return qat_child.network().train()


if __name__ == "__main__":
    qat_child.serve(make)
