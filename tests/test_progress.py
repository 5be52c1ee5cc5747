from edgewise.progress import Progress, silent


def test_the_silent_listener_takes_what_every_listener_takes() -> None:
    listener: Progress = silent
    assert listener("stage", 1, 2) is None  # type: ignore[func-returns-value]
