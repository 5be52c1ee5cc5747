"""What every channel, or every layer, of a network is worth to its loss."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from edgewise import store
from edgewise.data.dataset import Split
from edgewise.errors import UsageError
from edgewise.graph.network import Network
from edgewise.importance import intervals
from edgewise.importance.ablation import ChannelGame
from edgewise.importance.estimate import Budget, estimate
from edgewise.importance.permutations import Walk
from edgewise.progress import Progress
from edgewise.steps.fold import Fold
from edgewise.training.loop import digest


@dataclass(frozen=True)
class Worth:
    """Shapley value of one player: what it takes off the loss, on average over all orders.

    layer, channel: which, channel None where a player is a layer; low, high: ends of the bootstrap
    interval; bound: half-width of the empirical Bernstein interval, which all players keep at once.
    """

    layer: str
    channel: int | None
    value: float
    low: float
    high: float
    bound: float


@dataclass(frozen=True)
class Attribution:
    """players: in the network's order; draws: pairs of permutations; agreement: Kendall's tau of
    the means of every other draw and of the rest; nobody, everybody: the loss without any player
    and with all; their difference is what the values share out.
    """

    players: tuple[Worth, ...]
    draws: int
    agreement: float
    nobody: float
    everybody: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Plan:
    """by: whether a player is a channel or a layer; at_once: images that one pair of permutations
    looks at, all being looked at equally often: that the orders differ scatters the values far more
    than that the images do.
    """

    by: str
    at_once: int
    budget: Budget


def attribute(
    network: Network, split: Split, plan: Plan, checkpoint: Path | None, progress: Progress
) -> Attribution:
    """Sample the game of the network's channels, or layers, on all images of a labelled split.

    The loss is cross-entropy. Raises UsageError for a split without labels, DataError for images
    that are not finite, StorageError for a checkpoint of something else.
    """
    if split.labels is None:
        raise UsageError(f"{split.name} has no labels, and worth is told by the loss.")
    images = torch.cat([torch.from_numpy(batch) for batch in split.batches(64, network.contract)])
    labels = torch.from_numpy(split.labels)
    folded = Fold().apply(network.copy(), None, progress)
    game = ChannelGame(folded, images, partial(_loss, labels), plan.by)
    identity = store.digest_json(
        {"network": digest(network.module), "images": split.digest, "by": plan.by,
         "at_once": plan.at_once}
    )  # fmt: skip
    watch = partial(progress, f"worth of {game.count} {plan.by}s", total=plan.budget.draws)
    walks = partial(_walk, game, _parts(len(images), plan))
    draws = estimate(walks, game.count, plan.budget, checkpoint, identity, watch)
    return _attribution(game, draws, plan)


def _loss(labels: Tensor, outputs: Tensor, rows: Tensor) -> float:
    return float(F.cross_entropy(outputs.double(), labels[rows]))


def _parts(count: int, plan: Plan) -> Sequence[Tensor]:
    """The images in parts of equal size, or one more or less, each an even mixture."""
    order = np.random.default_rng(plan.budget.seed).permutation(count)
    return [torch.from_numpy(part) for part in np.array_split(order, -(-count // plan.at_once))]


def _walk(game: ChannelGame, parts: Sequence[Tensor], index: int) -> Walk:
    """Of two draws, which go to different halves, on the same images."""
    if len(parts) == 1:
        return game.walk
    return game.part(parts[index // 2 % len(parts)]).walk


def _attribution(game: ChannelGame, draws: Any, plan: Plan) -> Attribution:
    values = draws.mean(axis=0)
    low, high = intervals.bootstrap(draws, plan.budget.seed)
    # What a draw can be is bounded by no more than what draws were seen to be.
    bound = intervals.bernstein(draws, float(np.ptp(draws, axis=0).max()))
    names = _names(game, plan.by)
    players = [
        Worth(layer, channel, *map(float, figures))
        for (layer, channel), *figures in zip(names, values, low, high, bound, strict=True)
    ]
    tau = intervals.agreement(draws) if len(draws) > 1 else 0.0
    return Attribution(tuple(players), len(draws), tau, game.nobody, game.everybody)


def _names(game: ChannelGame, by: str) -> Sequence[tuple[str, int | None]]:
    if by == "layer":
        return [(one.layer, None) for one in game.tensors]
    return [(one.layer, channel) for one in game.tensors for channel in range(one.count)]
