import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from edgewise.graph.regions import declared_regions, matches, region_of

PATHS = st.lists(st.text("abc01", min_size=1, max_size=3), min_size=1, max_size=4)


@given(parts=PATHS, data=st.data())
def test_a_folder_covers_everything_below_it_and_nothing_beside(
    parts: list[str], data: st.DataObject
) -> None:
    depth = data.draw(st.integers(1, len(parts)))
    path, folder = ".".join(parts), ".".join(parts[:depth])
    assert matches(path, (folder,))
    assert matches(path, (f"{folder}*",))
    assert matches(f"{path}.x", (f"{folder}.*",))
    assert not matches(f"{folder}x.y", (folder,))


@pytest.mark.parametrize(
    ("path", "glob", "covered"),
    [
        ("head.0.conv", "head", True), ("head.0.conv", "head.*", True),
        ("head.0.conv", "*.conv", True), ("head.0.conv", "head.?.conv", True),
        ("head", "head.*", False), ("header", "head", False), ("Head", "head", False),
        ("body.head", "head", False), ("", "head", False), ("a", "", False),
        ("a[0]", "a[[]0]", True),
    ],
)  # fmt: skip
def test_globs_mean_what_a_person_means(path: str, glob: str, covered: bool) -> None:
    assert matches(path, (glob,)) is covered


def test_no_globs_cover_nothing() -> None:
    assert not matches("a", ())


def test_the_first_region_that_covers_a_path_is_its_own() -> None:
    regions = {"neck": ("body.9",), "body": ("body",), "head": ("head*",)}
    assert region_of("body.9.conv", regions) == "neck"
    assert region_of("body.8", regions) == "body"
    assert region_of("header", regions) == "head"
    assert region_of("other", regions) == ""
    assert region_of("body", {}) == ""


def test_regions_are_read_from_the_network_and_only_where_they_are_a_mapping() -> None:
    module = nn.Identity()
    assert declared_regions(module) == {}
    module.edgewise_regions = {"head": ["a", "b"]}  # type: ignore[assignment]
    assert declared_regions(module) == {"head": ("a", "b")}
    module.edgewise_regions = "head"  # type: ignore[assignment]
    assert declared_regions(module) == {}
