"""Every target in turn, its artifacts made once, and its writing spoiled."""

from collections.abc import Callable
from typing import Any

import pytest
from target_kinds import CASES, KINDS, Case, Exported, Kind, Plant, case_name, is_absent
from torch import Tensor

from edgewise.data.dataset import Dataset
from edgewise.graph.network import Network
from edgewise.recipe import Compressed, Recipe
from edgewise.targets.target import Export


@pytest.fixture(autouse=True)
def _installed(request: pytest.FixtureRequest) -> None:
    """Skips what needs an extra that is not here."""
    spec = getattr(request.node, "callspec", None)
    for given in spec.params.values() if spec else ():
        kind = given[0] if isinstance(given, tuple) and given else given
        if isinstance(kind, Kind) and is_absent(kind):
            pytest.skip(f"needs the extra [{kind.target.needs}]")


@pytest.fixture(scope="session", params=KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Kind:
    made: Kind = request.param
    return made


@pytest.fixture(scope="session", params=CASES, ids=case_name)
def case(request: pytest.FixtureRequest) -> Case:
    """Every target with every recipe of its own."""
    made: Case = request.param
    return made


@pytest.fixture(scope="session")
def exported(
    captured: Callable[[str], Network], tiny_data: Dataset, tiny_images: Tensor,
    tmp_path_factory: pytest.TempPathFactory,
) -> Exported:  # fmt: skip
    """A tiny network through a recipe into an artifact, once."""
    known: dict[tuple[Kind, str, str], tuple[Compressed, Export]] = {}
    folder = tmp_path_factory.mktemp("artifacts")

    def find(kind: Kind, name: str, recipe: Recipe) -> tuple[Compressed, Export]:
        key = (kind, name, recipe.name)
        if key not in known:
            placed = kind.place(recipe)
            made = placed.apply(captured(name), tiny_data.split("calibration"))
            path = folder / f"{kind.name}-{name}-{recipe.name}{kind.target.suffix}"
            known[key] = made, made.export(kind.target, path, tiny_images)
        return known[key]

    return find


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Plant:
    """Changes the model between writing and checking, as a broken writer or runtime would."""

    def planted(kind: Kind, change: Callable[[Any], None]) -> None:
        real = kind.module.write

        def writing(network: Network, *given: Any) -> Any:
            written = real(network, *given)
            change(written.model)
            return written

        monkeypatch.setattr(kind.module, "write", writing)

    return planted
