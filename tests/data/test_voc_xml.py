"""Annotations are read exactly, and what is wrong is named with its line."""

from pathlib import Path

import pytest
from devkit import annotation
from hypothesis import given
from hypothesis import strategies as st

from edgewise.data.voc import CLASSES
from edgewise.data.voc_xml import parse_annotation, read_annotation
from edgewise.errors import DataError

GOOD = annotation((20, 10), [("dog", (3, 2, 10, 9), 0), ("person", (1, 1, 20, 10), 1)])


def parse(text: str) -> object:
    return parse_annotation(text.encode(), "000005.xml", CLASSES)


def test_an_annotation_says_what_is_where() -> None:
    found = parse_annotation(GOOD.encode(), "a", CLASSES)
    assert (found.width, found.height) == (20, 10)
    assert found.objects.classes.tolist() == [CLASSES.index("dog"), CLASSES.index("person")]
    # As the devkit counts: width = xmax - xmin + 1.
    assert found.objects.boxes.tolist() == [[2, 1, 10, 9], [0, 0, 20, 10]]
    assert found.objects.difficult.tolist() == [False, True]


def test_an_image_may_show_nothing() -> None:
    found = parse_annotation(annotation((20, 10), []).encode(), "a", CLASSES)
    assert found.objects.boxes.shape == (0, 4)


@given(
    st.integers(1, 500), st.integers(1, 500),
    st.lists(st.tuples(*[st.floats(0, 1)] * 4, st.integers(0, 1)), max_size=5),
)  # fmt: skip
def test_any_boxes_are_read_back(
    width: int, height: int, shares: list[tuple[float, float, float, float, int]]
) -> None:
    objects = []
    for left, top, right, bottom, difficult in shares:
        xs = sorted([1 + round(left * (width - 1)), 1 + round(right * (width - 1))])
        ys = sorted([1 + round(top * (height - 1)), 1 + round(bottom * (height - 1))])
        objects.append(("cat", (xs[0], ys[0], xs[1], ys[1]), difficult))
    found = parse_annotation(annotation((width, height), objects).encode(), "a", CLASSES).objects
    expected = [[x - 1, y - 1, right, bottom] for _, (x, y, right, bottom), _ in objects]
    assert found.boxes.tolist() == expected
    assert found.difficult.tolist() == [bool(each[2]) for each in objects]


def test_fractions_and_missing_marks_are_as_in_the_published_files() -> None:
    text = GOOD.replace("<xmin>3</xmin>", "<xmin>3.25</xmin>", 1)
    text = text.replace("\t\t<difficult>0</difficult>\n", "")
    found = parse_annotation(text.encode(), "a", CLASSES).objects
    assert found.boxes[0].tolist() == [2.25, 1, 10, 9]
    assert found.difficult.tolist() == [False, True]


WRONG = [
    ("<width>20</width>", "", 3, "<size> holds 0 <width>, not one"),
    ("\t<size>", "\t<siz>", 7, "no XML: mismatched tag"),
    ("<height>10</height>", "<height>0</height>", 5, "<height> is 0, not a size"),
    ("<height>10</height>", "<height>1e9</height>", 5, "not a size"),
    ("<height>10</height>", "<height>9.5</height>", 5, "<height> is 9.5, not a size"),
    ("<name>dog</name>", "<name>wolf</name>", 9, "no class 'wolf'; there are aeroplane, .*monitor"),
    ("<name>dog</name>", "", 8, "<object> holds 0 <name>"),
    ("<difficult>0<", "<difficult>maybe<", 12, "'maybe', not 0 or 1"),
    ("<xmin>3<", "<xmin>left<", 14, "<xmin> is 'left', not a number"),
    ("<xmin>3<", "<xmin><", 14, "<xmin> is '', not a number"),
    ("<xmin>3<", "<xmin>nan<", 14, "not a number"),
    ("<xmin>3<", "<xmin>1e999<", 14, "not a number"),
    ("<xmin>3<", "<xmin>1_0<", 14, "not a number"),
    ("<xmin>3<", "<xmin>0<", 13, "<bndbox> 0, 2, 10, 9 is not inside of 1, 1, 20, 10"),
    ("<xmin>3<", "<xmin>-3<", 13, "not inside"),
    ("<xmax>10<", "<xmax>21<", 13, "<bndbox> 3, 2, 21, 9 is not inside"),
    ("<ymax>9<", "<ymax>11<", 13, "not inside"),
    ("<xmin>3<", "<xmin>11<", 13, "its left or its top after"),
    ("<ymin>2<", "<ymin>10<", 13, "its left or its top after"),
    ("<xmax>10</xmax>", "", 13, "<bndbox> holds 0 <xmax>"),
    ("<xmax>10</xmax>", "<xmax>10</xmax><xmax>11</xmax>", 13, "holds 2 <xmax>"),
    ("<annotation>", "<notes>", 34, "mismatched tag"),
    ("<pose>Left", "<pose>\x00", 10, "not well-formed"),
    ("<pose>Left", "<pose>&bomb;", 10, "undefined entity"),
    ("</annotation>", "", 35, "no element found"),
    ("</annotation>", "</annotation><annotation/>", 34, "junk after document"),
]


@pytest.mark.parametrize(("old", "new", "line", "why"), WRONG, ids=[each[1] for each in WRONG])
def test_what_is_wrong_is_named_with_its_line(old: str, new: str, line: int, why: str) -> None:
    assert old in GOOD
    with pytest.raises(DataError, match=rf"000005\.xml, line \d+: .*{why}") as caught:
        parse(GOOD.replace(old, new, 1))
    assert f"line {line}:" in str(caught.value)


BOMB = (
    '<?xml version="1.0"?>\n<!DOCTYPE b [\n<!ENTITY a "aaaaaaaaaa">\n'
    + "".join(f'<!ENTITY a{i} "{f"&a{i - 1 or str()};" * 10}">\n' for i in range(1, 20))
    + "]>\n<annotation>&a19;</annotation>"
)
OUTSIDE = '<!DOCTYPE b [<!ENTITY a SYSTEM "file:///etc/passwd">]>\n<annotation>&a;</annotation>'


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (BOMB, "line 2: it declares a document type"),
        (OUTSIDE, "line 1: it declares a document type"),
        ('<!DOCTYPE annotation SYSTEM "http://127.0.0.1/x.dtd"><annotation/>', "document type"),
        ("", "line 1: .*no element found"),
        ("<html></html>", "line 1: it holds no <annotation>"),
        ("<annotation>" + "<a>" * 100_000, "nested more than 16 deep"),
        ('<?xml version="1.0" encoding="x-none"?><annotation/>', "line 1"),
        ('<?xml version="1.0" encoding="utf-16"?><annotation/>', "line 1"),
    ],
    ids=["bomb", "outside", "dtd", "empty", "html", "deep", "encoding", "utf-16"],
)
def test_hostile_files_are_refused(text: str, why: str) -> None:
    with pytest.raises(DataError, match=why):
        parse(text)


@given(st.integers(0, len(GOOD.rstrip()) - 1))
def test_a_file_that_is_cut_short_is_refused(kept: int) -> None:
    with pytest.raises(DataError, match=r"000005\.xml, line \d+"):
        parse(GOOD[:kept])


@given(st.binary(max_size=300))
def test_any_bytes_give_an_error_and_no_traceback(content: bytes) -> None:
    with pytest.raises(DataError, match="line"):
        parse_annotation(content, "a", CLASSES)


@given(st.data())
def test_damage_is_told_or_harmless(data: st.DataObject) -> None:
    content = bytearray(GOOD.encode())
    for _ in range(3):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = parse_annotation(bytes(content), "a", CLASSES)
    except DataError:
        return
    boxes = found.objects.boxes
    assert boxes.min(initial=0) >= 0
    assert (boxes[:, 2:] <= (found.width, found.height)).all()


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="absent.xml cannot be read"):
        read_annotation(tmp_path / "absent.xml", CLASSES)
    (tmp_path / "huge.xml").write_bytes(b" " * ((1 << 20) + 1))
    with pytest.raises(DataError, match=r"huge\.xml, line 1: .*bytes"):
        read_annotation(tmp_path / "huge.xml", CLASSES)
