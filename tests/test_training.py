import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from edgewise.cli.main import main
from edgewise.data.dataset import Dataset, Split
from edgewise.data.preprocess import finished
from edgewise.data.splits import array_split
from edgewise.errors import ModelError, StorageError, UsageError
from edgewise.training.augment import augment
from edgewise.training.evaluate import evaluate
from edgewise.training.loop import Run, train
from edgewise.training.objective import Reconstructed
from edgewise.training.schedule import Schedule

GENTLE = Schedule(epochs=3, batch_size=16, peak_lr=0.05, shift=0, flip=False, ema=0.9)


def net(width: int = 4, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
        nn.AvgPool2d(2), nn.Flatten(), nn.Dropout(0.1), nn.Linear(width * 16, 4),
    )  # fmt: skip


@pytest.fixture
def run(tiny_data: Dataset, tmp_path: Path) -> Run:
    return Run(
        tiny_data.split("train"), tiny_data.split("validation"), tiny_data.contract, GENTLE, 3,
        tmp_path / ".net.checkpoint",
    )  # fmt: skip


def states(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


def test_separable_images_are_learnt(run: Run, tiny_data: Dataset) -> None:
    longer = replace(run, schedule=replace(GENTLE, epochs=12))
    module = net()
    before = evaluate(module, tiny_data.split("test"), run.contract)
    trained, curves = train(module, longer)
    assert np.mean(curves.loss[-4:]) < 0.7 * np.mean(curves.loss[:4])
    assert evaluate(trained, tiny_data.split("test"), run.contract) > max(0.8, before)
    assert len(curves.loss) == 12 * 4
    assert len(curves.accuracy) == 12
    assert curves.accuracy[-1] == evaluate(trained, run.validation, run.contract)
    assert not trained.training
    assert not any(p.requires_grad for p in trained.parameters())


def test_the_same_seed_gives_the_same_weights_and_another_one_others(run: Run) -> None:
    alone = replace(run, checkpoint=None)
    one, two = (states(train(net(), alone)[0]) for _ in range(2))
    assert equal(one, two)
    assert not equal(one, states(train(net(), replace(alone, seed=4))[0]))


class StopHereError(Exception):
    """As if the process ended."""


@pytest.mark.parametrize(("epoch", "step"), [(1, 1), (2, 0), (2, 3), (3, 1)])
def test_a_run_stopped_anywhere_goes_on_to_the_very_same_weights(
    run: Run, epoch: int, step: int
) -> None:
    whole = replace(run, checkpoint=None)
    expected, curves = train(net(), whole)

    def stop(stage: str, done: int, total: int) -> None:
        if stage == f"epoch {epoch}/3" and done == step + 1:
            raise StopHereError

    with pytest.raises(StopHereError):
        train(net(), run, stop)
    resumed, again = train(net(seed=99), run) if epoch > 1 else train(net(), run)
    assert equal(states(resumed), states(expected))
    assert again == curves


def test_a_finished_run_is_not_trained_again(run: Run) -> None:
    expected, curves = train(net(), run)
    calls: list[str] = []
    resumed, again = train(net(seed=5), run, lambda stage, *_: calls.append(stage))
    assert calls == []
    assert equal(states(resumed), states(expected))
    assert again == curves


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 4}, {"schedule": replace(GENTLE, peak_lr=0.04)},
        {"schedule": replace(GENTLE, epochs=4)}, {"contract": finished((3, 8, 8))},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_a_checkpoint_of_other_settings_is_refused_and_kept(
    run: Run, change: dict[str, Any]
) -> None:
    train(net(), run)
    assert run.checkpoint is not None
    before = run.checkpoint.read_bytes()
    with pytest.raises(StorageError, match="belongs to a run with another"):
        train(net(), replace(run, **change))
    assert run.checkpoint.read_bytes() == before


def test_a_checkpoint_of_other_data_is_refused(run: Run, tiny_data: Dataset) -> None:
    train(net(), run)
    with pytest.raises(StorageError, match="delete it"):
        train(net(), replace(run, train=tiny_data.split("test")))
    with pytest.raises(StorageError, match="delete it"):
        train(net(), replace(run, validation=tiny_data.split("test")))


def test_a_checkpoint_of_another_network_is_refused(run: Run) -> None:
    train(net(), run)
    with pytest.raises(StorageError, match="another network"):
        train(net(width=5), run)


@pytest.mark.parametrize("content", [b"", b"x" * 100, b"cut"])
def test_a_checkpoint_that_cannot_be_read_is_refused_with_what_would_do(
    run: Run, content: bytes
) -> None:
    assert run.checkpoint is not None
    if content == b"cut":
        train(net(), run)
        content = run.checkpoint.read_bytes()[:-100]
    run.checkpoint.write_bytes(content)
    with pytest.raises(StorageError, match="delete it to train from the start"):
        train(net(), run)


def test_a_checkpoint_runs_no_code(run: Run, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "canary",)

    assert run.checkpoint is not None
    torch.save({"identity": run.identity(net()), "epoch": Evil()}, run.checkpoint)
    with pytest.raises(StorageError, match="cannot be read"):
        train(net(), run)
    assert not (tmp_path / "canary").exists()


def test_a_loss_that_is_not_finite_stops_the_run_and_says_where(
    run: Run, tiny_data: Dataset
) -> None:
    module = net()
    nn.init.constant_(module[6].weight, float("nan"))  # type: ignore[index]
    with pytest.raises(ModelError, match="loss became nan at step 0; lower the peak learning rate"):
        train(module, run)
    assert run.checkpoint is not None
    assert not run.checkpoint.exists()
    wild = replace(run, schedule=replace(GENTLE, epochs=30, peak_lr=99.0), checkpoint=None)
    for part in (module := net()).modules():
        if isinstance(part, nn.Linear):
            nn.init.constant_(part.weight, 1e30)
    with pytest.raises(ModelError, match="loss became"):
        train(module, wild)


def test_labels_are_needed(run: Run) -> None:
    with pytest.raises(UsageError, match="needs labels and split 'train' has none"):
        train(net(), replace(run, train=replace(run.train, labels=None)))


def test_a_batch_larger_than_the_split_is_refused(run: Run) -> None:
    with pytest.raises(UsageError, match="a batch of 65 is larger"):
        train(net(), replace(run, schedule=replace(GENTLE, batch_size=65)))


@pytest.mark.parametrize(
    "settings", [{"epochs": 0}, {"epochs": -1}, {"batch_size": 1}, {"peak_lr": 0.0},
                 {"peak_lr": -1.0}, {"peak_lr": float("nan")}, {"peak_lr": float("inf")}], ids=str,
)  # fmt: skip
def test_schedules_that_cannot_be_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="at least 1 epoch"):
        Schedule(**settings)


@pytest.mark.parametrize(
    "settings", [{"warmup": 1.5}, {"momentum": 1.0}, {"ema": -0.1}, {"distill": float("nan")},
                 {"label_smoothing": 2.0}, {"weight_decay": -1.0}, {"shift": -1}, {"cutout": -2},
                 {"temperature": 0.0}, {"dampen": float("inf")}, {"step_lr": -1.0}], ids=str,
)  # fmt: skip
def test_settings_out_of_their_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(settings))):
        Schedule(**settings)


@given(steps=st.integers(1, 5000), weight=st.floats(0.001, 10))
def test_dampening_rises_over_the_last_third(steps: int, weight: float) -> None:
    schedule = Schedule(dampen=weight)
    weights = [schedule.dampening(step, steps) for step in range(steps + 1)]
    assert all(value == 0 for value in weights[: 2 * steps // 3])
    assert weights == sorted(weights)
    assert weights[-1] == pytest.approx(weight)


@given(steps=st.integers(4, 5000), warmup=st.floats(0.05, 0.95), peak=st.floats(1e-3, 10))
def test_the_learning_rate_is_one_triangle(steps: int, warmup: float, peak: float) -> None:
    schedule = Schedule(warmup=warmup, peak_lr=peak)
    rates = [schedule.lr(step, steps) for step in range(steps)]
    top = int(np.argmax(rates))
    assert abs(top - warmup * steps) <= 1
    assert max(rates) <= peak * (1 + 1e-12)
    assert max(rates) >= peak * (1 - 1 / max(1.0, min(warmup, 1 - warmup) * steps))
    assert np.all(np.diff(rates[: top + 1]) >= 0)
    assert np.all(np.diff(rates[top:]) <= 0)
    fall = steps - max(1.0, warmup * steps)
    assert 0 < rates[-1] <= peak * 1.001 / max(1.0, fall) + 1e-4 * peak
    assert 0 < rates[0] <= peak


@pytest.fixture
def images() -> Tensor:
    return torch.randn(50, 3, 6, 5, generator=torch.Generator().manual_seed(0))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


PLAIN = Schedule(shift=0, flip=False)


@pytest.mark.parametrize("schedule", [PLAIN, replace(PLAIN, flip=True), replace(PLAIN, shift=2),
                                      replace(PLAIN, cutout=3), Schedule(cutout=4)])  # fmt: skip
def test_augmentation_keeps_shape_and_type_and_is_seeded(
    images: Tensor, schedule: Schedule
) -> None:
    before = images.clone()
    one, two = (augment(images, schedule, generator()) for _ in range(2))
    assert one.shape == images.shape
    assert one.dtype == images.dtype
    assert torch.equal(one, two)
    assert torch.equal(images, before)
    if schedule != PLAIN:
        assert not torch.equal(one, augment(images, schedule, generator(1)))
    else:
        assert torch.equal(one, images)


def test_about_half_of_the_images_are_mirrored_and_the_rest_is_not(images: Tensor) -> None:
    made = augment(images, replace(PLAIN, flip=True), generator())
    mirrored = [bool(torch.equal(ours, theirs.flip(2)))
                for ours, theirs in zip(made, images, strict=True)]  # fmt: skip
    plain = [bool(torch.equal(ours, theirs)) for ours, theirs in zip(made, images, strict=True)]
    assert [a != b for a, b in zip(mirrored, plain, strict=True)] == [True] * 50
    assert 15 <= sum(mirrored) <= 35


def test_a_shift_moves_the_whole_image_and_repeats_its_border(images: Tensor) -> None:
    made = augment(images, replace(PLAIN, shift=2), generator())
    seen = set()
    for ours, theirs in zip(made, images, strict=True):
        matches = [(down, right) for down in range(-2, 3) for right in range(-2, 3)
                   if torch.equal(ours, moved(theirs, down, right))]  # fmt: skip
        assert len(matches) == 1
        seen.add(matches[0])
    assert len(seen) > 12


def moved(image: Tensor, down: int, right: int) -> Tensor:
    rows = (torch.arange(6) + down).clamp(0, 5)
    columns = (torch.arange(5) + right).clamp(0, 4)
    return image[:, rows][:, :, columns]


def test_a_cut_out_is_one_square_of_the_mean_in_every_channel(images: Tensor) -> None:
    made = augment(images, replace(PLAIN, cutout=3), generator())
    for ours, theirs in zip(made, images, strict=True):
        hole = (ours == 0).all(0)
        assert torch.equal(ours[:, ~hole], theirs[:, ~hole])
        rows, columns = hole.any(1).nonzero().flatten(), hole.any(0).nonzero().flatten()
        assert int(hole.sum()) == len(rows) * len(columns)
        assert len(rows) <= 3
        assert len(columns) <= 3


def test_the_kept_weights_are_an_average_of_the_ones_on_the_way(run: Run) -> None:
    seen: list[dict[str, Tensor]] = []
    module = net()
    start = states(module)
    schedule = replace(GENTLE, epochs=1, ema=0.5)
    train(module, replace(run, schedule=schedule, checkpoint=None),
          lambda *_: seen.append(states(module)))  # fmt: skip
    assert len(seen) == 4
    expected = start["6.weight"]
    for step, state in enumerate(seen):
        weight = 1 - min(0.5, (1 + step) / (10 + step))
        expected = expected + weight * (state["6.weight"] - expected)
    assert torch.allclose(module.state_dict()["6.weight"], expected, atol=1e-6)


def test_accuracy_does_not_depend_on_batches(
    run: Run, tiny_data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = tiny_data.split("test")
    module = net()
    whole = evaluate(module, split, run.contract)
    monkeypatch.setattr("edgewise.training.evaluate._EVALUATION_BATCH", 7)
    assert evaluate(module, split, run.contract) == whole
    assert split.labels is not None
    flipped = array_split("x", split.images.read(0, 40), (split.labels + 1) % 4)
    assert isinstance(flipped, Split)
    assert evaluate(module, flipped, run.contract) <= 1 - whole


# The command in a process that is killed by the kernel, in the middle of a step or of a write.
KILLED = """
import os, signal, sys
from contextlib import contextmanager
from pathlib import Path
from edgewise.cli import train
from edgewise.cli.main import main

where, *arguments = sys.argv[1:]

@contextmanager
def listening():
    def listen(stage, done, total):
        if where == "step" and stage.startswith("epoch 2") and done == 2:
            os.kill(os.getpid(), signal.SIGKILL)
    yield listen

train.progress_bars = listening
replace = Path.replace
def replacing(self, target):
    if where == "write" and "checkpoint" in self.name and Path(target).exists():
        os.kill(os.getpid(), signal.SIGKILL)
    if where == "record" and Path(target).suffix == ".json":
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(self, target)
Path.replace = replacing
sys.exit(main(arguments))
"""


def arguments(data: Path, out: Path) -> list[str]:
    return [
        "train", "vgg16", "--data", str(data), "--width", "0.03", "--epochs", "3",
        "--batch-size", "8", "--threads", "1", "--seed", "5", "-o", str(out),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def uninterrupted(large_npz: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    out = tmp_path_factory.mktemp("whole") / "net.safetensors"
    subprocess.run([sys.executable, "-m", "edgewise.cli.main", *arguments(large_npz, out)],
                   check=True, capture_output=True)  # fmt: skip
    assert sorted(path.name for path in out.parent.iterdir()) == ["net.json", "net.safetensors"]
    return out.read_bytes()


@pytest.mark.parametrize("where", ["step", "write", "record"])
def test_a_killed_command_goes_on_to_the_very_same_file_and_leaves_nothing_else(
    where: str, large_npz: Path, uninterrupted: bytes, tmp_path: Path
) -> None:
    out = tmp_path / "net.safetensors"
    command = arguments(large_npz, out)
    killed = subprocess.run([sys.executable, "-c", KILLED, where, *command],
                            capture_output=True, check=False)  # fmt: skip
    assert killed.returncode == -signal.SIGKILL
    left = {path.name for path in tmp_path.iterdir()}
    assert ".net.safetensors.checkpoint" in left
    assert "net.json" not in left
    assert main(command) == 0
    assert out.read_bytes() == uninterrupted
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.json", "net.safetensors"]


def test_an_autoencoder_learns_to_give_images_back(tiny_data: Dataset, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(192, 32), nn.ReLU(), nn.Linear(32, 192),
                           nn.Sigmoid())  # fmt: skip
    schedule = replace(GENTLE, epochs=12, peak_lr=0.01, optimizer="adam", ema=0.5)
    goal = Reconstructed(tiny_data.contract)
    test = tiny_data.split("test")
    before = goal.score(module, test, tiny_data.contract)
    run = Run(
        tiny_data.split("train"), tiny_data.split("validation"), tiny_data.contract, schedule, 3,
        objective=goal, half=False,
    )  # fmt: skip
    trained, curves = train(module, run)
    images = torch.from_numpy(test.images.read(0, len(test)))
    pixels = torch.from_numpy(tiny_data.contract.apply(images.numpy()))
    with torch.no_grad():
        error = (trained(pixels) - images.permute(0, 3, 1, 2).flatten(1) / 255).square().mean()
    score = goal.score(trained, test, tiny_data.contract)
    assert score == pytest.approx(-10 * np.log10(float(error)), abs=1e-4)
    assert score > before + 3
    assert curves.loss[-1] < curves.loss[0]


def test_outputs_that_are_no_images_are_refused(tiny_data: Dataset) -> None:
    run = Run(
        tiny_data.split("train"), tiny_data.split("validation"), tiny_data.contract, GENTLE, 3,
        objective=Reconstructed(tiny_data.contract),
    )  # fmt: skip
    with pytest.raises(ModelError, match="as many values as an image"):
        train(net(), run)


def test_zeros_that_are_held_stay_and_no_others(tiny_data: Dataset) -> None:
    module = net()
    layer = module.get_submodule("0")
    assert isinstance(layer, nn.Conv2d)
    with torch.no_grad():
        layer.weight[torch.rand(layer.weight.shape) < 0.5] = 0
    gone = layer.weight == 0
    run = Run(
        tiny_data.split("train"), tiny_data.split("validation"), tiny_data.contract, GENTLE, 3,
        held=("0.weight",),
    )  # fmt: skip
    trained, _ = train(module, run)
    weight = trained.get_parameter("0.weight")
    assert torch.equal(weight == 0, gone)
