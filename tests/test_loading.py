import contextlib
import gc
import sys

import pytest

from edgewise.loading import load_module, paused_collector


@pytest.mark.parametrize("running", [True, False])
def test_the_collector_is_left_as_it_was_found(running: bool) -> None:
    before = gc.isenabled()
    (gc.enable if running else gc.disable)()
    try:
        with contextlib.suppress(ZeroDivisionError), paused_collector():
            assert not gc.isenabled()
            raise ZeroDivisionError
        assert gc.isenabled() is running
    finally:
        (gc.enable if before else gc.disable)()


def test_a_module_is_loaded_once() -> None:
    assert load_module("edgewise.units") is sys.modules["edgewise.units"]
