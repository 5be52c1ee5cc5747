"""How every contender of this folder runs: with the arguments of its command line, then it ends."""

import gc
import sys
from collections.abc import Callable


def run(main: Callable[..., None]) -> None:
    """Call main; then exit at once, as the command line of edgewise does."""
    main(*sys.argv[1:])
    gc.freeze()  # else Python looks through all objects for cycles before it drops them all
