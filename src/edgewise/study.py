"""A study: a grid of cells, each computed once, cached by what decides its result.

A cell's key is the digest of its settings and of the keys of the cells it starts from. Its record
bears the key, so a record is up to date or it is not; no clock decides. Cells may be computed by
several processes at once: each is locked while it is worked on, and the lock dies with the process.
"""

import fcntl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from edgewise import store
from edgewise.errors import EdgewiseError, StorageError, UsageError
from edgewise.progress import Progress

KIND = "study-cell"
_TELL_S = 5.0  # a killed process loses no more of the time that it took


@dataclass(frozen=True)
class Bench:
    """Where a cell works.

    folder: of the study's records; scratch: the cell's own, kept until it is done, so that a killed
    cell goes on where it was; weights: cell name -> the weights it left, of those it needs; keeps:
    where the cell is to leave its own, None where it leaves none.
    """

    folder: Path
    scratch: Path
    weights: Mapping[str, Path]
    keeps: Path | None
    progress: Progress


@dataclass(frozen=True)
class Cell:
    """One unit of a study.

    name: `seed-0/w4a4`; settings: everything that decides the result, as JSON; needs: cells that
    must be there before; keeps_weights: leaves `NAME.safetensors` beside its record, for those that
    start from it; compute: gives the result, as JSON.
    """

    name: str
    settings: Mapping[str, Any]
    compute: Callable[[Bench], Mapping[str, Any]]
    needs: tuple[str, ...] = ()
    keeps_weights: bool = False


@dataclass(frozen=True)
class Grid:
    """The cells of a study at one scale, each after those it needs; inputs: data by digest."""

    study: str
    scale: str
    cells: tuple[Cell, ...]
    inputs: Mapping[str, str]

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for cell in self.cells:
            missing = set(cell.needs) - seen
            assert not missing, f"{cell.name} comes before {missing}"
            assert cell.name not in seen, f"{cell.name} is there twice"
            seen.add(cell.name)

    def key(self, cell: Cell) -> str:
        """Digest of everything that decides the cell's result."""
        before = {one.name: self.key(one) for one in self.cells if one.name in cell.needs}
        return store.digest_json(
            {"settings": cell.settings, "needs": before, "inputs": dict(self.inputs)}
        )


@dataclass(frozen=True)
class Finding:
    """What is stored of a cell: its result, or the error it ended with."""

    cell: Cell
    record: Mapping[str, Any]

    @property
    def error(self) -> str | None:
        error = self.record["result"].get("error")
        return None if error is None else str(error)

    @property
    def result(self) -> Mapping[str, Any]:
        result: Mapping[str, Any] = self.record["result"]
        return result


def run(grid: Grid, folder: Path, progress: Progress, only: Sequence[str] = ()) -> None:
    """Compute the cells that are not there yet, and those they need.

    only: globs on names; none means all. A cell that fails leaves a record that says why, is shown
    as such, and is tried again by the next run. A result stands without the weights it left; they
    are made again where a cell that is not there yet starts from them. Raises UsageError when a
    glob covers no cell.
    """
    wanted = _wanted(grid, only)
    left = {cell.name: cell for cell in wanted}
    while left:
        before = len(left)
        for cell in wanted:
            progress(f"study {grid.study}, {grid.scale}", len(wanted) - len(left), len(wanted))
            if cell.name not in left or any(name in left for name in cell.needs):
                continue
            if _settled(grid, cell, folder, wanted, progress):
                del left[cell.name]
        if len(left) == before:
            time.sleep(1)  # other processes are at all that is left; their results will do
    progress(f"study {grid.study}, {grid.scale}", len(wanted), len(wanted))


def _settled(
    grid: Grid, cell: Cell, folder: Path, wanted: Sequence[Cell], progress: Progress
) -> bool:
    """Whether a cell is there, or was computed now; False where another process is at it."""
    if _done(grid, cell, folder, wanted):
        return True
    with _locked(folder, cell) as ours:
        if ours and not _done(grid, cell, folder, wanted):
            _compute(grid, cell, folder, progress)
        return ours


def _done(grid: Grid, cell: Cell, folder: Path, wanted: Sequence[Cell]) -> bool:
    """Whether nothing is left to compute of a cell, or for those that start from it."""
    found = finding(grid, cell, folder)
    if found is None:
        return False
    if not cell.keeps_weights or _has_weights(found, folder):
        return True
    return all(_done(grid, one, folder, wanted) for one in wanted if cell.name in one.needs)


def _has_weights(found: Finding, folder: Path) -> bool:
    path = weights_path(folder, found.cell)
    return path.is_file() and store.digest_file(path) == found.record["inputs"].get("weights")


def finding(grid: Grid, cell: Cell, folder: Path) -> Finding | None:
    """What is stored of a cell, or None where there is nothing that is up to date and succeeded."""
    found = stored(grid, cell, folder)
    return None if found is None or found.error is not None else found


def stored(grid: Grid, cell: Cell, folder: Path) -> Finding | None:
    """What is stored of a cell, failures too; None where there is nothing up to date."""
    path = _record(folder, cell)
    if not path.is_file():
        return None
    record = store.read_record(path)
    if record["kind"] != KIND or record["request"].get("key") != grid.key(cell):
        return None
    return Finding(cell, record)


def weights_path(folder: Path, cell: Cell) -> Path:
    """Where a cell's weights lie."""
    return folder / f"{cell.name}.safetensors"


def _record(folder: Path, cell: Cell) -> Path:
    return folder / f"{cell.name}.json"


def _wanted(grid: Grid, only: Sequence[str]) -> list[Cell]:
    for glob in only:
        if not any(fnmatchcase(cell.name, glob) for cell in grid.cells):
            names = ", ".join(cell.name for cell in grid.cells)
            raise UsageError(f"no cell of {grid.study} is called '{glob}'; they are {names}.")
    chosen = {
        cell.name
        for cell in grid.cells
        if not only or any(fnmatchcase(cell.name, glob) for glob in only)
    }
    for cell in reversed(grid.cells):  # needs come before those who need them
        if cell.name in chosen:
            chosen.update(cell.needs)
    return [cell for cell in grid.cells if cell.name in chosen]


def _compute(grid: Grid, cell: Cell, folder: Path, progress: Progress) -> None:
    before = {one.name: one for one in grid.cells if one.name in cell.needs}
    scratch = folder / ".work" / cell.name
    spent = _Spent(scratch / "seconds", progress)
    inputs = dict(grid.inputs)
    try:
        absent = [name for name, one in before.items() if finding(grid, one, folder) is None]
        if absent:
            raise UsageError(f"it starts from {', '.join(absent)}, which failed.")
        kept = {name: weights_path(folder, one) for name, one in before.items()}
        kept = {name: path for name, path in kept.items() if path.is_file()}
        scratch.mkdir(parents=True, exist_ok=True)
        keeps = weights_path(folder, cell) if cell.keeps_weights else None
        result = dict(cell.compute(Bench(folder, scratch, kept, keeps, spent)))
        if keeps is not None:
            inputs["weights"] = store.digest_file(keeps)
    except StorageError:
        raise  # a full disk is no result
    except EdgewiseError as error:
        result = {"error": str(error)}
    request = {
        "study": grid.study,
        "scale": grid.scale,
        "cell": cell.name,
        "settings": dict(cell.settings),
        "needs": list(cell.needs),
        "key": grid.key(cell),
    }
    result["seconds"] = round(spent.seconds, 1)
    store.Record(KIND, request, inputs, result).save(_record(folder, cell))
    if "error" not in result:
        store.remove_folder(scratch)


class _Spent:
    """Seconds that all processes spent on a cell, passed on when one is killed; hears progress."""

    def __init__(self, path: Path, progress: Progress) -> None:
        self._path, self._progress = path, progress
        self._start = self._told = time.perf_counter()
        try:
            self._before = float(path.read_text())
        except (OSError, ValueError):
            self._before = 0.0

    @property
    def seconds(self) -> float:
        return self._before + time.perf_counter() - self._start

    def __call__(self, stage: str, done: int, total: int) -> None:
        if time.perf_counter() - self._told > _TELL_S:
            self._told = time.perf_counter()
            store.write_bytes(self._path, str(self.seconds).encode())
        self._progress(stage, done, total)


@contextmanager
def _locked(folder: Path, cell: Cell) -> Iterator[bool]:
    """Whether the cell is this process's to compute, for as long as the context lasts."""
    path = folder / ".work" / f"{cell.name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
