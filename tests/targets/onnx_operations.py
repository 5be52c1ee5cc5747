"""What ONNX Runtime makes of operations, where it is not what every target does."""

import torch
from target_operations import CODES, FLOATS, ISLANDS, REFUSED, Operations
from torch import nn
from torch.nn import functional as F

torch.manual_seed(0)

OPERATIONS = Operations(
    codes={
        **CODES,
        "max_pool2d dilated": (lambda x: F.max_pool2d(x, 2, dilation=2), 4),
        "relu6": (F.relu6, 4),
        "avg_pool2d padded": (lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False), 4),
        "avg_pool2d ceil": (lambda x: F.avg_pool2d(x, 3, 2, ceil_mode=True), 4),
        "avg_pool2d ceil padded": (
            lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False), 4,
        ),
        "avg_pool2d ceil in vain": (lambda x: F.avg_pool2d(x, 2, 2, 1, ceil_mode=True), 4),
    },
    islands={
        **ISLANDS,
        "hardswish": (F.hardswish, 4),
        "tanh": (torch.tanh, 4),
        "mean of one axis": (lambda x: x.mean(2, keepdim=True), 4),
    },
    floats={
        **FLOATS,
        "log_softmax": (lambda x: F.log_softmax(x, 1), 4),
        "mish": (F.mish, 4),
        "softplus": (F.softplus, 4),
        "layer_norm": (nn.LayerNorm([4, 8, 8]), 4),
        "layer_norm plain": (lambda x: F.layer_norm(x, (8,)), 4),
        "conv_transpose2d": (nn.ConvTranspose2d(4, 4, 3, 2, 1, output_padding=1), 4),
        "conv_transpose2d grouped": (nn.ConvTranspose2d(4, 4, 3, groups=2, bias=False), 4),
    },
    refused={
        **REFUSED,
        "divisor": (lambda x: F.avg_pool2d(x, 2, divisor_override=3), "divisor_override"),
        "counted overhang": (lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True), "reach beyond"),
        "one image": (
            lambda x: x[0:].select(0, 0).unsqueeze(0).expand(x.shape[0], -1, -1, -1),
            "one image in the batch",
        ),
    },
)  # fmt: skip
