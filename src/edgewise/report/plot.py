"""What all plots share: a canvas that becomes inline SVG, its colours, and text that fits."""

import io
import re
import warnings
from collections.abc import Callable, Mapping
from xml.etree import ElementTree

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

# Every colour is a CSS variable of the page, so that a plot follows its light and dark scheme.
INK, MUTED, GRID, PAPER = "#1a1c1f", "#5c636b", "#dfe3e8", "#fffffe"
# Told apart by all common kinds of colour vision (Okabe and Ito 2008); the baseline is grey.
SERIES = ("#6b7280", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#56b4e9")
MARKERS = "osD^vPX"
VARIABLES = {
    **{INK: "--ink", MUTED: "--muted", GRID: "--grid", PAPER: "--paper"},
    **{colour: f"--series-{place}" for place, colour in enumerate(SERIES)},
}

_DECADES = 100  # a logarithmic axis over a smaller ratio needs ticks between powers of ten
WIDTH = 5.2  # inches; at 72 units each a phone shows it at nearly its own size
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "edgewise",
    "text.parse_math": False,  # a name with $ is a name
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "hatch.linewidth": 0.8,
    "hatch.color": PAPER,
    "legend.frameon": False,
    "figure.dpi": 72,
}
_SVG = "{http://www.w3.org/2000/svg}"
_LINK = "{http://www.w3.org/1999/xlink}href"
_KEPT = {f"{_SVG}{tag}" for tag in ("g", "defs", "path", "use", "text", "clipPath",
                                    "rect", "pattern")}  # fmt: skip
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_COLOUR = re.compile("|".join(VARIABLES))
_FAMILY = re.compile(r"font-family: [^;]*; ?")  # the page's own
_LONG = re.compile(r"(\.\d\d)\d+")


def draw(name: str, title: str, height: float, paint: Callable[[Axes], None]) -> str:
    """An inline `<svg>` of what `paint` draws on one pair of axes.

    name: what its ids begin with, unlike any other's on the page; title: what it shows, for those
    who do not see it; height: in inches. The same data give the same text.
    """
    buffer = io.BytesIO()
    with matplotlib.style.context(["default", _STYLE]), warnings.catch_warnings():
        # The browser's fonts draw the text; matplotlib's only measure it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure((WIDTH, height), layout="constrained")
        FigureCanvasSVG(figure)
        paint(figure.add_subplot())
        figure.savefig(buffer, format="svg", transparent=True)
    return _inline(buffer.getvalue(), name, title)


def picture(kind: str, size: tuple[float, float], paint: Callable[[Figure], None]) -> bytes:
    """A file of its own, `svg` or `png`, of what `paint` draws on a figure.

    size: width and height in inches. The same data give the same bytes.
    """
    buffer = io.BytesIO()
    metadata = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}[kind]
    with matplotlib.style.context(["default", _STYLE]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(size, layout="constrained", facecolor="white")
        FigureCanvasSVG(figure)
        paint(figure)
        figure.savefig(buffer, format=kind, dpi=150, metadata=metadata)
    return buffer.getvalue()


def colour(place: int) -> str:
    """Of the variant at `place`; the baseline is at 0."""
    return SERIES[place % len(SERIES)] if place < len(SERIES) else SERIES[1 + place % 6]


def marker(place: int) -> str:
    """Of the variant at `place`: colour never tells alone."""
    return MARKERS[place % len(MARKERS)]


def elide(text: str, most: int) -> str:
    """The text, its middle left out where it is longer than `most` characters."""
    if len(text) <= most:
        return text
    kept = most - 1
    return f"{text[: kept // 2]}…{text[len(text) - (kept - kept // 2) :]}"


def plain_numbers(axis: Axis, least: float, most: float) -> None:
    """Ticks as people write them, 0.5 and 20, also on a logarithmic axis."""
    if axis.get_scale() == "log":
        near = most / least < _DECADES
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if near else (1,), numticks=99))
        axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _inline(svg: bytes, name: str, title: str) -> str:
    """Only what a page needs: no prolog, no metadata, no sheet of styles, ids of its own."""
    root = ElementTree.fromstring(svg)  # noqa: S314 - matplotlib has just written it
    for parent in list(root.iter()):
        for child in list(parent):
            child.tail = None
            if child.tag not in _KEPT:
                parent.remove(child)
    ids: dict[str, str] = {}
    for element in root.iter():
        for text in element.attrib.values():
            for found in _REFERENCE.findall(text):
                ids.setdefault(found, f"{name}-{len(ids)}")
        if _LINK in element.attrib:
            ids.setdefault(element.attrib[_LINK][1:], f"{name}-{len(ids)}")
    for element in root.iter():
        _tidy(element, ids)
    root.attrib = {"viewBox": root.attrib["viewBox"], "role": "img", "aria-label": title}
    return ElementTree.tostring(root, encoding="unicode")


def _tidy(element: ElementTree.Element, ids: Mapping[str, str]) -> None:
    element.tag = element.tag.removeprefix(_SVG)
    if element.tag != "text":
        element.text = None
    attributes: dict[str, str] = {}
    styles = []
    for key, value in element.attrib.items():
        if key == "id":
            attributes |= {"id": ids[value]} if value in ids else {}
        elif key == _LINK:
            attributes["href"] = f"#{ids[value[1:]]}"
        elif key in ("style", "fill", "stroke"):
            styles.append(_styled(value if key == "style" else f"{key}: {value}", ids))
        else:
            attributes[key] = _LONG.sub(r"\1", _referred(value, ids))
    element.attrib = {**attributes, **({"style": "; ".join(styles)} if styles else {})}


def _styled(text: str, ids: Mapping[str, str]) -> str:
    text = _COLOUR.sub(lambda found: f"var({VARIABLES[found[0]]})", _referred(text, ids))
    return _FAMILY.sub("", text)


def _referred(text: str, ids: Mapping[str, str]) -> str:
    return _REFERENCE.sub(lambda found: f"url(#{ids[found[1]]})", text)
