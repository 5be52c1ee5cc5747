"""Parts of a network by name: globs on module paths."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from edgewise.data.preprocess import Preprocessing


def declared_regions(module: nn.Module) -> dict[str, tuple[str, ...]]:
    """The regions that a network declares in `edgewise_regions`: name -> globs; {} if none."""
    declared = getattr(module, "edgewise_regions", None)
    if not isinstance(declared, Mapping):
        return {}
    return {str(name): tuple(globs) for name, globs in declared.items()}


def declared_outputs(module: nn.Module) -> tuple[str, ...]:
    """Globs on the layers that make a network's outputs and are left in float where nothing else is
    asked for, as `edgewise_outputs` declares them.

    What a detector gives holds coordinates and scores of unlike ranges, which one scale does badly.
    """
    declared = getattr(module, "edgewise_outputs", ())
    return tuple(str(glob) for glob in declared) if isinstance(declared, (tuple, list)) else ()


def declares_outputs(module: nn.Module) -> bool:
    """Whether a network says which layers make its outputs, be it none."""
    return isinstance(getattr(module, "edgewise_outputs", None), (tuple, list))


def declared_decoder(module: nn.Module, contract: Preprocessing) -> Mapping[str, Any] | None:
    """How a network's outputs become objects, as `edgewise_decoder` says it, or None.

    The size of the network's input, where it does not say that, is the contract's.
    """
    declared = getattr(module, "edgewise_decoder", None)
    if not isinstance(declared, Mapping):
        return None
    return {"height": contract.height, "width": contract.width, **declared}


def matches(path: str, globs: tuple[str, ...]) -> bool:
    """Whether a layer's path, or a folder above it, matches one of the globs.

    `head` and `head.*` both cover `head.0.conv`, as a person means them.
    """
    return any(fnmatchcase(path, glob) or fnmatchcase(path, f"{glob}.*") for glob in globs)


def covers(text: str, path: str, regions: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether what a user wrote, a region's name or a glob, means the layer of that path.

    A region's exact name comes first and means the layers that are in that region, whatever they
    are called; anything else is a glob.
    """
    return region_of(path, regions) == text if text in regions else matches(path, (text,))


def region_of(path: str, regions: Mapping[str, tuple[str, ...]]) -> str:
    """The first region that covers a path, or an empty name."""
    return next((name for name, globs in regions.items() if matches(path, globs)), "")
