"""The one training loop: one-cycle SGD, augmentation, EMA, exact resume.

Exact resume needs no stored generator states: every epoch draws from generators seeded by
(seed, epoch), so an epoch is the same whether or not the process that ran the one before lives.
"""

import copy
import io
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgewise import store
from edgewise.data.dataset import Split
from edgewise.data.preprocess import Preprocessing
from edgewise.errors import ModelError, StorageError, UsageError
from edgewise.progress import Progress, silent
from edgewise.tasks.classification import Classification

_EVALUATION_BATCH = 500


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train.

    peak_lr: the top of the one-cycle triangle (Smith & Topin 2019), reached after `warmup` of all
    steps, then falling to zero; ema: decay per step of the averaged weights that are kept;
    shift: largest random translation in pixels; flip: mirror half of the images;
    cutout: side in pixels of a square set to zero (DeVries & Taylor 2017).
    """

    epochs: int = 20
    batch_size: int = 128
    peak_lr: float = 0.1
    warmup: float = 0.25
    momentum: float = 0.9
    weight_decay: float = 5e-4
    label_smoothing: float = 0.1
    ema: float = 0.999
    shift: int = 2
    flip: bool = True
    cutout: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 2 or not 0 < self.peak_lr < 100:
            raise UsageError("training needs at least 1 epoch, a batch of 2 and a learning rate.")

    def lr(self, step: int, steps: int) -> float:
        """The learning rate at a step of `steps`."""
        rise = max(1.0, self.warmup * steps)
        share = step / rise if step < rise else (steps - step) / max(1.0, steps - rise)
        return self.peak_lr * max(share, 1e-4)


@dataclass
class Curves:
    """What was seen on the way: loss of every step, validation accuracy after every epoch."""

    loss: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Run:
    """A training run: what to train on, how, and where its checkpoint lies.

    train, validation: disjoint splits; checkpoint: None trains without one.
    """

    train: Split
    validation: Split
    contract: Preprocessing
    schedule: Schedule
    seed: int = 0
    checkpoint: Path | None = None

    def identity(self, module: nn.Module) -> str:
        """Digest of everything that decides the result: a checkpoint of another run is refused."""
        shapes = {name: list(value.shape) for name, value in module.state_dict().items()}
        return store.digest_json(
            {
                "network": shapes,
                "train": self.train.digest,
                "validation": self.validation.digest,
                "contract": self.contract.to_json(),
                "schedule": asdict(self.schedule),
                "seed": self.seed,
            }
        )


def train(module: nn.Module, run: Run, progress: Progress = silent) -> tuple[nn.Module, Curves]:
    """Train `module` in place; returns the averaged network, in eval mode, and the curves.

    Resumes from the run's checkpoint at the last completed epoch. Raises StorageError when the
    checkpoint belongs to another run, ModelError when the loss stops being finite.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(module).requires_grad_(False).eval()
    optimizer = _optimizer(module, run.schedule)
    state = _State(module, average, optimizer, Curves())
    first = _resume(state, run, device)
    images, labels = _in_memory(run.train, run.contract, device)
    for epoch in range(first, run.schedule.epochs):
        torch.manual_seed(run.seed * 100_003 + epoch)
        _epoch(state, (images, labels), run, epoch, progress)
        state.curves.accuracy.append(evaluate(average, run.validation, run.contract))
        _save(state, run, epoch + 1)
    module.load_state_dict(average.state_dict())
    return average.to("cpu"), state.curves


@dataclass
class _State:
    module: nn.Module
    average: nn.Module
    optimizer: torch.optim.Optimizer
    curves: Curves


def _optimizer(module: nn.Module, schedule: Schedule) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum; no decay on biases and BatchNorm, which have one dimension."""
    decayed = [p for p in module.parameters() if p.ndim > 1]
    free = [p for p in module.parameters() if p.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": schedule.weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]
    return torch.optim.SGD(
        groups, lr=schedule.peak_lr, momentum=schedule.momentum, nesterov=schedule.momentum > 0
    )


def _in_memory(
    split: Split, contract: Preprocessing, device: torch.device
) -> tuple[Tensor, Tensor]:
    if split.labels is None:
        raise UsageError(f"training needs labels and split '{split.name}' has none.")
    batches = [torch.from_numpy(batch) for batch in split.batches(4096, contract)]
    images = torch.cat(batches).to(device, memory_format=torch.channels_last)
    return images, torch.from_numpy(split.labels).to(device)


def _epoch(
    state: _State, data: tuple[Tensor, Tensor], run: Run, epoch: int, progress: Progress
) -> None:
    schedule, task = run.schedule, Classification(run.schedule.label_smoothing)
    per_epoch = len(run.train) // schedule.batch_size
    if per_epoch == 0:
        raise UsageError(f"a batch of {schedule.batch_size} is larger than the training split.")
    steps = per_epoch * schedule.epochs
    stage = f"epoch {epoch + 1}/{schedule.epochs}"
    state.module.train()
    for index, (images, labels) in enumerate(_batches(data, run, epoch)):
        step = epoch * per_epoch + index
        for group in state.optimizer.param_groups:
            group["lr"] = schedule.lr(step, steps)
        with torch.autocast(images.device.type, torch.bfloat16):
            loss = task.loss(state.module(images), labels)
        value = loss.item()
        if not math.isfinite(value):
            raise ModelError(
                f"the training loss became {value} at step {step}; lower the peak learning rate "
                f"({schedule.peak_lr}), and check the data for values that are not finite."
            )
        state.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        state.optimizer.step()
        _average(state, schedule.ema, step)
        state.curves.loss.append(round(value, 5))
        progress(stage, index + 1, per_epoch)


def _batches(data: tuple[Tensor, Tensor], run: Run, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    images, labels = data
    generator = torch.Generator().manual_seed(run.seed * 1_000_003 + epoch)
    order = torch.randperm(len(images), generator=generator).to(images.device)
    size = run.schedule.batch_size
    for start in range(0, len(order) - size + 1, size):
        chosen = order[start : start + size]
        yield augment(images[chosen], run.schedule, generator), labels[chosen]


def augment(images: Tensor, schedule: Schedule, generator: torch.Generator) -> Tensor:
    """Mirror, translate and cut out, each image by draws of its own; shape (n, c, h, w) is kept."""
    count, _, height, width = images.shape
    if schedule.flip:
        mirrored = torch.rand(count, generator=generator) < 0.5
        images = torch.where(mirrored.view(-1, 1, 1, 1).to(images.device), images.flip(3), images)
    if schedule.shift:
        pad = schedule.shift
        # Replicating the border pads with what the border is after normalisation, not with grey.
        padded = nn.functional.pad(images, (pad,) * 4, mode="replicate")
        offset = torch.randint(0, 2 * pad + 1, (2, count), generator=generator).to(images.device)
        rows = (offset[0][:, None] + torch.arange(height, device=images.device))[:, None, :, None]
        columns = (offset[1][:, None] + torch.arange(width, device=images.device))[:, None, None]
        image = torch.arange(count, device=images.device)[:, None, None, None]
        channel = torch.arange(images.shape[1], device=images.device)[None, :, None, None]
        images = padded[image, channel, rows, columns]
    if schedule.cutout:
        images = _cut_out(images, schedule.cutout, generator)
    return images.contiguous(memory_format=torch.channels_last)


def _cut_out(images: Tensor, side: int, generator: torch.Generator) -> Tensor:
    count, _, height, width = images.shape
    top = torch.randint(-side // 2, height - side // 2, (count, 1), generator=generator)
    left = torch.randint(-side // 2, width - side // 2, (count, 1), generator=generator)
    rows, columns = torch.arange(height)[None], torch.arange(width)[None]
    in_rows = (rows >= top) & (rows < top + side)
    in_columns = (columns >= left) & (columns < left + side)
    hole = (in_rows[:, :, None] & in_columns[:, None, :])[:, None].to(images.device)
    return images.masked_fill(hole, 0.0)


@torch.no_grad()
def _average(state: _State, decay: float, step: int) -> None:
    # Early steps average over fewer: the decay grows to its value (as Adam's bias correction).
    weight = 1 - min(decay, (1 + step) / (10 + step))
    ours, theirs = state.average.state_dict(), state.module.state_dict()
    floating = [name for name, value in ours.items() if value.is_floating_point()]
    torch._foreach_lerp_([ours[name] for name in floating], [theirs[n] for n in floating], weight)


@torch.no_grad()
def evaluate(module: nn.Module, split: Split, contract: Preprocessing) -> float:
    """Share of a labelled split that `module` classifies right, in float32."""
    assert split.labels is not None, "a split without labels has no accuracy"
    module.eval()
    device = next(module.parameters()).device
    hits, start = 0, 0
    for batch in split.batches(_EVALUATION_BATCH, contract):
        images = torch.from_numpy(batch).to(device, memory_format=torch.channels_last)
        labels = torch.from_numpy(split.labels[start : start + len(batch)]).to(device)
        hits += int(Classification().correct(module(images), labels).sum())
        start += len(batch)
    return hits / len(split)


def _save(state: _State, run: Run, epoch: int) -> None:
    if run.checkpoint is None:
        return
    buffer = io.BytesIO()
    torch.save(
        {
            "identity": run.identity(state.module),
            "epoch": epoch,
            "module": state.module.state_dict(),
            "average": state.average.state_dict(),
            "optimizer": state.optimizer.state_dict(),
            "curves": asdict(state.curves),
        },
        buffer,
    )
    store.write_bytes(run.checkpoint, buffer.getvalue())


def _resume(state: _State, run: Run, device: torch.device) -> int:
    """Load the run's checkpoint if there is one; the first epoch that is left to do."""
    if run.checkpoint is None or not run.checkpoint.exists():
        return 0
    try:
        saved = torch.load(run.checkpoint, map_location=device, weights_only=True)
        identity = saved["identity"]
    except Exception as error:  # torch.load raises what its format dictates
        raise StorageError(
            f"the checkpoint {run.checkpoint} cannot be read ({error}); "
            "delete it to train from the start."
        ) from error
    if identity != run.identity(state.module):
        raise StorageError(
            f"the checkpoint {run.checkpoint} belongs to a run with another network, other data, "
            "settings or seed; delete it, or write to another file."
        )
    state.module.load_state_dict(saved["module"])
    state.average.load_state_dict(saved["average"])
    state.optimizer.load_state_dict(saved["optimizer"])
    state.curves = Curves(**saved["curves"])
    return int(saved["epoch"])
