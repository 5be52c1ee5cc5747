"""The networks of the study: the dense autoencoder of a seed, and the ways to prune it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgewise.data.dataset import Dataset
from edgewise.graph.capture import capture
from edgewise.graph.network import Network
from edgewise.models.builtin import build
from edgewise.models.weights import apply_weights, load_weights
from edgewise.progress import Progress
from edgewise.recipe import Recipe
from edgewise.steps.finetune import Finetune
from edgewise.steps.material import Material
from edgewise.steps.prune_links import PruneLinks
from edgewise.steps.step import Step
from edgewise.training.loop import Run, train
from edgewise.training.objective import Reconstructed
from edgewise.training.schedule import Curves, Schedule

MODEL = "autoencoder"
_SEEN = 8192  # training images that importance and refit look at
_ADAM = Schedule(
    batch_size=128, peak_lr=3e-3, weight_decay=0.0, ema=0.99, shift=0, flip=False, optimizer="adam"
)


@dataclass(frozen=True)
class Job:
    """What all cells of a seed share; threads: of the processor."""

    data: Dataset
    seed: int
    threads: int

    def settings(self, **more: Any) -> dict[str, Any]:
        """What decides a cell's result, as JSON."""
        return {"model": MODEL, "seed": self.seed, "data": self.data.name, **more}

    def start(self) -> None:
        """Threads and seed of this process."""
        torch.set_num_threads(self.threads)
        torch.manual_seed(self.seed)


def schedule(epochs: int) -> Schedule:
    """Of every training in this study: Adam, one cycle."""
    return replace(_ADAM, epochs=epochs)


@dataclass(frozen=True)
class Pruning:
    """A way to prune.

    criterion: see importance; refit, rule: see PruneLinks; stages: epochs of fine-tuning after each
    part of the pruning.
    """

    criterion: str
    refit: str = "bias"
    stages: tuple[int, ...] = (0,)
    rule: str = "layer"

    @property
    def trains(self) -> bool:
        """Whether anything is trained after links went."""
        return any(self.stages)

    def recipe(self, sparsity: float) -> Recipe:
        """With several stages the links go in as many parts, each of which leaves the same share
        of those that the last one left."""
        steps: list[Step] = []
        for part, epochs in enumerate(self.stages, 1):
            gone = 1 - (1 - sparsity) ** (part / len(self.stages))
            steps.append(PruneLinks(gone, self.criterion, self.rule, self.refit, images=_SEEN))
            if epochs:
                steps.append(Finetune(schedule(epochs)))
        return Recipe("pruned", tuple(steps))


def train_dense(
    job: Job, epochs: int, checkpoint: Path, progress: Progress
) -> tuple[nn.Module, Curves]:
    """The autoencoder that is not pruned, from scratch."""
    run = Run(
        train=job.data.split("train"),
        validation=job.data.split("validation"),
        contract=job.data.contract,
        schedule=schedule(epochs),
        seed=job.seed,
        checkpoint=checkpoint,
        objective=Reconstructed(job.data.contract),
        half=False,
    )
    return train(build(MODEL, {}), run, progress)


def load_dense(job: Job, path: Path) -> Network:
    """The autoencoder with kept weights; raises ModelError where they are of another network."""
    module = build(MODEL, {})
    apply_weights(module, load_weights(path), path)
    return capture(module, job.data.contract, MODEL)


def prune(job: Job, dense: Network, recipe: Recipe, folder: Path, progress: Progress) -> Network:
    """The pruned network; folder: of checkpoints."""
    split = job.data.split
    material = Material(
        split("train"), split("validation"), split("calibration"), job.seed, folder,
        objective=Reconstructed(job.data.contract), half=False,
    )  # fmt: skip
    # Importance and refit need no labels, only images: more than calibration has.
    return recipe.apply(dense, split("train").head(_SEEN), progress, material).network


def sparsity_of(network: Network) -> float:
    """Share of the links that are zero."""
    weights: Sequence[torch.Tensor] = [layer.weight for _, layer in network.layers()]
    return sum(int((w == 0).sum()) for w in weights) / sum(w.numel() for w in weights)
