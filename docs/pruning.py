"""Sections of docs/benchmarks.md from the records of benchmarks.channels and .importance."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from docs.markdown import table, times
from edgewise import store, units

BENCH = Path(__file__).parent.parent / "records" / "bench"
CHANNELS, IMPORTANCE = BENCH / "channels.json", BENCH / "importance.json"


def section() -> list[str]:
    """Headings, sentences and tables; nothing where there is no record."""
    made: list[str] = []
    if CHANNELS.is_file():
        made += _channels(store.read_record(CHANNELS))
    if IMPORTANCE.is_file():
        made += _importance(store.read_record(IMPORTANCE))
    return made


def _channels(record: Mapping[str, Any]) -> list[str]:
    result, asked = record["result"], record["request"]
    scores = [
        (
            one["name"],
            units.percent(one["accuracy"]["value"]),
            _points(one["difference"]),
            units.count(one["macs"]),
            units.size(one["size_bytes"]),
        )
        for one in result["variants"]
    ]
    latencies = [
        (one["name"], units.seconds(one["p50_s"]["value"]), times(one["speed_up"]))
        for one in (*result["bundled"], *result["full_width"])
    ]
    return [
        "## Half of the multiply-accumulates, by channels (`python -m benchmarks.channels`)",
        f"The bundled VGG-16 with half of its MACs cut by either criterion, trained on for "
        f"{asked['epochs']} epochs of {asked['data']} with the whole network as its teacher; every "
        "accuracy is of an artifact in ONNX Runtime on all test images, its difference paired with "
        "the whole network in float.",
        table(("artifact", "accuracy", "difference, points", "MACs", "file"), scores),
        f"Latency of the int8 artifacts, batch 1, one thread ({asked['protocol']} measurement); "
        "each is beside the whole network of its width. The bundled network is so small that what "
        "every operator costs by itself rules; the one of full width has random weights.",
        table(("artifact", "latency p50", "over the whole"), latencies),
    ]


def _importance(record: Mapping[str, Any]) -> list[str]:
    rows = [
        (
            one["name"],
            units.seconds(one["closed_s"]),
            f"{one['times_cheaper']:,.0f}x",
            _epoch(one, "bfloat16"),
            _epoch(one, "float32"),
        )
        for one in record["result"]["cases"]
    ]
    asked = record["request"]
    return [
        "## The Shapley value of every link in closed form (`python -m benchmarks.importance`)",
        f"Medians of {asked['rounds']} rounds. *Cheaper* is against plain sampling of permutations "
        f"on the activations, run until the values have {100 * asked['error']:.0f} % relative "
        "error: what a permutation costs and how its values scatter is measured, and what all of "
        "them would take follows from that. An epoch is one of training over the same images.",
        table(("", "closed form", "cheaper than sampling", "over an epoch in bfloat16",
               "in float32"), rows),
    ]  # fmt: skip


def _epoch(one: Mapping[str, Any], form: str) -> str:
    over = one.get(f"over_epoch_{form}")
    return "" if over is None else f"{over:.2f}x of {units.seconds(one[f'epoch_{form}_s'])}"


def _points(one: Mapping[str, float]) -> str:
    low, high = units.points(one["low"]), units.points(one["high"])
    return f"{units.points(one['value'])} ({low} to {high})"
