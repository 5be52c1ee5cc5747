"""Sampling of Shapley values that can be stopped, and goes on where it was."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from edgewise import store
from edgewise.errors import StorageError, UsageError
from edgewise.importance.game import Values
from edgewise.importance.intervals import agreement
from edgewise.importance.permutations import Walk, draw

_LEAST = 4  # draws before agreement of their halves means anything
_DRAWS, _IDENTITY = "draws", "identity"


@dataclass(frozen=True)
class Budget:
    """When sampling ends.

    draws: pairs of a permutation and its reverse, at most; agreement: Kendall's tau of the means of
    every other draw and of the rest at which it ends before, None where it does not; seed: of the
    permutations.
    """

    draws: int = 64
    agreement: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.draws < 1 or not -1 <= (self.agreement or 0) <= 1:
            raise UsageError("sampling needs at least one draw, and an agreement from -1 to 1.")


def estimate(
    walks: Callable[[int], Walk], players: int, budget: Budget, checkpoint: Path | None,
    identity: str, watch: Callable[[int], None],
) -> Values:  # fmt: skip
    """Draws (draws, players), each an estimate of all values; their mean is the estimate.

    walks: draw -> the walk that it takes; checkpoint: kept after every draw; identity: of the game,
    for a checkpoint of another one is refused with StorageError; watch: is told how many draws are
    done.
    """
    name = hashlib.sha256(f"{identity} {players} {budget.seed}".encode()).hexdigest()
    found = _known(checkpoint, name, players)
    while len(found) < budget.draws and not _settled(found, budget):
        watch(len(found))
        one = draw(walks(len(found)), players, len(found), budget.seed)
        found = np.concatenate([found, one[None]])
        if checkpoint is not None:
            content = save({_DRAWS: found, _IDENTITY: np.frombuffer(name.encode(), np.uint8)})
            store.write_bytes(checkpoint, content)
    watch(len(found))
    return found[: budget.draws]


def _settled(draws: Values, budget: Budget) -> bool:
    if budget.agreement is None or len(draws) < _LEAST or len(draws) % 2:
        return False
    return agreement(draws) >= budget.agreement


def _known(checkpoint: Path | None, name: str, players: int) -> Values:
    if checkpoint is None or not checkpoint.is_file():
        return np.zeros((0, players))
    try:
        kept = load(checkpoint.read_bytes())
        draws, identity = kept[_DRAWS], bytes(kept[_IDENTITY]).decode()
    except (SafetensorError, KeyError, UnicodeDecodeError) as error:
        raise StorageError(
            f"{checkpoint} cannot be read ({error}); delete it to sample from the start."
        ) from error
    if identity != name or draws.shape[1:] != (players,):
        raise StorageError(
            f"{checkpoint} is of another network, other images or another seed; delete it, or "
            "write to another file."
        )
    return np.asarray(draws, dtype=np.float64)
