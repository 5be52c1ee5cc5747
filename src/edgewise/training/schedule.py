"""How long and how fast to train, and what was seen on the way."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from edgewise.errors import UsageError

OPTIMIZERS = ("sgd", "adam")


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train.

    peak_lr: the top of the one-cycle triangle (Smith & Topin 2019), reached after `warmup` of all
    steps, then falling to zero; ema: decay per step of the averaged weights that are kept;
    shift: largest random translation in pixels; flip: mirror half of the images;
    cutout: side in pixels of a square set to zero (DeVries & Taylor 2017).

    With a teacher, distill: share of its soft labels in the loss, at `temperature` (Hinton et al.
    2015). For learned quantizers, step_lr: their learning rate over that of the weights; dampen:
    weight of the distance of weights from their grid, growing over the last third of the steps.

    optimizer: sgd (with Nesterov's momentum) or adam, whose second decay is 0.999.
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
    distill: float = 0.0
    temperature: float = 4.0
    step_lr: float = 0.1
    dampen: float = 0.0
    optimizer: str = "sgd"

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 2 or not 0 < self.peak_lr < 100:
            raise UsageError("training needs at least 1 epoch, a batch of 2 and a learning rate.")
        shares = ("warmup", "momentum", "label_smoothing", "ema", "distill")
        amounts = ("weight_decay", "shift", "cutout", "step_lr", "dampen")
        for name in (*shares, *amounts):
            highest = 1.0 if name in shares else math.inf
            if not (0 <= getattr(self, name) <= highest and math.isfinite(getattr(self, name))):
                raise UsageError(f"{name} of a training cannot be {getattr(self, name)}.")
        if self.optimizer not in OPTIMIZERS:
            raise UsageError(
                f"there is no optimizer '{self.optimizer}'; choose {' or '.join(OPTIMIZERS)}."
            )
        if not 0 < self.temperature < math.inf or self.momentum == 1:
            raise UsageError("training needs a temperature above 0 and a momentum below 1.")

    def to_json(self) -> dict[str, Any]:
        """The stored form; the optimizer is named only where it is not SGD, as in the first."""
        stored = asdict(self)
        if self.optimizer == "sgd":
            del stored["optimizer"]
        return stored

    def lr(self, step: int, steps: int) -> float:
        """The learning rate at a step of `steps`."""
        rise = max(1.0, self.warmup * steps)
        share = step / rise if step < rise else (steps - step) / max(1.0, steps - rise)
        return self.peak_lr * max(share, 1e-4)

    def dampening(self, step: int, steps: int) -> float:
        """The weight of the dampening loss: nothing, then a cosine's rise to its value."""
        share = min(1.0, max(0.0, 3 * step / max(steps, 1) - 2))
        return self.dampen * (1 - math.cos(math.pi * share)) / 2


@dataclass
class Curves:
    """What was seen on the way: loss of every step, validation accuracy (or the score of another
    objective) after every epoch."""

    loss: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
