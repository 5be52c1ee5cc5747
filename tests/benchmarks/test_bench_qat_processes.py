"""Training contenders take turns; what fails is said and left out."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from benchmarks.qat_child import HALF, LAST, PLAIN, Material, Trainer
from benchmarks.qat_processes import Process, Trainee, run_in_turn
from torch import Tensor, nn

from benchmarks import qat_processes
from edgewise.data.preprocess import natural
from edgewise.progress import silent

Asked = list[tuple[str, str, int]]
BATCH = Path("batch.npz")


class Tiny(nn.Module):
    """Remembers what it was given and what it gave."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 10)
        self.seen: list[tuple[bool, torch.dtype]] = []

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(images).mean((2, 3)))
        last = images.is_contiguous(memory_format=torch.channels_last)
        self.seen.append((last, logits.dtype))
        return logits


def trainer(scale: float = 1.0) -> tuple[Tiny, Trainer]:
    module, shape = Tiny(), (3, 8, 8)
    images = torch.randn(4, *shape) * scale
    pixels = (images.permute(0, 2, 3, 1) * 0).to(torch.uint8).numpy()
    material = Material(pixels, natural(shape), images, torch.arange(4))
    return module, Trainer(module, material)


def test_only_a_change_of_memory_format_costs_an_unmeasured_step() -> None:
    module, made = trainer()
    assert len(made.run(PLAIN, 2)) == 2
    assert len(made.run(LAST, 1)) == 1
    assert len(made.run(HALF, 2)) == 2
    plain, last, half = (
        (False, torch.float32),
        (True, torch.float32),
        (True, torch.bfloat16),
    )
    assert module.seen == [plain] * 3 + [last] * 2 + [half] * 2


def test_a_step_trains() -> None:
    module, made = trainer()
    before = [parameter.detach().clone() for parameter in module.parameters()]
    (took,) = made.run(LAST, 1)
    assert took > 0
    after = module.parameters()
    assert all(not torch.equal(*pair) for pair in zip(before, after, strict=True))


def test_a_loss_that_overflows_is_no_result() -> None:
    with pytest.raises(ArithmeticError, match="loss"):
        trainer(float("inf"))[1].run(LAST, 1)


def test_a_process_that_dies_says_how(tmp_path: Path) -> None:
    process = Process(Trainee("dies", "stopwatch", (LAST,)), tmp_path / "batch.npz", 1)
    try:
        answer = process.ask(LAST, 1)
        assert isinstance(answer, str)
        assert answer.startswith("ended with exit code 1: IndexError")
        assert process.ask(LAST, 1) == answer
    finally:
        process.close()


def fake(asked: Asked, closed: list[str]) -> Callable[..., object]:
    """Processes that answer at once; `half` cannot train in bfloat16, `broken` in nothing."""

    class Fake:
        def __init__(self, trainee: Trainee, batch: Path, threads: int) -> None:
            self.name = trainee.name

        def ask(self, form: str, steps: int) -> list[float] | str:
            asked.append((self.name, form, steps))
            if self.name == "broken" or (self.name == "half" and form == HALF):
                return "no kernel"
            return [1.0] * steps

        def close(self) -> None:
            closed.append(self.name)

    return Fake


def test_every_contender_has_its_turn_in_every_round(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: Asked = []
    closed: list[str] = []
    monkeypatch.setattr(qat_processes, "Process", fake(asked, closed))
    trainees = [Trainee(name, "none", (LAST, HALF)) for name in ("half", "broken", "whole")]
    absent = Trainee("absent", "none", (LAST,), needs="no_such_package")
    found = run_in_turn([*trainees, absent], BATCH, (3, 2, 1), silent)
    half, broken, whole, missing = found
    rounds = [("half", LAST, 2), ("whole", LAST, 2), ("whole", HALF, 2)]
    assert [turn for turn in asked if turn[2] == 2] == rounds * 3
    assert half.rounds == {LAST: [[1.0, 1.0]] * 3}
    assert half.problems == {HALF: "no kernel"}
    assert whole.rounds == {form: [[1.0, 1.0]] * 3 for form in (LAST, HALF)}
    assert (broken.problem, broken.rounds) == ("no kernel", {})
    assert missing.problem == "not installed: pip install 'edgewise[peers]'"
    assert set(closed) == {"half", "broken", "whole"}
