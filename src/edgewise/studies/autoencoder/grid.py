"""The cells of the study."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial

from edgewise.data.dataset import Dataset, Split
from edgewise.studies import measured
from edgewise.studies.autoencoder.cells import Plan, dense, pruned
from edgewise.studies.autoencoder.formulations import PREFIX
from edgewise.studies.autoencoder.measuring import measure_artifacts
from edgewise.studies.autoencoder.networks import Job, Pruning, schedule
from edgewise.studies.autoencoder.scales import Scale
from edgewise.study import Cell, Grid

NAME = "autoencoder"
SHAPE = (1, 28, 28)


def ways(finetune: int) -> dict[str, Pruning]:
    """Criterion and regime -> way to prune.

    `best` is ours, chosen on validation images of a seed that is not of the study: links of all
    layers compete; without training, the error of removing one, refitted by least squares in three
    parts; with training, their magnitude, in three parts too.
    """
    parts = (finetune // 5, finetune // 5, finetune - 2 * (finetune // 5))
    return {
        "magnitude-once": Pruning("magnitude", "none"),
        "magnitude-refit": Pruning("magnitude", "weights"),
        "magnitude-tuned": Pruning("magnitude", "none", (finetune,)),
        "shapley-once": Pruning("shapley", "bias"),
        "shapley-refit": Pruning("shapley", "weights"),
        "shapley-tuned": Pruning("shapley", "bias", (finetune,)),
        "best-once": Pruning("wanda", "bias", rule="global"),
        "best-refit": Pruning("wanda", "weights", (0, 0, 0), "global"),
        "best-tuned": Pruning("magnitude", "none", parts, "global"),
    }


# Readings of "links by Shapley value" that the paper leaves open, besides ours; on a few seeds.
FORMS = ("shapley-signed", "shapley-uncentred", "wanda-uncentred", "refit-shapley")


def grid(data: Dataset, name: str, scale: Scale, threads: int) -> Grid:
    """All cells, each after those it needs."""
    data = replace(data, contract=data.contract.resized(SHAPE))
    made: list[Cell] = []
    for seed in range(scale.seeds):
        made.extend(_Seed(Job(data, seed, threads), scale).cells())
    made.append(_measured(Job(data, 0, threads), scale))
    return Grid(NAME, name, tuple(made), data.digests())


def _measured(job: Job, scale: Scale) -> Cell:
    """Times, files and memory on this machine."""
    name, how = "measured/local", scale.protocol
    settings = job.settings(
        timed=scale.timed, protocol=asdict(measured.PROTOCOLS[how]), device="local"
    )
    compute = partial(measure_artifacts, job, scale.timed, how, "local", name)
    return Cell(name, settings, compute)


@dataclass(frozen=True)
class _Seed:
    """The cells of one seed."""

    job: Job
    scale: Scale

    def cells(self) -> Iterator[Cell]:
        scale = self.scale
        some = self.job.data.split("train").head(scale.samples)
        yield self._dense("dense", some)
        for name, how in ways(scale.finetune).items():
            precisions = ("FP32", "FP16", "INT8") if how.trains else ("FP32", "INT8")
            yield self._pruned(name, how, _plan(scale.sparsities, *precisions), some)
        if self.job.seed < scale.forms:
            plan = _plan(scale.sparsities, "FP32")
            for form in FORMS:
                how = Pruning(form, "bias", (scale.finetune,))
                yield self._pruned(f"{PREFIX}{form}", how, plan, some)
        if scale.whole:
            plan = _plan((0.0, *scale.whole), "INT8")
            whole = self.job.data.joined("train", "calibration", "validation")
            yield self._pruned("whole", ways(scale.finetune)["best-tuned"], plan, whole)

    def _name(self, name: str) -> str:
        return f"seed-{self.job.seed}/{name}"

    def _dense(self, name: str, fitted: Split) -> Cell:
        epochs = self.scale.dense
        settings = self.job.settings(schedule=schedule(epochs).to_json(), samples=len(fitted))
        compute = partial(dense, self.job, epochs, fitted, ("FP32", "FP16", "INT8"))
        return Cell(self._name(name), settings, compute, keeps_weights=True)

    def _pruned(self, name: str, how: Pruning, plan: Plan, fitted: Split) -> Cell:
        start = self._name("dense")
        settings = self.job.settings(
            how=asdict(how), schedule=schedule(1).to_json(), plan=plan, samples=len(fitted)
        )
        compute = partial(pruned, self.job, how, plan, fitted, start)
        return Cell(self._name(name), settings, compute, (start,))


def _plan(sparsities: tuple[float, ...], *precisions: str) -> Plan:
    return tuple((sparsity, precisions) for sparsity in sparsities)
