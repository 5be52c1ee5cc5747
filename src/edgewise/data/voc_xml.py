"""Annotations of PASCAL VOC (Everingham et al. 2010): what one XML file says about its image.

Read by an expat that refuses document types and entities, so that no file can grow in memory or
lead to another one. Every error names the file and the line.
"""

import math
import re
import xml.sax
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.handler import ContentHandler

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml.expatreader import DefusedExpatParser

from edgewise.data.objects import Objects
from edgewise.errors import DataError

_MOST_BYTES = 1 << 20  # the largest published one has some twenty thousand
_MOST_DEPTH = 16
_LARGEST_SIDE = 1 << 16
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]{1,3})?")


@dataclass(frozen=True)
class Annotation:
    """The size of an image in pixels, and its objects in pixels of that image."""

    width: int
    height: int
    objects: Objects


@dataclass
class _Element:
    """An XML element: where it starts, its own text, and the elements in it."""

    tag: str
    line: int
    parts: list[str] = field(default_factory=list)
    inside: list["_Element"] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.parts).strip()


class _Wrong(Exception):  # noqa: N818 - never leaves this file
    """What is wrong, and in which line."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line = line


def read_annotation(file: Path, classes: Sequence[str]) -> Annotation:
    """What an annotation says, with corners made 0-based and exclusive.

    The class of an object is the place of its name in `classes`. Raises DataError, naming file and
    line, where XML is malformed or hostile, or a size, a name or a box cannot be meant.
    """
    return parse_annotation(_content(file), str(file), classes)


def parse_annotation(content: bytes, name: str, classes: Sequence[str]) -> Annotation:
    """The annotation in the bytes of a file; `name` is for the error."""
    try:
        return _annotation(_tree(content), classes)
    except _Wrong as error:
        raise DataError(f"{name}, line {error.line}: {error}.") from error


def _content(file: Path) -> bytes:
    try:
        with file.open("rb") as handle:
            content = handle.read(_MOST_BYTES + 1)
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}.") from error
    if len(content) > _MOST_BYTES:
        raise DataError(f"{file}, line 1: it has more than {_MOST_BYTES} bytes; no annotation has.")
    return content


class _Builder(ContentHandler):
    """Collects elements with the lines that they start in."""

    def __init__(self, parser: DefusedExpatParser) -> None:
        super().__init__()
        self.roots: list[_Element] = []
        self._open: list[_Element] = []
        self._parser = parser

    @property
    def line(self) -> int:
        return self._parser.getLineNumber() or 1

    def startElement(self, name: str, attrs: object) -> None:  # noqa: N802
        if len(self._open) >= _MOST_DEPTH:
            raise _Wrong(self.line, f"elements are nested more than {_MOST_DEPTH} deep")
        element = _Element(name, self.line)
        (self._open[-1].inside if self._open else self.roots).append(element)
        self._open.append(element)

    def endElement(self, name: str) -> None:  # noqa: N802
        self._open.pop()

    def characters(self, content: str) -> None:
        if self._open:
            self._open[-1].parts.append(content)


def _tree(content: bytes) -> _Element:
    parser = DefusedExpatParser(forbid_dtd=True)
    builder = _Builder(parser)
    parser.setContentHandler(builder)
    try:
        parser.feed(content)
        parser.close()
    except xml.sax.SAXParseException as error:
        raise _Wrong(error.getLineNumber() or 1, f"it is no XML: {error.getMessage()}") from error
    except DefusedXmlException as error:
        raise _Wrong(builder.line, "it declares a document type or an entity") from error
    except (ValueError, LookupError) as error:  # an encoding that nobody knows
        raise _Wrong(builder.line, f"it cannot be decoded: {error}") from error
    if not builder.roots or builder.roots[0].tag != "annotation":
        raise _Wrong(1, "it holds no <annotation>")
    return builder.roots[0]


def _annotation(root: _Element, classes: Sequence[str]) -> Annotation:
    size = _only(root, "size")
    width, height = (_side(_only(size, side)) for side in ("width", "height"))
    found = [_object(each, classes) for each in root.inside if each.tag == "object"]
    boxes = [
        _box(_only(each, "bndbox"), width, height) for each in root.inside if each.tag == "object"
    ]
    objects = Objects(
        np.array([kind for kind, _ in found], np.int64),
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array([difficult for _, difficult in found], np.bool_),
    )
    return Annotation(width, height, objects)


def _only(element: _Element, tag: str) -> _Element:
    found = [each for each in element.inside if each.tag == tag]
    if len(found) != 1:
        raise _Wrong(element.line, f"<{element.tag}> holds {len(found)} <{tag}>, not one")
    return found[0]


def _number(element: _Element) -> float:
    value = float(element.text) if _NUMBER.fullmatch(element.text) else math.nan
    if not math.isfinite(value):
        raise _Wrong(element.line, f"<{element.tag}> is '{element.text[:40]}', not a number")
    return value


def _side(element: _Element) -> int:
    value = _number(element)
    if value != int(value) or not 1 <= value <= _LARGEST_SIDE:
        raise _Wrong(element.line, f"<{element.tag}> is {value:g}, not a size in pixels")
    return int(value)


def _object(element: _Element, classes: Sequence[str]) -> tuple[int, bool]:
    """The class of an object, and whether it is difficult; who does not say so means no."""
    name = _only(element, "name")
    if name.text not in classes:
        raise _Wrong(name.line, f"there is no class '{name.text[:40]}'; there are {_list(classes)}")
    marks = [each for each in element.inside if each.tag == "difficult"]
    for mark in marks:
        if mark.text not in ("0", "1"):
            raise _Wrong(mark.line, f"<difficult> is '{mark.text[:40]}', not 0 or 1")
    return classes.index(name.text), any(mark.text == "1" for mark in marks)


def _box(element: _Element, width: int, height: int) -> tuple[float, float, float, float]:
    """Left, top, right, bottom. The file counts pixels from 1 and includes the last."""
    sides = [_only(element, tag) for tag in ("xmin", "ymin", "xmax", "ymax")]
    left, top, right, bottom = (_number(side) for side in sides)
    if left > right or top > bottom:
        raise _Wrong(element.line, "<bndbox> has its left or its top after its right or its bottom")
    if left < 1 or top < 1 or right > width or bottom > height:
        raise _Wrong(
            element.line,
            f"<bndbox> {left:g}, {top:g}, {right:g}, {bottom:g} is not inside of "
            f"1, 1, {width}, {height}",
        )
    return left - 1, top - 1, right, bottom


def _list(classes: Sequence[str]) -> str:
    return ", ".join(classes)
