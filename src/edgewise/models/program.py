"""Load an exported program (.pt2) without executing anything in it but tensor operations.

torch.export.load by itself unpickles, evaluates symbolic expressions as Python and calls whatever
function of torch a node names. Here pickles hold tensors only, expressions are sizes only, and
nodes name operators only; anything else is refused before it is looked at.
"""

import json
import os
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgewise.errors import ModelError

_TARGET = re.compile(r"torch\.ops\.(aten|prims)\.\w+\.\w+|_operator\.\w+|math\.\w+")
_CALL = re.compile(r"(\w+)\s*\(")
_CALLABLE = frozenset(
    {"Symbol", "Mod", "Max", "Min", "FloorDiv", "CeilDiv", "PythonMod", "CleanDiv", "Integer"}
)
_EXPRESSION = re.compile(r"[\w\s+\-*/(),=<>'.]*")
_LARGEST_GRAPH = 1 << 28  # bytes of JSON; the largest CNN graphs are a few MB


def load_program(path: Path) -> tuple[nn.Module, Tensor | None]:
    """The module of an exported program and its example input, where it has one.

    Raises ModelError when the file is absent, cut short, or holds more than an exported program
    needs.
    """
    if not path.is_file():
        raise ModelError(f"{path} does not exist.")
    try:
        _refuse_code(path)
        with _tensors_only():
            program = torch.export.load(path)
        module = program.module(check_guards=False)
        examples = program.example_inputs
    except ModelError:
        raise
    except Exception as error:  # torch.export.load documents no error of its own
        raise ModelError(
            f"{path} cannot be read as an exported program ({type(error).__name__}); write it "
            "with torch.export.save, with the version of torch that is installed here."
        ) from error
    example = examples[0][0] if examples and examples[0] else None
    return module, example if isinstance(example, Tensor) else None


@contextmanager
def _tensors_only() -> Iterator[None]:
    """Within this, torch.load unpickles tensors only, whatever its caller asks for."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _refuse_code(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        graphs = [
            info
            for info in archive.infolist()
            if info.filename.endswith(".json") and "models/" in info.filename
        ]
        if not graphs or any(info.file_size > _LARGEST_GRAPH for info in graphs):
            raise ModelError(f"{path} holds no exported program.")
        for info in graphs:
            for key, value in _texts(json.loads(archive.read(info))):
                if key == "target" and not _TARGET.fullmatch(value):
                    raise ModelError(f"{path} calls '{value[:80]}', which is no tensor operator.")
                if key == "expr_str" and not _is_size(value):
                    raise ModelError(f"{path} holds code where a size should be: '{value[:80]}'.")


def _is_size(text: str) -> bool:
    calls = set(_CALL.findall(text))
    return (
        _EXPRESSION.fullmatch(text) is not None
        and calls <= _CALLABLE
        and "__" not in text
        and re.search(r"\.\s*[A-Za-z_]", text) is None
    )


def _texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every string in parsed JSON with the key it stands under, at any depth."""
    stack = [(key, value)]
    while stack:
        name, entry = stack.pop()
        if isinstance(entry, dict):
            stack.extend((str(k), v) for k, v in entry.items())
        elif isinstance(entry, list):
            stack.extend((name, v) for v in entry)
        elif isinstance(entry, str):
            yield name, entry
