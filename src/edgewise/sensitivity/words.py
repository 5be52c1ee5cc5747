"""What to know before choosing layers by their sensitivity, in words."""

from collections.abc import Sequence

from edgewise.data.dataset import Split
from edgewise.stats import Interval

_GOOD = 0.7  # of a rank correlation: the usual bound to "strong"


def of_images(split: Split, held_out: bool) -> str:
    """Of the images that the loss was measured on; empty where all is well."""
    said = []
    if split.labels is None:
        said.append("There are no labels: the loss is how far answers move from the float ones.")
    if not held_out:
        said.append(
            "There is no validation split: the loss is of calibration images, by which ranges were "
            "chosen, and may flatter."
        )
    return " ".join(said)


def of_noise(losses: Sequence[Interval], images: int, by: str) -> str:
    """Of losses that may be chance; empty where most are not."""
    unclear = sum(one.low <= 0 <= one.high for one in losses)
    if 2 * unclear < len(losses):
        return ""
    return (
        f"For {unclear} of {len(losses)} {by}s the loss increase cannot be told from none on "
        f"{images} images: their order is mostly chance, and the rank correlations say little. "
        "More --images would tell, or nothing here is sensitive at these bits."
    )


def of_rank(measure: str, rho: Interval | None) -> str:
    """Of a cheap measure that ranks otherwise than the measured loss; empty for one that agrees."""
    if rho is None or rho.value >= _GOOD:
        return ""
    shown = f"rank correlation {rho.value:.2f}, 95 % interval {rho.low:.2f} to {rho.high:.2f}"
    if rho.high < _GOOD:
        return f"{measure} ranks badly here ({shown}): do not choose by it."
    return f"{measure} may rank badly here ({shown}): choose by the measured loss."
