"""Load an exported program (.pt2) without executing anything in it but tensor operations.

torch.export.load by itself unpickles, loads native code, evaluates sizes as Python, writes names
into Python source and calls whatever function a node names. Here every record, string and operator
of the file must be of a kind that a network needs, and is read by the very reader that loads it;
anything else is refused before it is looked at.
"""

import io
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.export.pt2_archive import PT2ArchiveReader
from torch.export.pt2_archive._package import load_pt2

from edgewise.errors import ModelError

_PROGRAM = "models/model.json"
_RECORD = re.compile(
    r"models/model\.json|data/sample_inputs/model\.pt|data/weights/model_weights_config\.json"
    r"|data/weights/weight_\d+|data/constants/model_constants_config\.json"
    r"|data/constants/tensor_\d+|archive_format|archive_version|version|byteorder"
    r"|\.data/\w+|\.format_version|\.storage_alignment|extra/[\w./-]+"
)
_OPERATOR = re.compile(
    r"torch\.ops\.(aten|prims)\.(?!from_file\.|save\.)\w+\.\w+"  # those two open files
    r"|_operator\.(getitem|eq|ne|le|ge|lt|gt|neg|pos|add|sub|mul|truediv|floordiv|mod|and_|or_)"
    r"|math\.trunc|torch\.sym_(int|float|max|min|not|ite|sqrt)"
)
_NAME = re.compile(r"[\w.+-]*")  # ends up in source code, where only these do nothing
_PAYLOAD = re.compile(r"(weight|tensor)_\d+")
_SYMBOL = re.compile(r"Symbol\('\w+'(, \w+=(True|False))*\)")
_FUNCTIONS = (
    "Add|Mul|Mod|Max|Min|FloorDiv|CeilDiv|CleanDiv|PythonMod|IntTrueDiv|Integer|Rational"
    "|Equality|Unequality|LessThan|StrictLessThan|GreaterThan|StrictGreaterThan|And|Or|Not"
)
_ARITHMETIC = re.compile(rf"(({_FUNCTIONS})\(|[\d\s+\-*/(),<>=.])*")
# Free text: where nodes come from, strings that operators are given, guards that are left out.
_UNREAD = ("metadata", "as_string", "guards_code")
_TREES = (None, "builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict")


def load_program(path: Path) -> tuple[nn.Module, Tensor | None]:
    """The module of an exported program and its example input, where it has one.

    Raises ModelError when the file is absent, cut short, or holds more than an exported program
    needs.
    """
    if not path.is_file():
        raise ModelError(f"{path} does not exist.")
    try:
        content = path.read_bytes()
        _refuse_code(path, content)
        program = _load(content)
        module = program.module(check_guards=False)
        examples = program.example_inputs
    except ModelError:
        raise
    except Exception as error:  # torch documents no error of its own here
        raise ModelError(
            f"{path} cannot be read as an exported program ({type(error).__name__}); write it "
            "with torch.export.save, with the version of torch that is installed here."
        ) from error
    example = examples[0][0] if examples and examples[0] else None
    return module, example if isinstance(example, Tensor) else None


def _load(content: bytes) -> ExportedProgram:
    # Not torch.export.load, which turns to an older form of file where this one fails.
    with _tensors_only():
        return load_pt2(io.BytesIO(content)).exported_programs["model"]


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


def _refuse_code(path: Path, content: bytes) -> None:
    reader = PT2ArchiveReader(io.BytesIO(content))
    records = reader.get_file_names()
    if _PROGRAM not in records:
        raise ModelError(f"{path} holds no exported program.")
    if len({record.lower() for record in records}) != len(records):  # the reader knows no case
        raise ModelError(f"{path} holds two records of one name.")
    for record in records:
        if not _RECORD.fullmatch(record):
            raise ModelError(f"{path} holds '{record[:80]}', which no network needs.")
    if sum(reader.archive_file.get_record_size(record) for record in records) > len(content):
        raise ModelError(f"{path} unpacks to more than it is; torch.export.save packs nothing.")
    for record in records:
        if record.endswith(".json"):
            _refuse_strings(path, json.loads(reader.read_bytes(record)))


def _refuse_strings(path: Path, value: Any) -> None:
    for key, text in _texts(value):
        if key in ("target", "as_operator"):
            wanted, allowed = "a tensor operator", _OPERATOR.fullmatch(text) is not None
        elif key == "expr_str":
            wanted, allowed = "a size", _is_size(text)
        elif key in ("in_spec", "out_spec"):
            wanted, allowed = "a tuple of tensors", _is_tree(text)
        elif key == "path_name":
            wanted, allowed = "a tensor", _PAYLOAD.fullmatch(text) is not None
        else:
            wanted, allowed = "a name", _NAME.fullmatch(text) is not None
        if not allowed:
            raise ModelError(f"{path} holds '{text[:80]}' where {wanted} should be.")


def _is_size(text: str) -> bool:
    """Whether it is arithmetic on numbers and symbols: what is evaluated as Python."""
    rest = _SYMBOL.sub("1", text)
    return "**" not in rest and _ARITHMETIC.fullmatch(rest) is not None


def _is_tree(text: str) -> bool:
    """Whether it describes tuples, lists and plain dictionaries; others import modules."""
    nodes = [json.loads(text)[1]]
    while nodes:
        node = nodes.pop()
        keys = json.loads(node["context"] or "null") or []
        names = isinstance(keys, list) and all(
            isinstance(key, int) or (isinstance(key, str) and _NAME.fullmatch(key)) for key in keys
        )
        if node["type"] not in _TREES or not names:
            return False
        nodes.extend(node["children_spec"])
    return True


def _texts(value: Any) -> Iterator[tuple[str, str]]:
    """Every string in parsed JSON with the key it stands under; keys are strings under no key."""
    stack = [("", value)]
    while stack:
        name, entry = stack.pop()
        if isinstance(entry, dict):
            kept = {key: value for key, value in entry.items() if key not in _UNREAD}
            stack.extend(kept.items())
            stack.extend(("", key) for key in kept)
        elif isinstance(entry, list):
            stack.extend((name, v) for v in entry)
        elif isinstance(entry, str):
            yield name, entry
