"""Hold an artifact's codes against the integer twin, whatever runs it."""

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from edgewise.errors import ParityError
from edgewise.graph.network import Network
from edgewise.quant.integer import run_twin
from edgewise.targets.target import LayerCheck

_CODES_AT_ONCE = 40_000_000  # two bytes each, three times over

# From images to the codes of every quantized tensor, int16, by quantizer node.
Read = Callable[[Tensor], dict[str, Tensor]]


def compare_codes(
    network: Network, quantizers: Collection[str], read: Read, images: Tensor
) -> tuple[tuple[LayerCheck, ...], int]:
    """Every quantized tensor against the twin: teacher-forced checks, and the free-running worst.

    quantizers: names of their nodes. Raises ParityError when a tensor is more than one code off,
    naming the first.
    """
    nodes = [node for node in network.module.graph.nodes if node.name in quantizers]
    checks = {node.name: LayerCheck(node.name, _layer_of(node), 0, 0, 0) for node in nodes}
    free_running = 0
    step = _images_at_once(nodes)
    for start in range(0, len(images), step):
        part = images[start : start + step]
        theirs = read(part)
        free = run_twin(network.module, part).codes
        apart = max(int((free[name] - codes).abs().max()) for name, codes in theirs.items())
        free_running = max(free_running, apart)
        # A twin that agrees everywhere would compute the same again with these codes forced.
        forced = run_twin(network.module, part, theirs).off if apart else {}
        for name, codes in theirs.items():
            off = forced.get(name, torch.zeros(1))
            known = checks[name]
            checks[name] = replace(
                known,
                elements=known.elements + codes.numel(),
                off=known.off + int((off > 0).sum()),
                worst=max(known.worst, int(off.max())),
            )
    _refuse_more_than_one(checks.values())
    return tuple(checks.values()), free_running


def refuse_another_output(plain: Sequence[Any], shown: Sequence[Any]) -> None:
    """Raises ParityError when showing inner tensors changes an output: then what is checked would
    not be what runs.
    """
    if not all(map(np.array_equal, plain, shown)):
        raise ParityError(
            "the runtime computes another output when its inner tensors are looked at, so the "
            "artifact cannot be checked; nothing was written."
        )


def output_error(ours: Sequence[Any], theirs: Sequence[Any], tolerance: float) -> float:
    """Largest difference of an output of an artifact from the network's, relative to its largest.

    Raises ParityError when it is more than the tolerance.
    """
    error = max(map(_apart, ours, theirs))
    if not error <= tolerance:
        raise ParityError(
            f"the artifact's output differs from the network's by {error:.2g} of its largest "
            "value; nothing was written. Please report the network."
        )
    return error


def _apart(ours: Any, theirs: Any) -> float:
    return float(np.abs(ours - theirs).max()) / max(float(np.abs(ours).max()), 1e-12)


def _layer_of(quantizer: fx.Node) -> str:
    """The layer whose result is quantized; the operation, where it is the network's own."""
    return str(quantizer.meta["path"] or quantizer.all_input_nodes[0].name)


def _images_at_once(quantizers: Iterable[fx.Node]) -> int:
    """How many images fit in memory with the codes of all their tensors."""
    shapes = [node.meta["shape"][1:] for node in quantizers]
    return max(1, _CODES_AT_ONCE // int(sum(math.prod(shape) for shape in shapes)))


def _refuse_more_than_one(checks: Iterable[LayerCheck]) -> None:
    for check in checks:
        if check.worst > 1:
            raise ParityError(
                f"the artifact is {check.worst} codes from its integer twin at "
                f"'{check.layer}' ({check.off} of {check.elements} values differ). "
                "This runtime or processor computes something else than the network says; "
                "nothing was written. Keep that layer in float with --keep-float, or report it."
            )
