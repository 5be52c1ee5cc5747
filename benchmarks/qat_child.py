"""The side of a training-step contender that trains: it answers until its input ends.

A line `FORM STEPS` is answered by the seconds of each step. A step is forward, cross entropy,
backward and SGD, of one batch that is there already.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.workload import OPTIONS
from edgewise.data.preprocess import Preprocessing
from edgewise.models.builtin import build

PLAIN, LAST, HALF = "float32", "float32 channels_last", "bfloat16 channels_last"
_SEED = 0
_LR = 1e-3  # small: nothing is learned here, and nothing may overflow


@dataclass(frozen=True)
class Material:
    """What contenders are made of.

    pixels: images as stored; contract: how they become inputs; images: (n, 3, 32, 32); labels: (n,)
    """

    pixels: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]"
    contract: Preprocessing
    images: Tensor
    labels: Tensor


def network() -> nn.Module:
    """VGG-16 at full width, the same random weights for all."""
    torch.manual_seed(_SEED)
    return build("vgg16", OPTIONS)


def load(batch: Path) -> Material:
    """batch: .npz with pixels and labels; its contract lies beside, as JSON."""
    contract = Preprocessing.from_json(json.loads(batch.with_suffix(".json").read_text()))
    with np.load(batch) as stored:
        pixels, labels = stored["pixels"], torch.from_numpy(stored["labels"])
    return Material(pixels, contract, torch.from_numpy(contract.apply(pixels)), labels)


class Trainer:
    """Trains one network step by step, in the form that it is asked for."""

    def __init__(self, module: nn.Module, material: Material) -> None:
        self._module, self._material = module, material
        self._kind: torch.memory_format | None = None
        self._half = False
        self._optimizer = torch.optim.SGD(
            module.parameters(), lr=_LR, momentum=0.9, weight_decay=5e-4, nesterov=True
        )
        self._images = material.images

    def run(self, form: str, steps: int) -> list[float]:
        """Seconds of each of `steps`; an unmeasured one comes first in another memory format."""
        kind = torch.contiguous_format if form == PLAIN else torch.channels_last
        self._half = form == HALF
        if kind is not self._kind:
            self._change(kind)
            self._step()
        return [self._step() for _ in range(steps)]

    def _change(self, kind: torch.memory_format) -> None:
        self._module.to(memory_format=kind)  # type: ignore[call-overload]
        self._images = self._material.images.contiguous(memory_format=kind)
        self._optimizer.state.clear()  # momentum would stay in the format before
        self._kind = kind

    def _step(self) -> float:
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=self._half):
            logits = self._module(self._images)
        loss = nn.functional.cross_entropy(logits.float(), self._material.labels)
        self._optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self._optimizer.step()
        took = time.perf_counter() - start
        if not bool(torch.isfinite(loss)):
            raise ArithmeticError(f"the loss became {loss.item()}")
        return took


def serve(make: Callable[[Material], nn.Module]) -> None:
    """Make the network to train from the batch in the command line; then answer."""
    # Libraries may print what they like: it goes where errors go, and answers go out alone.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    material = load(Path(sys.argv[1]))
    trainer = Trainer(make(material), material)
    for line in sys.stdin:
        form, _, steps = line.strip().rpartition(" ")
        answer: dict[str, object]
        try:
            answer = {"seconds": trainer.run(form, int(steps))}
        except Exception as error:  # a form that a peer cannot train in is a result
            answer = {"problem": f"{type(error).__name__}: {error}"[:200]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
