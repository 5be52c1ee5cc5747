"""`edgewise`: finds the command, turns our own errors into one sentence and an exit code."""

import gc
import json
import sys
from collections.abc import Sequence
from typing import NoReturn, cast

import click

from edgewise.errors import EdgewiseError
from edgewise.loading import load_module

# The one visible table of commands. A module is imported only when its command is used, so that
# help answers at once: torch alone takes a second to load.
COMMANDS = {
    "demo": ("edgewise.cli.demo", "Compress a bundled network on real images; start here."),
    "data": ("edgewise.cli.data", "List and fetch data sets."),
    "train": ("edgewise.cli.train", "Train a reference network."),
    "inspect": ("edgewise.cli.inspect", "Layers, regions, MACs and bytes of a model or artifact."),
    "sensitivity": ("edgewise.cli.sensitivity", "Which layers suffer most from quantization."),
    "importance": ("edgewise.cli.importance", "What channels and layers are worth to the loss."),
    "compress": ("edgewise.cli.compress", "Compress a model, verify it, write a bundle."),
    "evaluate": ("edgewise.cli.evaluate", "Accuracy of an artifact in its runtime."),
    "measure": ("edgewise.cli.measure", "Time artifacts, interleaved, with intervals."),
    "devices": ("edgewise.cli.devices", "What a device is and what it can run."),
    "study": ("edgewise.cli.study", "Rerun a published study, beside the paper's figures."),
    "pack": ("edgewise.cli.pack", "An artifact whose zeros take no room in the file."),
    "report": ("edgewise.cli.report", "Tables and a self-contained HTML page of a bundle."),
    "verify": ("edgewise.cli.verify", "Check a bundle's hashes, parity and figures again."),
}

_EXAMPLES = """
\b
Start here:
  edgewise demo
\b
Your own network (a factory that returns a module), your own images:
  edgewise compress net.py:make --data photos/ --input-shape 3,224,224 \\
      --recipe int8 --target onnx -o out
  edgewise report out
"""


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        return cast(click.Command, load_module(COMMANDS[cmd_name][0]).command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=_Lazy, epilog=_EXAMPLES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="edgewise")
def edgewise() -> None:
    """Make a trained CNN fit a small device, and prove that it still works."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is 0 only for success."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        edgewise.main(args=given, prog_name="edgewise", standalone_mode=False)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        error.show()
        return _answer(error.format_message(), error.exit_code, given)
    except EdgewiseError as error:
        return _fail(str(error), error.exit_code, given)
    except (KeyboardInterrupt, click.Abort):
        return _fail("stopped; the same command goes on from what is finished.", 130, given)
    return 0


def _fail(message: str, code: int, given: list[str]) -> int:
    print(f"edgewise: {message}", file=sys.stderr)
    return _answer(message, code, given)


def _answer(message: str, code: int, given: list[str]) -> int:
    if "--json" in given:
        print(json.dumps({"schema": "edgewise/1", "error": message, "exit_code": code}))
    return code


def run() -> NoReturn:
    """The program: one command in a process of its own."""
    code = main()
    gc.freeze()  # else Python looks through all of torch for cycles before it drops everything
    sys.exit(code)


if __name__ == "__main__":
    run()
