"""The cells of the study and what each of them starts from."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial

from edgewise.data.dataset import Dataset
from edgewise.quant.learned import PLACEMENTS
from edgewise.quant.scheme import INT8, Scheme
from edgewise.steps.qat import GENTLE, Qat
from edgewise.studies import measured
from edgewise.studies.vgg16.measuring import RECIPES, measure_variants
from edgewise.studies.vgg16.scales import Scale, Wider
from edgewise.studies.vgg16.training import Job, train_float, train_quantized
from edgewise.study import Cell, Grid
from edgewise.training.schedule import Schedule

NAME = "vgg16"
# Top learning rates, chosen beforehand and not searched for: by bits of the weights, and of the
# float networks with BatchNorm and without.
_PEAKS = {8: 0.01, 4: 0.02, 2: 0.04}
_FLOAT_PEAKS = {True: 0.1, False: 0.02}


def grid(data: Dataset, name: str, scale: Scale, threads: int) -> Grid:
    """All cells, each after those it needs."""
    cells: list[Cell] = []
    for seed in range(scale.seeds):
        job = Job(data, scale.width, seed, scale.images, threads)
        cells.extend(_normalized(_Family(job, scale)))
        cells.extend(_plain(_Family(job, scale, "plain-", batch_norm=False)))
    if scale.wider is not None:
        job = Job(data, scale.wider.width, 0, scale.images, threads)
        cells.extend(_wider(_Family(job, scale, "wide-"), scale.wider))
    cells.append(_measured(data, scale.protocol))
    return Grid(NAME, name, tuple(cells), data.digests())


def _measured(data: Dataset, label: str) -> Cell:
    """Times, files and memory on this machine."""
    name = "measured/local"
    settings = {
        "width": 1.0,
        "protocol": asdict(measured.PROTOCOLS[label]),
        "device": "local",
        "recipes": [recipe.to_json() for recipe in RECIPES],
    }
    return Cell(name, settings, partial(measure_variants, data, label, "local", name))


@dataclass(frozen=True)
class _Family:
    """A float network and what is trained from it; prefix: of the names of its cells."""

    job: Job
    scale: Scale
    prefix: str = ""
    batch_norm: bool = True

    def name(self, name: str) -> str:
        return f"seed-{self.job.seed}/{self.prefix}{name}"

    def float(self) -> Cell:
        schedule = Schedule(epochs=self.scale.floats, peak_lr=_FLOAT_PEAKS[self.batch_norm])
        settings = self.job.settings(batch_norm=self.batch_norm, schedule=schedule.to_json())
        compute = partial(train_float, self.job, self.batch_norm, schedule)
        return Cell(self.name("float"), settings, compute, keeps_weights=True)

    def learned(
        self, name: str, step: Qat, start: str = "float", fused: bool = False, keeps: bool = False
    ) -> Cell:
        """A cell of quantization-aware training; its teacher is the float network."""
        settings = self.job.settings(
            batch_norm=self.batch_norm,
            fused=fused,
            step=step.to_json(),
            teacher=f"{self.prefix}float",
            start=f"{self.prefix}{start}",
        )
        names = (self.name("float"), self.name(start))
        compute = partial(train_quantized, self.job, self.batch_norm, fused, step, names)
        needs = tuple(dict.fromkeys(names))
        return Cell(self.name(name), settings, compute, needs, keeps_weights=keeps)


def _normalized(family: _Family) -> Iterator[Cell]:
    """All that the network with BatchNorm is trained to."""
    scale = family.scale
    yield family.float()
    for place in PLACEMENTS:
        step = _step(INT8, scale.w8, place)
        yield family.learned(f"w8a8-{place}", step, keeps=place == "target")
    yield family.learned("w8a8-fused", _step(INT8, scale.w8), fused=True)
    yield family.learned("w4a4", _step(Scheme(4, 4), scale.w4), "w8a8-target", keeps=True)
    yield family.learned("w2a8", _step(Scheme(2, 8), scale.w2a8), "w8a8-target")
    yield family.learned("w2a2", _step(Scheme(2, 2), scale.w2), "w4a4", keeps=True)
    for bits, epochs in scale.ste.items():
        step = _step(Scheme(bits, bits), epochs)
        labels = replace(step.schedule, distill=0.0)
        step = replace(step, method="ste", schedule=labels, ranges="min-max")
        yield family.learned(f"ste-w{bits}a{bits}", step)


def _plain(family: _Family) -> Iterator[Cell]:
    """The network without BatchNorm: 8 bits by placement."""
    yield family.float()
    for place in PLACEMENTS:
        yield family.learned(f"w8a8-{place}", _step(INT8, family.scale.w8, place))


def _wider(family: _Family, wider: Wider) -> Iterator[Cell]:
    """Two bits by way of 8 and 4 in one cell: the weights are too many to keep of each stage."""
    yield family.float()
    step = replace(_step(Scheme(2, 2), wider.w2), before=(f"w8a8:{wider.w8}", f"w4a4:{wider.w4}"))
    yield family.learned("w2a2", step)


def _step(scheme: Scheme, epochs: int, placement: str = "target") -> Qat:
    schedule = replace(GENTLE, epochs=epochs, peak_lr=_PEAKS[scheme.weight_bits])
    return Qat(scheme, schedule=schedule, placement=placement)
