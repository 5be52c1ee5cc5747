"""A section of docs/benchmarks.md from the record of benchmarks.litert."""

from pathlib import Path

from docs.markdown import table, times
from edgewise import store, units

RECORD = Path(__file__).parent.parent / "records" / "bench" / "litert.json"


def section() -> list[str]:
    """Heading, sentences and a table; nothing where there is no record."""
    if not RECORD.is_file():
        return []
    record = store.read_record(RECORD)
    result = record["result"]
    rows = [
        (
            one["name"],
            units.size(one["size_bytes"]),
            units.seconds(one["p50_s"]["value"]),
            times(one["speed_up"]),
            str(one.get("free_running_code", "")),
        )
        for one in result["variants"]
    ]
    asked, theirs = record["request"], result["oracle"]
    whose = "Another converter's files were not made: " + str(theirs["problem"]) + "."
    if not theirs["problem"]:
        packages = ", ".join(f"{name} {version}" for name, version in theirs["packages"].items())
        over = "; ".join(f"{name}, its time over ours: {times(one)}"
                         for name, one in theirs["over_ours"].items())  # fmt: skip
        whose = f"Beside ours are files of {packages}; {over}."
    return [
        "## VGG-16 at full width in LiteRT (`python -m benchmarks.litert`)",
        f"One interleaved run on {result['cpu']}, XNNPACK, batch 1, one thread "
        f"({asked['protocol']} measurement), recorded {record['created'][:10]}; weights are random "
        "and change neither time nor size. Medians with 95 % intervals. *Codes off* is the largest "
        f"difference from the integer twin, free-running. {whose}",
        table(("artifact", "file", "latency p50", "over float32", "codes off"), rows),
        " ".join(result["remarks"]),
    ]
