"""A section of docs/benchmarks.md from the record of benchmarks.calibration."""

from pathlib import Path

from docs.markdown import table
from edgewise import store, units

RECORD = Path(__file__).parent.parent / "records" / "bench" / "calibration.json"


def section() -> list[str]:
    """Heading, sentences and a table; nothing where there is no record."""
    if not RECORD.is_file():
        return []
    record = store.read_record(RECORD)
    result = record["result"]
    rows = [
        (one["name"], units.size(one["peak_bytes"]), units.seconds(one["cpu_s"]))
        for one in result["processes"]
        if one["runs"]
    ]
    promises = (
        f"{one['verdict']}: {one['promise']}, {one['figures']}" for one in result["promises"]
    )
    return [
        "## Calibration of YOLOv3 of full size (`python -m benchmarks.calibration`)",
        "Whole processes, from photographs on disk to a verified int8 file, 416x416, one thread of "
        f"{record['machine']['cpu']}, recorded {record['created'][:10]}; single runs.",
        table(("calibrated on", "peak memory", "CPU time"), rows),
        *promises,
    ]
