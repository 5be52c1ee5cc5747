"""How every contender of this folder runs: with the arguments of its command line, then it ends."""

import gc
import sys
from collections.abc import Callable

_PIXELS = 16 * 64 * 64  # at a time
_MOST = 16  # images: faster than one by one and than 32, which costs memory besides


def run(main: Callable[..., None]) -> None:
    """Call main; then exit at once, as the command line of edgewise does."""
    main(*sys.argv[1:])
    gc.freeze()  # else Python looks through all objects for cycles before it drops them all


def batch_of(height: int, width: int) -> int:
    """Images at a time for quantizers that keep what all layers give: large ones come alone."""
    return max(1, min(_MOST, _PIXELS // (height * width)))
