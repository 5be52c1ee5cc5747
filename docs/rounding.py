"""A section of docs/benchmarks.md from the record of `python -m benchmarks.rounding`."""

from pathlib import Path

from docs.markdown import table
from edgewise import store, units

ROOT = Path(__file__).parent.parent
RECORD = ROOT / "records" / "bench" / "rounding.json"


def section() -> list[str]:
    """Headings, sentences and a table; nothing where there is no record."""
    if not RECORD.is_file():
        return []
    record = store.read_record(RECORD)
    rows = []
    for one in record["result"]["variants"]:
        gained = one.get("difference")
        shown = ""
        if gained is not None:
            low, high = units.points(gained["low"]), units.points(gained["high"])
            shown = f"{units.points(gained['value'])} ({low} to {high})"
        rows.append((one["name"], units.percent(one["accuracy"]["value"]), shown,
                     one.get("against", "")))  # fmt: skip
    request = record["request"]
    return [
        "## More than rounding to nearest (`python -m benchmarks.rounding`)",
        f"The bundled VGG-16 after training, on {request['images']:,} test images of "
        f"{request['data']}, each artifact run in ONNX Runtime. *adaround-N* has seed N; *unequal* "
        "is the same function with every channel scaled by up to a hundred or down by as much, "
        "which equalization takes back. Intervals are 95 %, of one network and one test set.",
        table(("artifact", "accuracy", "difference, paired", "from"), rows),
    ]
