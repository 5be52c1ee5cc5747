"""Time, size, memory and processor of a study's artifacts on a device: stored, and in rows."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from edgewise import units
from edgewise.devices.url import connect
from edgewise.dispatch import Variant
from edgewise.measure import FULL, QUICK, Inputs, measure
from edgewise.series.files import save_series
from edgewise.series.series import Series
from edgewise.study import Bench
from edgewise.worker.job import Protocol

# For networks of which a thousand inferences take many minutes.
SLOW = Protocol("hundred", samples=100, seconds=10, cap_s=90,
                warm_up_count=3, warm_up_s=1, warm_up_cap_s=10)  # fmt: skip
PROTOCOLS = {one.label: one for one in (QUICK, FULL, SLOW)}
HEADINGS = (
    "file", "latency p50", "images a second", "over the first", "memory of the model",
    "of the process", "CPU",
)  # fmt: skip


def take(
    variants: Sequence[Variant], inputs: Inputs, label: str, url: str, name: str, bench: Bench
) -> dict[str, Any]:
    """Measure artifacts on a device, keep the raw samples beside the cell, and give its result.

    label: of the protocol, quick or full; url: of the device; name: of the cell.
    """
    with connect(url) as device:
        series = measure(variants, device, PROTOCOLS[label], bench.progress, inputs)
    save_series(series, bench.folder / f"{name}-series.json")
    return facts(series, url)


def facts(series: Series, url: str) -> dict[str, Any]:
    """What a cell stores of a series; url: of the device."""
    return {
        "device": url,
        "cpu": series.baseline.machine["cpu"],
        "mode": series.mode,
        "remarks": list(series.remarks()),
        "variants": [
            {
                "name": one.name,
                "size_bytes": one.size_bytes,
                "p50_s": asdict(one.statistics.p50_s),
                "speed_up": asdict(series.speed_up(one)),
                "own_bytes": one.memory.own_bytes,
                "process_bytes": one.memory.peak_bytes,
                "cpu_share": one.cpu_share,
            }
            for one in series.measurements
        ],
    }


def rows(result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Of stored facts: a row an artifact, its name first, then as HEADINGS."""
    variants = result["variants"]
    return [_row(one, is_first=one is variants[0]) for one in variants]


def rate(latency_s: float) -> str:
    """Images a second, one after the other."""
    return f"{1 / latency_s:.3g}"


def _row(one: Mapping[str, Any], is_first: bool) -> tuple[str, ...]:
    p50, speed = one["p50_s"], one["speed_up"]
    interval = f"{units.seconds(p50['low'])} to {units.seconds(p50['high'])}"
    times = f"{speed['value']:.2f}x ({speed['low']:.2f} to {speed['high']:.2f})"
    return (
        f"ours: {one['name']}",
        units.size(one["size_bytes"]),
        f"{units.seconds(p50['value'])} ({interval})",
        rate(p50["value"]),
        "" if is_first else times,
        _bytes(one["own_bytes"]),
        _bytes(one["process_bytes"]),
        _share(one.get("cpu_share")),
    )


def _bytes(count: int | None) -> str:
    return "not measured" if count is None else units.size(count)


def _share(value: float | None) -> str:
    return "not measured" if value is None else units.percent(value, 0)
