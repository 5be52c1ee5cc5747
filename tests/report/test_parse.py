from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.errors import StorageError
from edgewise.report.parse import parse, printable


@dataclass(frozen=True)
class Inner:
    size: int


@dataclass(frozen=True)
class Outer:
    name: str
    share: float
    on: bool
    inner: Inner
    many: tuple[Inner, ...]
    by_name: Mapping[str, float]
    maybe: Inner | None
    anything: Any = None


WHOLE: dict[str, Any] = {
    "name": "a",
    "share": 1,
    "on": True,
    "inner": {"size": 3},
    "many": [{"size": 4}, {"size": 5}],
    "by_name": {"x": 0.5},
    "maybe": None,
    "newer": "ignored",
}


def test_json_becomes_the_dataclass() -> None:
    assert parse(Outer, WHOLE, "f.json") == Outer(
        "a", 1.0, True, Inner(3), (Inner(4), Inner(5)), {"x": 0.5}, None
    )


@pytest.mark.parametrize(
    ("member", "value", "said"),
    [
        ("name", 3, "f.json: name should be a text, not 3"),
        ("share", "1", "f.json: share should be a number"),
        ("share", True, "f.json: share should be a number"),
        ("share", float("nan"), "f.json: share should be a finite number"),
        ("share", float("inf"), "f.json: share should be a finite number"),
        ("on", 1, "f.json: on should be true or false"),
        ("inner", [], "f.json: inner should be an object"),
        ("inner", {}, "f.json: inner lacks 'size'"),
        ("inner", {"size": 1.5}, "f.json: inner.size should be a number, not 1.5"),
        ("many", {"size": 1}, "f.json: many should be a list"),
        ("many", [{"size": 1}, None], r"f.json: many\[1\] should be an object, not None"),
        ("by_name", {"x": "y"}, "f.json: by_name.x should be a number"),
        ("maybe", 3, "f.json: maybe should be an object"),
    ],
)
def test_anything_else_is_refused_by_name(member: str, value: Any, said: str) -> None:
    with pytest.raises(StorageError, match=said):
        parse(Outer, {**WHOLE, member: value}, "f.json")


@pytest.mark.parametrize("member", [name for name in WHOLE if name != "newer"])
def test_what_is_absent_is_named(member: str) -> None:
    less = {name: value for name, value in WHOLE.items() if name != member}
    with pytest.raises(StorageError, match=f"f.json lacks '{member}'"):
        parse(Outer, less, "f.json")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(sorted(WHOLE)), _JSON))
def test_any_json_is_read_or_refused(changed: dict[str, Any]) -> None:
    try:
        found = parse(Outer, {**WHOLE, **changed}, "f.json")
    except StorageError as error:
        said = str(error)
    else:
        said = found.name
        assert isinstance(found.share, float)
    assert printable(said) == said


@given(st.text())
def test_what_is_printable_stays_and_the_rest_cannot_act(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable() or "\ufffd" in shown
    assert len(shown) == len(text)
    kept = [(a, b) for a, b in zip(text, shown, strict=True) if b != "\ufffd"]
    assert all(a == b for a, b in kept)
    assert "\x1b" not in shown
    assert "\u202e" not in shown
