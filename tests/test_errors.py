import re

import pytest

from edgewise import errors
from edgewise.errors import EdgewiseError

CLASSES = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, EdgewiseError)
]


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    assert errors.__doc__ is not None
    drawn = dict(re.findall(r"^[│├└─ ]*([A-Z]\w+)\s+(?:exit code )?(\d+)", errors.__doc__, re.M))
    assert drawn == {kind.__name__: str(kind.exit_code) for kind in CLASSES}


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_error_has_an_exit_code_that_is_no_success_and_its_parents_or_its_own(
    kind: type[EdgewiseError],
) -> None:
    assert 1 <= kind.exit_code <= 255
    (parent,) = kind.__bases__
    if parent not in (Exception, EdgewiseError):
        assert issubclass(parent, EdgewiseError)
        assert kind.exit_code == parent.exit_code


def test_kinds_at_the_top_of_the_tree_have_codes_of_their_own() -> None:
    top = [kind for kind in CLASSES if kind.__bases__ == (EdgewiseError,)]
    assert len({kind.exit_code for kind in top}) == len(top)
