"""Cross-layer equalization: factors between two layers that change ranges and nothing else.

Where an activation f(s x) = s f(x) for s > 0 stands between two layers, the first may give each of
its channels divided by s and the second multiply it back. Nagel et al. 2019, "Data-free
quantization through weight equalization and bias correction", section 4.1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from edgewise.graph.layer import Form

_SETTLED = 1.001  # no factor further from one: nothing that a quantizer could tell


@dataclass(frozen=True)
class Pair:
    """Two layers, by their index, of which the second alone reads the first.

    spread: inputs of the second per output channel of the first (a map that was flattened).
    """

    first: int
    second: int
    spread: int = 1


def blocks(form: Form, weight: Tensor) -> Tensor:
    """Weights as (groups, outputs of a group, inputs of a group, taps); a view where it can be."""
    groups = int(form.geometry.get("groups", 1))
    if form.kind == "conv_transpose2d":
        inputs, outputs = weight.shape[0] // groups, weight.shape[1]
        return weight.reshape(groups, inputs, outputs, -1).transpose(1, 2)
    return weight.reshape(groups, weight.shape[0] // groups, weight.shape[1], -1)


def unblocks(form: Form, parts: Tensor, shape: Sequence[int]) -> Tensor:
    """The weights, in their shape, that `blocks` took apart."""
    if form.kind == "conv_transpose2d":
        parts = parts.transpose(1, 2)
    return parts.reshape(*shape)


def peaks(form: Form, weight: Tensor) -> Tensor:
    """The largest magnitude of every kernel, float64 (groups, outputs, inputs, 1): all that ranges
    depend on.
    """
    return blocks(form, weight.detach()).abs().amax(3, keepdim=True).double()


def divided(parts: Tensor, factors: Tensor) -> Tensor:
    """Blocks with their output channels divided by factors (output channels,)."""
    return parts / factors.view(parts.shape[0], -1, 1, 1)


def multiplied(parts: Tensor, factors: Tensor, spread: int) -> Tensor:
    """Blocks with their input channels multiplied by factors (channels,), `spread` inputs each."""
    return parts * factors.repeat_interleave(spread).view(parts.shape[0], 1, -1, 1)


def balance(tables: Sequence[Tensor], pairs: Sequence[Pair], sweeps: int) -> tuple[Tensor, ...]:
    """Factors (channels,), float64, of every pair, after which both ranges of a channel are equal.

    tables: `peaks` of every layer. s = sqrt(r1 r2) / r2, pair after pair, as one pair's factors
    change the next one's ranges, until they settle or `sweeps` are done. A channel that is zero on
    either side keeps factor one.
    """
    current = list(tables)
    found = [torch.ones(_outputs(tables[pair.first]).shape, dtype=torch.float64) for pair in pairs]
    for _ in range(sweeps):
        change = 1.0
        for index, pair in enumerate(pairs):
            first, second = _outputs(current[pair.first]), _inputs(current[pair.second])
            factors = _factors(first, second.view(-1, pair.spread).amax(1))
            current[pair.first] = divided(current[pair.first], factors)
            current[pair.second] = multiplied(current[pair.second], factors, pair.spread)
            found[index] = found[index] * factors
            change = max(change, float(factors.max()), 1 / float(factors.min()))
        if change < _SETTLED:
            break
    return tuple(found)


def _factors(first: Tensor, second: Tensor) -> Tensor:
    usable = (first > 0) & (second > 0)
    return torch.where(usable, torch.sqrt(first / torch.where(usable, second, 1.0)), 1.0)


def _outputs(parts: Tensor) -> Tensor:
    """Range of every output channel."""
    return parts.amax((2, 3)).flatten()


def _inputs(parts: Tensor) -> Tensor:
    """Range of every input, over all that read it."""
    return parts.amax((1, 3)).flatten()
