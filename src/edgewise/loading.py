"""Load heavy modules with the garbage collector paused."""

import gc
import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def paused_collector() -> Iterator[None]:
    """Within this, no garbage is looked for.

    torch and torch.export make a million objects that stay; a collector that looks through them as
    they come takes a quarter of the time.
    """
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def load_module(name: str) -> ModuleType:
    """The module of that name, imported if it was not yet."""
    with paused_collector():
        return importlib.import_module(name)
