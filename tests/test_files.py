import ast
from pathlib import Path

import pytest


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    root = metafunc.config.rootpath / "src/edgewise"
    files = sorted(root.rglob("*.py"))
    metafunc.parametrize("file", files, ids=[str(file.relative_to(root)) for file in files])


def test_a_file_is_short_and_says_what_it_is_for(file: Path) -> None:
    text = file.read_text()
    assert text.count("\n") <= 300
    assert ast.get_docstring(ast.parse(text))
