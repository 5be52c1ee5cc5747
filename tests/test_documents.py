"""What the documents say is what the code and the records say."""

import re
from pathlib import Path

import pytest
from docs import architecture, benchmarks, figures, studies

from edgewise.cli.main import COMMANDS
from edgewise.studies.table import STUDIES

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_the_figures_of_the_readme_are_those_of_the_records() -> None:
    assert figures.filled(README) == README, "run `make figures`"


def test_the_page_of_benchmarks_is_that_of_the_records() -> None:
    assert benchmarks.PAGE.read_text() == benchmarks.page(), "run `make figures`"


def test_every_layer_of_the_import_contract_is_in_the_picture() -> None:
    assert architecture.layers() == list(architecture.SAYS)
    picture = architecture.PICTURE.read_text()
    for row in architecture.layers():
        assert all(f">{name.strip()}<" in picture for name in row.split("|"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_to_a_file(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_every_command_in_the_readme_exists_and_every_command_is_in_the_readme() -> None:
    lines = [line.strip() for line in README.splitlines() if line.startswith("    edgewise ")]
    named = {line.split()[1] for line in lines}
    assert named <= set(COMMANDS)
    assert all(command in README for command in COMMANDS)


def test_the_python_of_the_readme_runs() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    scope: dict[str, object] = {}
    exec(compile(block, "README.md", "exec"), scope)
    assert "compressed" in scope


def test_the_version_is_in_the_changelog() -> None:
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    assert f"## {version[1]}" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("name", [name for name in STUDIES if studies.findings(name)])
def test_the_page_of_a_study_is_that_of_its_records(name: str) -> None:
    page = ROOT / "docs" / "studies" / f"{name}.md"
    assert page.read_text() == studies.page(name), "run `make figures`"
