"""The cells of the study and what each of them starts from."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial

from edgewise.data.dataset import Dataset
from edgewise.quant.learned import PLACEMENTS
from edgewise.quant.scheme import INT8, Scheme
from edgewise.steps.qat import GENTLE, Qat
from edgewise.studies.vgg16.measuring import PROTOCOLS, RECIPES, measure_variants
from edgewise.studies.vgg16.scales import Scale
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
        cells.extend(_Seed(job, scale).cells())
    cells.append(_measured(data, scale.protocol))
    return Grid(NAME, name, tuple(cells), data.digests())


def _measured(data: Dataset, label: str) -> Cell:
    """Times, files and memory on this machine."""
    name = "measured/local"
    settings = {
        "width": 1.0,
        "protocol": asdict(PROTOCOLS[label]),
        "device": "local",
        "recipes": [recipe.to_json() for recipe in RECIPES],
    }
    return Cell(name, settings, partial(measure_variants, data, label, "local", name))


@dataclass(frozen=True)
class _Seed:
    """The cells of one seed."""

    job: Job
    scale: Scale

    def cells(self) -> Iterator[Cell]:
        scale = self.scale
        yield self._float("float", True)
        yield self._float("plain-float", False)
        for place in PLACEMENTS:
            yield self._learned(f"w8a8-{place}", "float", self._step(INT8, scale.w8, place))
            plain = self._step(INT8, scale.w8, place)
            yield self._learned(f"plain-w8a8-{place}", "plain-float", plain)
        yield self._learned("w8a8-fused", "float", self._step(INT8, scale.w8), fused=True)
        yield self._learned("w4a4", "w8a8-target", self._step(Scheme(4, 4), scale.w4))
        yield self._learned("w2a8", "w8a8-target", self._step(Scheme(2, 8), scale.w2a8))
        yield self._learned("w2a2", "w4a4", self._step(Scheme(2, 2), scale.w2))
        for bits, epochs in scale.ste.items():
            step = self._step(Scheme(bits, bits), epochs)
            labels = replace(step.schedule, distill=0.0)
            step = replace(step, method="ste", schedule=labels, ranges="min-max")
            yield self._learned(f"ste-w{bits}a{bits}", "float", step)

    def _name(self, name: str) -> str:
        return f"seed-{self.job.seed}/{name}"

    def _float(self, name: str, batch_norm: bool) -> Cell:
        peak = _FLOAT_PEAKS[batch_norm]
        schedule = Schedule(epochs=self.scale.floats, peak_lr=peak)
        settings = self.job.settings(batch_norm=batch_norm, schedule=asdict(schedule))

        compute = partial(train_float, self.job, batch_norm, schedule)
        return Cell(self._name(name), settings, compute, keeps_weights=True)

    def _step(self, scheme: Scheme, epochs: int, placement: str = "target") -> Qat:
        peak = _PEAKS[scheme.weight_bits]
        schedule = replace(GENTLE, epochs=epochs, peak_lr=peak)
        return Qat(scheme, schedule=schedule, placement=placement)

    def _learned(self, name: str, start: str, step: Qat, fused: bool = False) -> Cell:
        """A cell of quantization-aware training; its teacher is the float network."""
        batch_norm = not name.startswith("plain")
        teacher = "float" if batch_norm else "plain-float"
        settings = self.job.settings(
            batch_norm=batch_norm, fused=fused, step=step.to_json(), teacher=teacher, start=start
        )
        names = (self._name(teacher), self._name(start))
        compute = partial(train_quantized, self.job, batch_norm, fused, step, names)
        needs = tuple(dict.fromkeys(names))
        keeps = name in ("w8a8-target", "w4a4", "w2a2")
        return Cell(self._name(name), settings, compute, needs, keeps_weights=keeps)
