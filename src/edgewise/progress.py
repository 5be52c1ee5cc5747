"""How long work says where it is, without knowing who listens."""

from typing import Protocol


class Progress(Protocol):
    """Called with a stage's name, the units done and the units in all."""

    def __call__(self, stage: str, done: int, total: int) -> None: ...


def silent(stage: str, done: int, total: int) -> None:
    """The listener that does not listen."""
