"""Data sets by name."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from edgewise.data.dataset import Dataset
from edgewise.data.mnist import load_fashion_mnist, load_mnist
from edgewise.errors import DataError

LOADERS: Mapping[str, Callable[[Path], Dataset]] = {
    "mnist": load_mnist,
    "fashion-mnist": load_fashion_mnist,
}


def data_root(root: Path | None = None) -> Path:
    """Where fetched data lie: `root`, else $EDGEWISE_DATA, else the user's cache folder."""
    if root is not None:
        return root
    if folder := os.environ.get("EDGEWISE_DATA"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgewise"


def load(name: str, root: Path | None = None) -> Dataset:
    """The data set of that name; raises DataError when it is unknown or not fetched."""
    if name not in LOADERS:
        known = ", ".join(LOADERS)
        raise DataError(f"there is no data set '{name}'; known are {known}.")
    folder = data_root(root) / name
    if not folder.is_dir():
        raise DataError(f"{name} is not in {folder}; `edgewise data fetch {name}` brings it.")
    return LOADERS[name](folder)
