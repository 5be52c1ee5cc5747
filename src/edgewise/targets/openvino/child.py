"""The worker as a process that stays: a job a line of stdin, an answer a line of stdout."""

import json
import os
import sys

from edgewise.worker import modes
from edgewise.worker.job import WorkerError


def main() -> None:
    """Until stdin ends. What libraries print goes to stderr."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)
        for line in sys.stdin:
            try:
                answer = modes.perform(json.loads(line))
            except WorkerError as error:
                answer = {"error": str(error)}
            out.write(json.dumps(answer) + "\n")
            out.flush()


if __name__ == "__main__":
    main()
