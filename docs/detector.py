"""A section of docs/benchmarks.md from the record of benchmarks.detector."""

from pathlib import Path

from docs.markdown import table, times
from edgewise import store, units

RECORD = Path(__file__).parent.parent / "records" / "bench" / "detector.json"


def section() -> list[str]:
    """Heading, sentences and tables; nothing where there is no record."""
    if not RECORD.is_file():
        return []
    record = store.read_record(RECORD)
    result = record["result"]
    latency = result["latency"]
    rows = [
        (
            one["name"],
            units.size(one["size_bytes"]),
            units.seconds(one["statistics"]["p50_s"]["value"]),
            times(one["speed_up"]),
        )
        for one in latency["measurements"]
    ]
    rows += [
        (one["name"], one["problem"], "", "") for one in result["quantizing"] if one["problem"]
    ]
    packages = ", ".join(f"{name} {found}" for name, found in result["packages"].items() if found)
    promises = ((one["promise"], one["verdict"], one["figures"]) for one in result["promises"])
    return [
        "## YOLOv3 of full size (`python -m benchmarks.detector`)",
        "20 classes, 416x416, batch 1, one thread, one interleaved run on "
        f"{record['machine']['cpu']}, recorded {record['created'][:10]}; {packages}. Weights are "
        "random: for speed and size alone. In ONNX Runtime where no other runtime is named; "
        "medians with 95 % intervals.",
        table(("artifact", "size", "latency p50", "over float32"), rows),
        " ".join(latency["remarks"]),
        "What was promised, and what these figures say:",
        table(("promise", "", "figures"), promises),
    ]
