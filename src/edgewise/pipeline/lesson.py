"""What recipes that train learn from, and what for."""

from pathlib import Path

from edgewise.errors import UsageError
from edgewise.pipeline.choice import decoder_of
from edgewise.pipeline.work import Work
from edgewise.steps.material import Material
from edgewise.training.detecting import Detected
from edgewise.training.objective import Objective


def checkpoints(out: Path) -> Path:
    """Where a training that was killed goes on from: a hidden folder beside the bundle."""
    return out.resolve().with_name(f".{out.resolve().name}.checkpoint")


def material(work: Work, name: str) -> Material:
    """What a recipe of that name trains on; its checkpoints lie beside the bundle until that is
    whole.

    Raises UsageError where the data do not say what to learn.
    """
    data = work.request.data
    objective = _objective(work, name)
    return Material(
        train=data.split("train"),
        validation=data.split("validation"),
        calibration=work.calibration,
        seed=work.request.seed,
        folder=checkpoints(work.request.out) / name,
        objective=objective,
    )


def _objective(work: Work, name: str) -> Objective | None:
    """To find objects, for a network that does; None is to say labels."""
    data, decoder = work.request.data, decoder_of(work.network)
    known = {split.name: split for split in data.splits}
    missing = sorted({"train", "validation"} - set(known))
    if decoder is None:
        if missing or known["train"].labels is None:
            raise UsageError(
                f"recipe '{name}' trains, and {data.name} has no labelled "
                f"{' and '.join(missing) or 'train'} split; give a folder with "
                "train/CLASS/*.png and validation/CLASS/*.png, or a named data set."
            )
        return None
    missing += sorted(one for one in {"train", "validation"} - set(missing)
                      if known[one].objects is None)  # fmt: skip
    if missing:
        raise UsageError(
            f"recipe '{name}' trains a detector, and {data.name} has no {' and '.join(missing)} "
            "split with boxes; use data that have them, as voc and composed-voc do."
        )
    return Detected(decoder, unmirrored=data.unmirrored)
