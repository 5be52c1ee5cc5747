import json
import subprocess
import sys
from importlib import metadata
from types import ModuleType

import click
import pytest

from edgewise import errors
from edgewise.cli.main import COMMANDS, main
from edgewise.errors import EdgewiseError
from edgewise.store import SCHEMA

ERRORS = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, EdgewiseError)
]
SUBCOMMANDS = [["data", "list"], ["data", "fetch"], ["devices", "check"]]


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command `fail` that raises what its argument names."""
    known: dict[str, type[BaseException]] = {kind.__name__: kind for kind in ERRORS}
    known.update(KeyboardInterrupt=KeyboardInterrupt, Abort=click.Abort)

    @click.command()
    @click.argument("name")
    @click.option("--json", "as_json", is_flag=True)
    def command(name: str, as_json: bool) -> None:
        raise known[name]("the reason, and what would do.")

    module = ModuleType("edgewise.cli.failing")
    module.command = command  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(COMMANDS, "fail", (module.__name__, "Fails."))


@pytest.mark.usefixtures("failing")
@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_ends_in_one_sentence_and_its_own_exit_code(
    kind: type[EdgewiseError], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fail", kind.__name__]) == kind.exit_code
    out, err = capsys.readouterr()
    assert (out, err) == ("", "edgewise: the reason, and what would do.\n")


@pytest.mark.usefixtures("failing")
@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_with_json_an_error_is_one_object(
    kind: type[EdgewiseError], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fail", kind.__name__, "--json"]) == kind.exit_code
    out, err = capsys.readouterr()
    assert json.loads(out) == {
        "schema": SCHEMA,
        "error": "the reason, and what would do.",
        "exit_code": kind.exit_code,
    }
    assert err.startswith("edgewise: ")


@pytest.mark.usefixtures("failing")
@pytest.mark.parametrize("name", ["KeyboardInterrupt", "Abort"])
def test_a_stop_by_the_user_says_that_work_goes_on(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fail", name]) == 130
    assert capsys.readouterr().err.strip() == (
        "edgewise: stopped; the same command goes on from what is finished."
    )


def test_help_names_every_command_with_its_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for name, (_, text) in COMMANDS.items():
        assert f"{name} {text}" in shown
    assert "edgewise demo" in shown


@pytest.mark.parametrize("words", [*([name] for name in COMMANDS), *SUBCOMMANDS], ids=" ".join)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_every_command_helps_with_examples_of_itself(
    words: list[str], flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, flag]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith("Usage: edgewise")
    assert "Examples:" in out
    assert f"edgewise {' '.join(words)}" in out.split("Examples:")[1]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["nothing"], "nothing"), (["compress"], "MODEL"), (["compress", "vgg16"], "--data"),
        (["--nothing"], "--nothing"), (["inspect", "vgg16", "--nothing"], "--nothing"),
        (["train", "vgg16", "--data", "x", "-o", "y", "--epochs", "many"], "--epochs"),
        (["data", "nothing"], "nothing"), (["compress", "vgg16", "--data", "random", "-o", "x",
                                           "--recipe", "int8", "--target", "none"], "onnx"),
    ],
)  # fmt: skip
def test_what_cannot_be_parsed_is_a_request_error_that_names_it(
    words: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert named in err


def test_without_a_command_there_is_help_and_no_success(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "Usage: edgewise" in capsys.readouterr().err


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert metadata.version("edgewise") in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["nothing"], ["data", "--help"],
                                       ["data", "list"]], ids=" ".join)  # fmt: skip
def test_what_needs_no_torch_loads_none(arguments: list[str]) -> None:
    heavy = ["torch", "onnxruntime", "matplotlib", "onnx"]
    if arguments[0] != "data":
        heavy.append("numpy")
    code = (
        "import sys\nfrom edgewise.cli.main import main\n"
        f"main({arguments})\n"
        f"loaded = [name for name in {heavy} if name in sys.modules]\n"
        "sys.exit(' '.join(loaded) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_table_of_commands_is_the_folder(pytestconfig: pytest.Config) -> None:
    folder = pytestconfig.rootpath / "src/edgewise/cli"
    texts = {path.stem: path.read_text() for path in folder.glob("*.py")}
    commands = {name for name, text in texts.items() if "def command(" in text}
    assert {module.rpartition(".")[2] for module, _ in COMMANDS.values()} == commands
