"""What each kind of cell computes."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from edgewise import store
from edgewise.data.dataset import Split
from edgewise.graph.capture import capture
from edgewise.models.weights import save_weights
from edgewise.studies.autoencoder.judging import Bar
from edgewise.studies.autoencoder.networks import (
    MODEL,
    Job,
    Pruning,
    load_dense,
    prune,
    sparsity_of,
    train_dense,
)
from edgewise.studies.autoencoder.svm import FITTED_BY, Machine
from edgewise.study import Bench

# Sparsities, and at which precisions each is judged.
Plan = Sequence[tuple[float, tuple[str, ...]]]


def dense(job: Job, epochs: int, fitted: Split, precisions: Sequence[str], bench: Bench) -> Any:
    """The autoencoder that is not pruned."""
    job.start()
    module, curves = train_dense(job, epochs, bench.scratch / "dense.checkpoint", bench.progress)
    assert bench.keeps is not None, "every other cell starts from it"
    save_weights(module, bench.keeps, {"name": MODEL, "options": {}}, job.data.contract)
    network = capture(module, job.data.contract, MODEL)
    bar = Bar(job.data, fitted, bench.scratch)
    first: Machine | None = None
    rows = []
    for precision in precisions:
        answers = bar.answers(network, precision, bench.progress)
        own = bar.judge(answers)
        first = first or own
        rows.append({"sparsity": 0.0, "precision": precision, **bar.row(answers, own, first)})
    facts = {"threads": job.threads, "fitted_by": FITTED_BY}
    return {"rows": rows, "curves": asdict(curves), **facts}


def pruned(
    job: Job, how: Pruning, plan: Plan, fitted: Split,
    start: str, bench: Bench,
) -> Any:  # fmt: skip
    """Rows of every sparsity and precision in `plan`, 0 being the dense network; start: its cell.

    Resumed, the cell does not do a sparsity again that was done.
    """
    job.start()
    network = load_dense(job, bench.weights[start])
    bar = Bar(job.data, fitted, bench.scratch)
    fixed = bar.judge(bar.answers(network, "FP32", bench.progress))
    rows: list[Any] = []
    for sparsity, precisions in plan:
        done = bench.scratch / f"{sparsity}.json"
        if not done.is_file():
            folder = bench.scratch / f"{sparsity}"
            folder.mkdir(exist_ok=True)
            made = network
            if sparsity:
                made = prune(job, network, how.recipe(sparsity), folder, bench.progress)
            known = {"sparsity": sparsity, "zeros": sparsity_of(made)}
            found = []
            for precision in precisions:
                answers = bar.answers(made, precision, bench.progress)
                row = bar.row(answers, bar.judge(answers), fixed)
                found.append({**known, "precision": precision, **row})
            store.write_bytes(done, json.dumps(found).encode())
        rows += json.loads(done.read_bytes())
    return {"rows": rows, "threads": job.threads, "fitted_by": FITTED_BY}
