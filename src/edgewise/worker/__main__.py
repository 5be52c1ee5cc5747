"""`python -m WORKER JOB.json`: does one job, prints one JSON object, whatever happens.

Exit code 0 means that an answer was printed; an answer that is an error has the key `error`.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

try:
    from . import modes
    from .job import WorkerError
except ImportError as error:  # numpy is the one thing that the worker cannot be without
    _absent = f"the worker cannot start on Python {sys.version.split()[0]}: {error}."
else:
    _absent = ""


def _answer(arguments: list[str]) -> dict[str, Any]:
    if _absent:
        return {"error": _absent}
    if len(arguments) != 1:
        return {"error": f"the worker takes one job file, not {len(arguments)} arguments."}
    try:
        with open(arguments[0], encoding="utf-8") as handle:
            return modes.perform(json.load(handle))
    except WorkerError as error:
        return {"error": str(error)}
    except (OSError, ValueError, RecursionError) as error:
        return {"error": f"{arguments[0]} cannot be worked on: {error}."}
    except MemoryError:
        return {"error": "the device has too little memory for this model and batch."}
    except Exception as error:  # the host has to learn of it, and reads nothing but the answer
        return {"error": f"unforeseen in the worker: {error!r}."}


def main() -> None:
    """Keep stdout for the answer: what libraries print goes to stderr."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)
        out.write(json.dumps(_answer(sys.argv[1:])) + "\n")


if __name__ == "__main__":
    main()
