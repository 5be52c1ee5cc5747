"""Training detectors: what they are fed, what they are scored by, and an exact resume."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from squares import squares
from torch import Tensor, nn

from edgewise.data.dataset import Dataset
from edgewise.data.preprocess import whole
from edgewise.errors import ModelError, UsageError
from edgewise.tasks.detection.decoder import Decoder
from edgewise.tasks.detection.imitation import imitation
from edgewise.training.detecting import Detected, detector_options, find_objects
from edgewise.training.loop import Run, train
from edgewise.training.object_feed import object_feed
from edgewise.training.schedule import Schedule

SIDE, CLASSES = 64, 2
CONTRACT = whole((3, SIDE, SIDE))
DECODER = Decoder((((24.0, 24.0),), ((12.0, 12.0),)), SIDE, SIDE, CLASSES, 2.0)
SHORT = Schedule(epochs=3, batch_size=4, peak_lr=3e-3, optimizer="adam", shift=0, flip=False)


class Small(nn.Module):
    """Two maps, of strides 16 and 8."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.body = nn.Sequential(
            nn.Conv2d(3, 16, 3, 4, 1), nn.BatchNorm2d(16), nn.LeakyReLU(0.1),
            nn.Conv2d(16, 24, 3, 2, 1), nn.BatchNorm2d(24), nn.LeakyReLU(0.1),
        )  # fmt: skip
        self.down = nn.Sequential(nn.Conv2d(24, 24, 3, 2, 1), nn.LeakyReLU(0.1))
        self.coarse, self.fine = nn.Conv2d(24, 5 + CLASSES, 1), nn.Conv2d(24, 5 + CLASSES, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        found = self.body(images)
        return self.coarse(self.down(found)), self.fine(found)


def run(checkpoint: Path | None = None, epochs: int = 3) -> Run:
    schedule = replace(SHORT, epochs=epochs)
    goal = Detected(DECODER, unmirrored=(1,), scales=(0.5, 1.0))
    return Run(
        squares("train", 8), squares("validation", 4, seed=1), CONTRACT, schedule,
        checkpoint=checkpoint, objective=goal, half=False,
    )  # fmt: skip


def test_only_the_chosen_images_are_read_and_their_boxes_are_in_place() -> None:
    split = squares("train", 8)
    feed = object_feed(split, CONTRACT, (0, 1), (), torch.device("cpu"))
    still = replace(feed, augmentation=replace(feed.augmentation, shift=0, gain=0, offset=0,
                                               permute=False))  # fmt: skip
    images, targets = still.batch(torch.tensor([5, 2]), torch.Generator().manual_seed(0))
    expected = torch.from_numpy(CONTRACT.apply(split.images.read(5, 6)))
    torch.testing.assert_close(images[:1].contiguous(), expected)
    assert len(feed) == 8
    for row, place in zip(targets, (5, 2), strict=True):
        assert split.objects is not None
        (box,) = split.objects[place].boxes
        middle = (box[:2] + box[2:]) / 2
        assert row[0, 1:3].tolist() == middle.tolist()
        assert images[0].shape == (3, SIDE, SIDE)


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.5])
def test_boxes_grow_with_the_image(scale: float) -> None:
    feed = object_feed(squares("train", 8), CONTRACT, (0, 1), (scale,), torch.device("cpu"))
    plain = replace(feed, scales=())
    chosen = torch.tensor([0, 3])
    images, targets = feed.batch(chosen, torch.Generator().manual_seed(1))
    _, before = plain.batch(chosen, torch.Generator().manual_seed(1))
    assert images.shape[2:] == (SIDE * scale, SIDE * scale)
    torch.testing.assert_close(targets[..., 1:5], before[..., 1:5] * scale)
    assert torch.equal(targets[..., 0], before[..., 0])


def test_a_network_without_such_maps_is_refused_before_training() -> None:
    class Flat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(3, 7, 1)

        def forward(self, images: Tensor) -> Tensor:
            return self.layer(images)  # type: ignore[no-any-return]

    with pytest.raises(ModelError, match="no maps of this decoder"):
        train(Flat(), run())


def test_a_split_without_boxes_is_refused() -> None:
    bare = replace(squares("train", 8), objects=None)
    with pytest.raises(UsageError, match="split 'train' has none"):
        train(Small(), replace(run(), train=bare))
    with pytest.raises(UsageError, match="has no boxes"):
        detector_options(Dataset("bare", ("a",), CONTRACT, (bare,)), 2)


def test_stopped_after_an_epoch_it_goes_on_to_the_very_same_detector(tmp_path: Path) -> None:
    straight, curves = train(Small(), run())
    path = tmp_path / "checkpoint"
    stopped = run(path)

    def stop(stage: str, done: int, total: int) -> None:
        if stage == "epoch 2/3":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(Small(), stopped, stop)
    resumed, again = train(Small(), stopped)
    assert curves == again
    for name, value in straight.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_the_loss_falls_and_every_epoch_is_scored() -> None:
    made = replace(
        run(), train=squares("train", 24), schedule=replace(SHORT, epochs=8, peak_lr=1e-2)
    )
    made = replace(made, objective=Detected(DECODER))
    trained, curves = train(Small(), made)
    assert sum(curves.loss[-4:]) < 0.7 * sum(curves.loss[:4])
    assert len(curves.accuracy) == 8
    assert all(0 <= value <= 1 for value in curves.accuracy)
    found = find_objects(trained, made.validation, CONTRACT, DECODER, made.goal.suppression)  # type: ignore[attr-defined]
    assert len(found) == len(made.validation)


def maps(seed: int) -> list[Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return [torch.randn(2, 5 + CLASSES, side, side, generator=draw) for side in (4, 8)]


def test_imitation_is_least_where_the_maps_are_the_teachers() -> None:
    theirs = maps(0)
    ours = [one.clone().requires_grad_() for one in theirs]
    least = imitation(ours, theirs, DECODER)
    for gradient in torch.autograd.grad(least, ours):
        torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-6, rtol=0)
    other = [one + 0.1 * two for one, two in zip(theirs, maps(1), strict=True)]
    assert imitation(other, theirs, DECODER) > least


def test_boxes_and_classes_are_imitated_only_where_the_teacher_sees_something() -> None:
    theirs = maps(0)
    for one in theirs:
        one[:, 4] = -100.0
    ours = [one.clone() for one in theirs]
    for one in ours:
        one[:, :4] += 3.0
        one[:, 5:] -= 2.0
    torch.testing.assert_close(imitation(ours, theirs, DECODER), torch.zeros(()))


def test_statistics_are_taken_from_images_as_they_are_trained_on() -> None:
    split = squares("train", 6)
    found = list(Detected(DECODER).samples(split, CONTRACT, replace(SHORT, batch_size=4)))
    again = list(Detected(DECODER).samples(split, CONTRACT, replace(SHORT, batch_size=4)))
    plain = torch.from_numpy(CONTRACT.apply(split.images.read(0, 6)))
    assert [len(batch) for batch in found] == [4, 2]
    assert all(map(torch.equal, found, again))
    assert not torch.equal(torch.cat(found), plain)
    assert torch.cat(found).shape == plain.shape
