"""`--keep-float`: globs, or the most sensitive parts of a stored ranking."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgewise import store
from edgewise.errors import StorageError, UsageError

KIND = "ranking"  # of the record that `edgewise sensitivity -o` stores
_COUNTED = re.compile(r"(.+\.json):(\d+)")


def kept_float(given: tuple[str, ...], inputs: Mapping[str, str]) -> tuple[str, ...]:
    """Globs of all layers to keep in float.

    given: globs, and `FILE.json:N` for the N parts of a ranking whose quantization costs most;
    inputs: digests of what the model was loaded from, which must be those that were ranked. Raises
    UsageError where N is absent or too large or the model is another, StorageError for a file that
    holds no ranking.
    """
    globs: list[str] = []
    for text in given:
        found = _COUNTED.fullmatch(text)
        if found is not None:
            globs += _most_sensitive(Path(found[1]), int(found[2]), inputs)
        elif text.endswith(".json"):
            raise UsageError(
                f"--keep-float {text} does not say how many; {text}:3 keeps the three layers whose "
                "quantization costs most."
            )
        else:
            globs.append(text)
    return tuple(globs)


def _most_sensitive(path: Path, count: int, inputs: Mapping[str, str]) -> list[str]:
    result = _result(path)
    ranked = _globs(path, result)
    if not 1 <= count <= len(ranked):
        raise UsageError(
            f"{path} ranks {len(ranked)} parts: {count} of them cannot be kept in float; choose 1 "
            f"to {len(ranked)}."
        )
    if result.get("inputs") != dict(inputs):
        raise UsageError(
            f"{path} ranks another network, or this one with other weights; rank this one with "
            "`edgewise sensitivity`."
        )
    return [glob for globs in ranked[:count] for glob in globs]


def _result(path: Path) -> Mapping[str, Any]:
    """The result in a stored record, whose digest must hold, or in what `--json` printed."""
    stored = store.read_json(path)
    if isinstance(stored, Mapping) and "digest" in stored:
        stored = store.read_record(path)
    result = stored.get("result") if isinstance(stored, Mapping) else None
    return result if isinstance(result, Mapping) else {}


def _globs(path: Path, result: Mapping[str, Any]) -> list[list[str]]:
    ranked = result.get("keep_float")
    if not isinstance(ranked, list) or not ranked or not all(map(_are_globs, ranked)):
        raise StorageError(
            f"{path} holds no ranking; `edgewise sensitivity MODEL --data NAME -o FILE.json` makes "
            "one."
        )
    return ranked


def _are_globs(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, str) for one in value)
