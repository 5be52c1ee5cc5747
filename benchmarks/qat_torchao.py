"""torchao's PT2E, as a contender in training steps: its quantizer for x86, as documented."""

import torch
from torch import nn
from torchao.quantization.pt2e import move_exported_model_to_train
from torchao.quantization.pt2e.quantize_pt2e import prepare_qat_pt2e
from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

from benchmarks import qat_child


def make(given: qat_child.Material) -> nn.Module:
    exported = torch.export.export(qat_child.network().train(), (given.images,)).module()
    quantizer = x86.X86InductorQuantizer()
    quantizer.set_global(x86.get_default_x86_inductor_quantization_config(is_qat=True))
    prepared: nn.Module = prepare_qat_pt2e(exported, quantizer)
    move_exported_model_to_train(prepared)
    return prepared


if __name__ == "__main__":
    qat_child.serve(make)
