"""The one training loop: one-cycle SGD, augmentation, EMA, exact resume.

Exact resume needs no stored generator states: every epoch draws from generators seeded by
(seed, epoch), so an epoch is the same whether or not the process that ran the one before lives.
"""

import copy
import io
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgewise import store
from edgewise.data.dataset import Split
from edgewise.data.preprocess import Preprocessing
from edgewise.errors import ModelError, StorageError, UsageError
from edgewise.progress import Progress, silent
from edgewise.quant.learned import LearnedLayer, StepSize
from edgewise.training.feed import Feed
from edgewise.training.objective import Labelled, Objective
from edgewise.training.schedule import Curves, Schedule


@dataclass(frozen=True)
class Run:
    """A training run: what to train on, how, and where its checkpoint lies.

    train, validation: disjoint splits; checkpoint: None trains without one; teacher: a network to
    distill from; start: digest of the first weights, where the seed does not decide them;
    objective: None is to say labels; held: names of parameters whose zeros stay zero; half: compute
    in bfloat16.
    """

    train: Split
    validation: Split
    contract: Preprocessing
    schedule: Schedule
    seed: int = 0
    checkpoint: Path | None = None
    teacher: nn.Module | None = None
    start: str | None = None
    objective: Objective | None = None
    held: tuple[str, ...] = ()
    half: bool = True

    @property
    def goal(self) -> Objective:
        return self.objective or Labelled(self.schedule.label_smoothing)

    def identity(self, module: nn.Module) -> str:
        """Digest of everything that decides the result: a checkpoint of another run is refused."""
        shapes = {name: list(value.shape) for name, value in module.state_dict().items()}
        return store.digest_json(
            {
                "network": shapes,
                "start": self.start,
                "teacher": None if self.teacher is None else digest(self.teacher),
                "train": self.train.digest,
                "validation": self.validation.digest,
                "contract": self.contract.to_json(),
                "schedule": self.schedule.to_json(),
                "seed": self.seed,
                "objective": repr(self.goal),
                "held": self.held,
                "half": self.half,
            }
        )


def digest(module: nn.Module) -> str:
    """SHA-256 of a network's state."""
    tensors = module.state_dict()
    content = b"".join(tensors[name].cpu().contiguous().numpy().tobytes() for name in tensors)
    return store.digest(content)


def train(module: nn.Module, run: Run, progress: Progress = silent) -> tuple[nn.Module, Curves]:
    """Train `module` in place; returns the averaged network, in eval mode, and the curves.

    Resumes from the run's checkpoint at the last completed epoch. Raises StorageError when the
    checkpoint belongs to another run, ModelError when the loss stops being finite.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    identity = run.identity(module)
    module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(module).requires_grad_(False).eval()
    optimizer = _optimizer(module, run.schedule)
    if run.teacher is not None:  # a copy: others may hold the same parameters
        teacher = copy.deepcopy(run.teacher).eval()
        teacher.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        run = replace(run, teacher=teacher)
    state = _State(module, average, optimizer, Curves(), identity, ())
    first = _resume(state, run, device)
    _refuse_outputs(average, run, device)
    state.held = tuple(_masks(module, run.held))
    feed = run.goal.feed(run.train, run.contract, run.schedule, device)
    for epoch in range(first, run.schedule.epochs):
        torch.manual_seed(run.seed * 100_003 + epoch)
        _epoch(state, feed, run, epoch, progress)
        state.curves.accuracy.append(run.goal.score(average, run.validation, run.contract))
        _save(state, run, epoch + 1)
    module.load_state_dict(average.state_dict())
    return average.to("cpu"), state.curves


def _refuse_outputs(module: nn.Module, run: Run, device: torch.device) -> None:
    images = torch.from_numpy(next(run.validation.head(2).batches(2, run.contract))).to(device)
    with torch.no_grad():
        run.goal.refuse(module(images), images)


@dataclass
class _State:
    module: nn.Module
    average: nn.Module
    optimizer: torch.optim.Optimizer
    curves: Curves
    identity: str
    held: tuple[tuple[nn.Parameter, Tensor], ...]


def _masks(module: nn.Module, names: tuple[str, ...]) -> Iterator[tuple[nn.Parameter, Tensor]]:
    """Parameters with zeros to hold, and 1 where they are not zero."""
    for name in names:
        parameter = module.get_parameter(name)
        yield parameter, (parameter.detach() != 0).to(parameter.dtype)


def _optimizer(module: nn.Module, schedule: Schedule) -> torch.optim.Optimizer:
    """The schedule's; no decay on biases and BatchNorm, which have one dimension, nor
    on learned step sizes.
    """
    steps = [p for p in module.parameters() if isinstance(p, StepSize)]
    others = [p for p in module.parameters() if not isinstance(p, StepSize) and p.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in others if p.ndim > 1], "weight_decay": schedule.weight_decay},
        {"params": [p for p in others if p.ndim <= 1]},
        {"params": steps, "share": schedule.step_lr},
    ]
    given = [{"weight_decay": 0.0, "share": 1.0, **group} for group in groups if group["params"]]
    if schedule.optimizer == "adam":
        return torch.optim.AdamW(given, lr=schedule.peak_lr, betas=(schedule.momentum, 0.999))
    return torch.optim.SGD(
        given, lr=schedule.peak_lr, momentum=schedule.momentum, nesterov=schedule.momentum > 0
    )


def _epoch(state: _State, feed: Feed, run: Run, epoch: int, progress: Progress) -> None:
    schedule = run.schedule
    per_epoch = len(run.train) // schedule.batch_size
    if per_epoch == 0:
        raise UsageError(f"a batch of {schedule.batch_size} is larger than the training split.")
    steps = per_epoch * schedule.epochs
    stage = f"epoch {epoch + 1}/{schedule.epochs}"
    state.module.train()
    for index, (images, labels) in enumerate(_batches(feed, run, epoch, _device(state))):
        step = epoch * per_epoch + index
        for group in state.optimizer.param_groups:
            group["lr"] = schedule.lr(step, steps) * group["share"]
        loss = _loss(state.module, run, images, labels)
        if (weight := schedule.dampening(step, steps)) > 0:
            loss = loss + weight * sum(layer.dampening() for layer in _learned(state.module))
        value = loss.item()
        if not math.isfinite(value):
            raise ModelError(
                f"the training loss became {value} at step {step}; lower the peak learning rate "
                f"({schedule.peak_lr}), and check the data for values that are not finite."
            )
        state.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        if (limit := run.goal.gradient_limit) is not None:
            nn.utils.clip_grad_norm_(state.module.parameters(), limit)
        state.optimizer.step()
        with torch.no_grad():
            for parameter, mask in state.held:
                parameter.mul_(mask)
        _average(state, schedule.ema, step)
        state.curves.loss.append(round(value, 5))
        progress(stage, index + 1, per_epoch)


def _loss(module: nn.Module, run: Run, images: Tensor, labels: Tensor) -> Tensor:
    schedule = run.schedule
    with torch.autocast(images.device.type, torch.bfloat16, enabled=run.half):
        outputs = module(images)
        if run.teacher is None or not schedule.distill:
            return run.goal.loss(outputs, labels, images)
        with torch.no_grad():
            theirs = run.teacher(images)
        soft = run.goal.imitation(outputs, theirs, schedule.temperature)
        if schedule.distill == 1:
            return soft
        return schedule.distill * soft + (1 - schedule.distill) * run.goal.loss(
            outputs, labels, images
        )


def _learned(module: nn.Module) -> list[LearnedLayer]:
    return [layer for layer in module.modules() if isinstance(layer, LearnedLayer)]


def _batches(
    feed: Feed, run: Run, epoch: int, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(run.seed * 1_000_003 + epoch)
    order = torch.randperm(len(feed), generator=generator).to(device)
    size = run.schedule.batch_size
    for start in range(0, len(order) - size + 1, size):
        yield feed.batch(order[start : start + size], generator)


def _device(state: _State) -> torch.device:
    return next(state.module.parameters()).device


@torch.no_grad()
def _average(state: _State, decay: float, step: int) -> None:
    # Early steps average over fewer: the decay grows to its value (as Adam's bias correction).
    weight = 1 - min(decay, (1 + step) / (10 + step))
    ours, theirs = state.average.state_dict(), state.module.state_dict()
    floating = [name for name, value in ours.items() if value.is_floating_point()]
    torch._foreach_lerp_([ours[name] for name in floating], [theirs[n] for n in floating], weight)
    for name in ours.keys() - set(floating):  # counts and flags have no average
        ours[name].copy_(theirs[name])


def _save(state: _State, run: Run, epoch: int) -> None:
    if run.checkpoint is None:
        return
    buffer = io.BytesIO()
    torch.save(
        {
            "identity": state.identity,
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
    if identity != state.identity:
        raise StorageError(
            f"the checkpoint {run.checkpoint} belongs to a run with another network, other data, "
            "settings or seed; delete it, or write to another file."
        )
    state.module.load_state_dict(saved["module"])
    state.average.load_state_dict(saved["average"])
    state.optimizer.load_state_dict(saved["optimizer"])
    state.curves = Curves(**saved["curves"])
    return int(saved["epoch"])
