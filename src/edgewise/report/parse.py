"""Stored JSON into frozen dataclasses, which are its schema; anything else is refused by name."""

import math
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from edgewise.errors import StorageError

Kind = TypeVar("Kind")


def parse(kind: type[Kind], value: Any, where: str) -> Kind:
    """The dataclass `kind` in `value`; unknown members are ignored, so newer records still show.

    where: the file, for the message. Raises StorageError, naming the member, for one that is
    absent, of another type or not finite.
    """
    members = _object(value, where)
    hints = get_type_hints(kind)
    given = {}
    for field in fields(kind):  # type: ignore[arg-type]
        if field.name in members:
            inner = f"{where}: {field.name}" if ":" not in where else f"{where}.{field.name}"
            given[field.name] = _value(hints[field.name], members[field.name], inner)
        elif _needed(field):
            raise StorageError(f"{where} lacks '{field.name}'; {_REMEDY}")
    return kind(**given)


def printable(text: str) -> str:
    """The text without what would steer a terminal or hide what is written."""
    return "".join(each if each.isprintable() else "\ufffd" for each in text)


_REMEDY = "it was not written by this version of edgewise: make the bundle again."

_SCALARS: Mapping[Any, tuple[type, ...]] = {
    str: (str,),
    bool: (bool,),
    int: (int,),
    float: (int, float),
}


def _value(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin is UnionType:
        kind = next(each for each in arguments if each is not type(None))
        return None if value is None else _value(kind, value, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise _wrong(where, value, "a list")
        return tuple(
            _value(arguments[0], each, f"{where}[{place}]") for place, each in enumerate(value)
        )
    if isinstance(hint, type) and is_dataclass(hint):
        return parse(hint, value, where)
    if origin is not None:  # a mapping by name
        members = _object(value, where)
        return {
            printable(name): _value(arguments[1], each, f"{where}.{name}")
            for name, each in members.items()
        }
    return _scalar(hint, value, where)


def _scalar(hint: Any, value: Any, where: str) -> Any:
    if not isinstance(value, _SCALARS[hint]) or (isinstance(value, bool) and hint is not bool):
        raise _wrong(where, value, {str: "a text", bool: "true or false"}.get(hint, "a number"))
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise _wrong(where, value, "a finite number")
    return hint(value)


def _object(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _wrong(where, value, "an object")
    return value


def _needed(field: "Field[Any]") -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _wrong(where: str, value: Any, wanted: str) -> StorageError:
    shown = printable(repr(value)[:60])
    return StorageError(f"{printable(where)} should be {wanted}, not {shown}; {_REMEDY}")
