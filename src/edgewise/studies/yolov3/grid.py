"""The cells of the study."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial

from edgewise.data.dataset import Dataset
from edgewise.quant.scheme import INT8, Scheme
from edgewise.steps.qat import Qat
from edgewise.studies import measured
from edgewise.studies.yolov3.agreeing import agreement_cell
from edgewise.studies.yolov3.cells import float_cell, partial_cell, qat_cell
from edgewise.studies.yolov3.measuring import SIDE, measure_exact
from edgewise.studies.yolov3.networks import SUPPRESSION, Job, float_schedule, learned_schedule
from edgewise.studies.yolov3.scales import Scale
from edgewise.study import Cell, Grid

NAME = "yolov3"
_SCHEMES = (INT8, Scheme(4, 8), Scheme(4, 4))


def grid(data: Dataset, name: str, scale: Scale, threads: int) -> Grid:
    """All cells, each after those it needs."""
    cells: list[Cell] = []
    for seed in range(scale.seeds):
        cells.extend(_Seed(Job(data, scale, seed, threads)).cells())
    label = scale.protocol
    settings = {"side": SIDE, "device": "local", "protocol": asdict(measured.PROTOCOLS[label])}
    name_measured = "measured/local"
    compute = partial(measure_exact, data, label, "local", name_measured)
    cells.append(Cell(name_measured, settings, compute))
    cells.append(Cell("tiny/agreement", {"model": "yolov3-tiny"}, agreement_cell))
    return Grid(NAME, name, tuple(cells), data.digests())


@dataclass(frozen=True)
class _Seed:
    """The cells of one seed."""

    job: Job

    def cells(self) -> Iterator[Cell]:
        job, scale = self.job, self.job.scale
        start = self._name("float")
        schedule = float_schedule(scale.floats).to_json()
        reading = {"suppression": SUPPRESSION.to_json()}
        settings = job.settings(schedule=schedule, **reading)
        compute = partial(float_cell, job, scale.floats)
        yield Cell(start, settings, compute, keeps_weights=True)
        for scheme in _SCHEMES:
            settings = job.settings(scheme=asdict(scheme), ranges=scale.calibration, **reading)
            work = partial(partial_cell, job, scheme, start)
            yield Cell(self._name(f"partial-{scheme.name}"), settings, work, (start,))
        shared = {**reading, "calibration": scale.calibration}  # the split that ranges start from
        for (weights, activations), epochs in scale.qat.items():
            scheme = Scheme(weights, activations)
            step = Qat(
                scheme, schedule=learned_schedule(scheme, epochs), keep_float=("head.*.output",)
            )
            settings = job.settings(step=step.to_json(), **shared)
            train = partial(qat_cell, job, step, start)
            yield Cell(self._name(f"qat-{scheme.name}"), settings, train, (start,))

    def _name(self, name: str) -> str:
        return f"seed-{self.job.seed}/{name}"
