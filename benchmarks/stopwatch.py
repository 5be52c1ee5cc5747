"""Run a command and print what it took, as JSON: LOG COMMAND...

A process of its own, and a small one: the system counts the memory of whoever starts a process
into that process's peak.
"""

import json
import os
import sys
import time


def main(log: str, command: list[str]) -> None:
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    actions = [(os.POSIX_SPAWN_DUP2, output, 1), (os.POSIX_SPAWN_DUP2, output, 2)]
    start = time.perf_counter()
    child = os.posix_spawn(command[0], command, os.environ, file_actions=actions)
    _, status, used = os.wait4(child, 0)
    wall_s = time.perf_counter() - start
    unit = 1 if sys.platform == "darwin" else 1024
    taken = {
        "wall_s": wall_s,
        "cpu_s": used.ru_utime + used.ru_stime,
        "peak_bytes": used.ru_maxrss * unit,
        "exit_code": os.waitstatus_to_exitcode(status),
    }
    print(json.dumps(taken))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
