"""What LiteRT makes of operations, where it is not what every target does."""

import torch
from target_operations import CODES, FLOATS, ISLANDS, REFUSED, Operations
from torch import nn
from torch.nn import functional as F

torch.manual_seed(0)

OPERATIONS = Operations(
    codes={
        **CODES,
        "max_pool2d same": (lambda x: F.max_pool2d(x, 3, 1, 1), 4),
        "slice from the end": (lambda x: x[:, -3:, :-1], 3),
        "permute cyclic": (lambda x: x.permute(0, 2, 3, 1), 8),
        "relu": (F.relu, 4),
        "relu after a pool": (lambda x: F.relu(F.max_pool2d(x, 2)), 4),
        "sub": (lambda x: torch.sigmoid(x) - x, 4),
        "mul": (lambda x: x * torch.tanh(x), 4),
        "tanh": (torch.tanh, 4),
        "hardswish": (F.hardswish, 4),
        "cat of rows": (lambda x: torch.cat([x, x], 2), 4),
        "avg_pool2d counted": (lambda x: F.avg_pool2d(x, 3, 2, 1), 4),
        "avg_pool2d divisor": (lambda x: F.avg_pool2d(x, 2, divisor_override=3), 4),
        "mean, flat": (lambda x: x.mean((2, 3)).view(-1, 4, 1, 1), 4),
        "mean of one axis": (lambda x: x.mean(2).unsqueeze(2), 4),
    },
    islands={
        **ISLANDS,
        # Numbers and clamps are computed in float, between the codes.
        "max_pool2d of negatives": (lambda x: F.max_pool2d(x.clamp(-1.0, -0.1), 3, 2, 1), 4),
        "relu6": (lambda x: F.relu6(20 * x), 4),
        "add, relu6": (lambda x: F.relu6(4 * x + F.sigmoid(x)), 4),
        "avg_pool2d padded": (lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False), 4),
        "avg_pool2d same": (lambda x: F.avg_pool2d(x, 3, 1, 1, count_include_pad=False), 4),
        "avg_pool2d ceil": (lambda x: F.avg_pool2d(x, 3, 2, ceil_mode=True), 4),
        "avg_pool2d ceil counted": (lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True), 4),
        "constant row": (lambda x: x + torch.arange(8.0), 4),
    },
    floats={
        **FLOATS,
        "softmax of rows": (lambda x: F.softmax(x, 2), 4),
        "softmax of columns": (lambda x: F.softmax(x.flatten(2), 1).view(-1, 4, 8, 8), 4),
        "log_softmax": (lambda x: F.log_softmax(x, 3), 4),
        "prelu of one": (nn.PReLU(), 4),
    },
    refused={
        **REFUSED,
        "cropping": (lambda x: F.pad(x, (-1, -1)), "constant zeros"),
        "dilated pooling": (lambda x: F.max_pool2d(x, 2, dilation=2), "with dilation"),
        "softplus": (F.softplus, "softplus"),
        "transposed": (nn.ConvTranspose2d(4, 4, 3), "conv_transpose2d"),
        "elu of its own": (lambda x: F.elu(x, 0.5), "alpha"),
    },
)
