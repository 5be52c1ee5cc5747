"""What the closed-form Shapley value of links costs, beside training and beside sampling.

    python -m benchmarks.importance

Sampling is plain: permutations of a unit's links, on the activations, without reversal. One pass
over a share of the units says what a permutation costs and how its values scatter; how many it
takes to come to 1 % follows from that, and so does the time.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import torch
from rich.table import Table
from torch import Tensor

from edgewise import store, units
from edgewise.cli.common import console
from edgewise.data.dataset import Split
from edgewise.data.preprocess import finished
from edgewise.data.splits import array_split
from edgewise.graph.capture import capture
from edgewise.graph.layer import Form, WeightedLayer
from edgewise.graph.network import Network
from edgewise.graph.patches import sample
from edgewise.importance.gather import Needs, gather
from edgewise.importance.moments import LinkMoments
from edgewise.importance.shapley import link_values
from edgewise.models.builtin import build
from edgewise.quant.learning import owned
from edgewise.training.loop import Run, train
from edgewise.training.schedule import Schedule

ROOT = Path(__file__).parent.parent
OUT = ROOT / "records" / "bench" / "importance.json"
_ROUNDS = 5
_ERROR = 0.01  # relative root mean square error that sampling is to come to
_LINEAR = (784, 512, 8192)  # inputs, units, samples
_IMAGES, _BATCH, _GATHERED = 1024, 128, 64


@dataclass(frozen=True)
class Sampling:
    """seconds: of one permutation of every unit's links; permutations: for 1 % relative error."""

    seconds: float
    permutations: float

    @property
    def total_s(self) -> float:
        return self.seconds * self.permutations


def permutation(inputs: Tensor, weight: Tensor, seed: int) -> Tensor:
    """Marginals of every link as it enters in a random order of its unit's: (units, inputs).

    inputs: (samples, inputs); weight: (units, inputs); one order for all units of one draw.
    """
    draw = torch.Generator().manual_seed(seed)
    found = torch.empty_like(weight)
    rest = inputs @ weight.T  # what has not entered yet still has to be explained
    for index in torch.randperm(weight.shape[1], generator=draw).tolist():
        part = inputs[:, index, None] * weight[:, index]
        found[:, index] = (part * (2 * rest - part)).mean(0)
        rest -= part
    return found


def sampling(inputs: Tensor, weight: Tensor, share: float, draws: int) -> Sampling:
    """What plain sampling takes; share: of all units that `weight` holds."""
    start = time.perf_counter()
    found = torch.stack([permutation(inputs, weight, seed) for seed in range(draws)]).double()
    seconds = (time.perf_counter() - start) / draws
    exact = weight.double() * (weight.double() @ (inputs.T @ inputs / len(inputs)).double())
    scatter = (found - exact).square().mean() / exact.square().mean()
    return Sampling(seconds / share, float(scatter) / _ERROR**2)


def linear() -> dict[str, Any]:
    """A layer of 784 inputs and 512 units on one core."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    count, width, samples = _LINEAR
    inputs = (torch.randn(samples, 64) @ torch.randn(64, count)).relu()
    weight = torch.randn(width, count) / count**0.5
    form = Form("linear", "layer", {})

    def closed() -> None:
        moments = LinkMoments.empty(form, (width, count))
        moments.add(inputs, inputs @ weight.T)
        link_values(weight, moments, centred=False)

    taken = [_seconds(closed) for _ in range(_ROUNDS + 1)][1:]
    some = width // 32
    return _entry("linear 784x512, 8,192 samples, one core", taken,
                  sampling(inputs, weight[:some], some / width, 3))  # fmt: skip


def convolutional(threads: int) -> Iterator[dict[str, Any]]:
    """Every link of VGG-16 beside an epoch over the same images, in turn."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    module = build("vgg16", {"width": 1.0}).eval()
    draw = torch.Generator().manual_seed(1)
    images = torch.randn(_IMAGES, 3, 32, 32, generator=draw).numpy()
    labels = torch.randint(10, (_IMAGES,), generator=draw).numpy()
    split = array_split("train", images, labels)
    network = capture(module, finished((3, 32, 32)), "vgg16")
    nodes = [node for node, _ in network.layers()]

    def closed() -> None:
        batches = map(torch.from_numpy, split.batches(_GATHERED, network.contract))
        for seen in gather(network, batches, nodes, Needs(links=True, inputs=False)):
            link_values(seen.weight, seen.seen_links(), centred=True)

    ways: dict[str, Callable[[], None]] = {
        "closed": closed,
        "bfloat16": partial(_epoch, network, split, half=True),
        "float32": partial(_epoch, network, split, half=False),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(_ROUNDS + 1):
        for name, work in ways.items():
            seconds = _seconds(work)
            if turn:
                taken[name].append(seconds)
    entry = _entry(f"VGG-16, 1,024 images, {threads} threads", taken["closed"],
                   _convolution_sampling(network, split))  # fmt: skip
    for name in ("bfloat16", "float32"):
        pairs = zip(taken["closed"], taken[name], strict=True)
        ratios = sorted(ours / theirs for ours, theirs in pairs)
        entry[f"over_epoch_{name}"] = statistics.median(ratios)
        entry[f"epoch_{name}_s"] = statistics.median(taken[name])
    yield entry


def _epoch(network: Network, split: Split, half: bool) -> None:
    """One epoch as `edgewise train` has it, and no evaluation worth the name."""
    schedule = Schedule(epochs=1, batch_size=_BATCH)
    run = Run(split, split.head(2), network.contract, schedule, half=half)
    train(owned(network).module, run)


def _convolution_sampling(network: Network, split: Split) -> Sampling:
    """Of all layers: each on a share of its units and positions, which the time is scaled by."""
    batch = torch.from_numpy(next(split.batches(64, network.contract)))
    seconds, permutations = 0.0, []
    for layer, inputs, outputs in _seen(network, batch):
        rows, _ = sample(layer.form, layer.weight.shape, [(inputs, outputs)], 256, seed=0)
        weight = layer.weight.detach().flatten(1)[:8]
        positions = outputs.numel() // outputs.shape[1] / len(batch) * _IMAGES
        share = len(weight) / len(layer.weight) * rows.shape[1] / positions
        found = sampling(rows[0], weight, share, 2)
        seconds += found.seconds
        permutations.append(found.permutations)
    return Sampling(seconds, statistics.median(permutations))


def _seen(network: Network, batch: Tensor) -> Iterator[tuple[WeightedLayer, Tensor, Tensor]]:
    kept: list[tuple[WeightedLayer, Tensor, Tensor]] = []
    hooks = [
        layer.register_forward_hook(lambda m, args, out: kept.append((m, args[0], out)))
        for _, layer in network.layers()
    ]
    with torch.no_grad():
        network(batch)
    for hook in hooks:
        hook.remove()
    yield from kept


def _seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _entry(name: str, taken: list[float], theirs: Sampling) -> dict[str, Any]:
    median = statistics.median(taken)
    return {
        "name": name,
        "closed_s": median,
        "rounds_s": taken,
        "sampling": {**asdict(theirs), "total_s": theirs.total_s},
        "times_cheaper": theirs.total_s / median,
    }


def promises(found: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, bool]]:
    """What the closed form is to hold, and whether it does."""
    layer, network = found
    yield "a layer of 784x512 in less than 0.2 s", layer["closed_s"] < 0.2
    for one in found:
        yield f"{one['name']}: 100 times cheaper than sampling", one["times_cheaper"] >= 100
    yield "VGG-16 in at most 1.5 epochs", network["over_epoch_bfloat16"] <= 1.5


@click.command()
@click.option("--threads", default=2, show_default=True, help="Of the convolutional part.")
@click.option("-o", "--out", type=click.Path(path_type=Path), default=OUT)
def main(threads: int, out: Path) -> None:
    """Run everything, print it, and store it as a record."""
    found = [linear(), *convolutional(threads)]
    request = {"rounds": _ROUNDS, "error": _ERROR, "threads": threads}
    store.Record("importance-bench", request, {}, {"cases": found}).save(out)
    table = Table("case", "closed form", "sampling to 1 %", "times cheaper", "over an epoch")
    for one in found:
        over = one.get("over_epoch_bfloat16")
        total = one["sampling"]["total_s"]
        cheaper, epoch = f"{one['times_cheaper']:.0f}x", "" if over is None else f"{over:.2f}x"
        seconds = units.seconds(one["closed_s"])
        table.add_row(one["name"], seconds, units.seconds(total), cheaper, epoch)
    console.print(table)
    for promise, held in promises(found):
        console.print(f"{'PASS' if held else 'FAIL'}  {promise}")


if __name__ == "__main__":
    main()
