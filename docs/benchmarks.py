"""Writes docs/benchmarks.md from the records of `make bench` and `make zoo`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from docs import calibration, detector, litert, pruning, rounding
from docs.markdown import table, times
from edgewise import store, units

ROOT = Path(__file__).parent.parent
PEERS = ROOT / "records" / "bench" / "vgg16-peers.json"
STEPS = ROOT / "records" / "bench" / "vgg16-qat-steps.json"
ZOO = ROOT / "records" / "zoo.json"
PAGE = ROOT / "docs" / "benchmarks.md"


def page() -> str:
    """The page, every figure of it from a record."""
    peers, zoo = store.read_record(PEERS), store.read_record(ZOO)
    parts = [
        "# Beside other tools, and on other people's networks",
        "Written by `make figures` from `records/bench` and `records/zoo.json`. Times are of the "
        f"machine that made the record ({peers['machine']['cpu']}, {peers['machine']['cores']} "
        "cores); ratios do not carry over to another processor.",
        "## VGG-16 at full width (`make bench`)",
        f"One interleaved run, batch 1, one thread, recorded {peers['created'][:10]}; "
        f"{_versions(peers['result']['peers'])}. Medians with 95 % intervals.",
        _latency(peers["result"]),
        " ".join(peers["result"]["latency"]["remarks"]),
        f"Post-training quantization as a whole process, 256 images unless said, "
        f"{peers['request']['threads_of_ptq']} threads; medians.",
        _costs(peers["result"]),
        "What was promised, and what these figures say:",
        _promises(peers["result"]),
        *_steps_section(),
        *rounding.section(),
        *pruning.section(),
        *litert.section(),
        *detector.section(),
        *calibration.section(),
        "## Networks that nobody here wrote (`make zoo`)",
        "Random weights, 224x224, through `edgewise compress file.py:factory --data random "
        "--input-shape 3,224,224 --recipe int8 --target onnx`. *Codes off* is the largest "
        "difference from the exact integer twin at any tensor, teacher-forced; with random weights "
        "nothing can be said of accuracy.",
        _zoo(zoo["result"]["networks"]),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def write() -> None:
    """Write the page."""
    store.write_bytes(PAGE, page().encode())


def _versions(found: Mapping[str, str | None]) -> str:
    return ", ".join(f"{name} {version}" for name, version in found.items() if version)


def _latency(result: Mapping[str, Any]) -> str:
    rows = []
    for one in result["latency"]["measurements"]:
        p50, over = one["statistics"]["p50_s"], result["latency_over_ours"].get(one["name"])
        rows.append(
            (
                one["name"],
                units.size(one["size_bytes"]),
                f"{units.seconds(p50['value'])} ({units.seconds(p50['low'])} to "
                f"{units.seconds(p50['high'])})",
                times(one["speed_up"]),
                "" if over is None else times(over),
            )
        )
    return table(("artifact", "size", "latency p50", "over float32", "its time over ours"), rows)


def _promises(result: Mapping[str, Any]) -> str:
    rows = ((one["promise"], one["verdict"], one["figures"]) for one in result["promises"])
    return table(("promise", "", "figures"), rows)


def _steps_section() -> list[str]:
    if not STEPS.exists():  # the second half of `make bench`, which can be run alone
        return []
    record = store.read_record(STEPS)
    heading = "## A step of quantization-aware training (`make bench`)"
    result = record["result"]
    return [heading, _steps_made(record), _steps(result), _promises(result)]


def _steps_made(record: Mapping[str, Any]) -> str:
    asked = record["request"]
    return (
        f"VGG-16 at full width, a batch of {asked['batch']}, {asked['threads']} threads, "
        f"{asked['rounds']} rounds of {asked['steps']} steps in which every contender, a process "
        f"of its own, had its turn, recorded {record['created'][:10]}; "
        f"{_versions(record['result']['peers'])}. From images that are there to updated weights, "
        "forward, backward and SGD, 8 bits, without distillation: the recipes here add it, the "
        "peers have none. Medians with 95 % intervals; bfloat16 means autocast."
    )


def _steps(result: Mapping[str, Any]) -> str:
    rows = [
        (
            one["name"],
            one["form"],
            units.seconds(one["median_s"]),
            times(one["over_float"]),
            times(one["over_ours"]),
        )
        for one in result["figures"]
    ]
    for one in result["contenders"]:
        problems = {"": one["problem"]} if one["problem"] else one["problems"]
        rows += [(one["name"], form, problem, "", "") for form, problem in problems.items()]
    headings = ("", "trained in", "step", "over the better float32", "its time over ours")
    return table(headings, rows)


def _costs(result: Mapping[str, Any]) -> str:
    rows = [
        (
            one["name"],
            one["problem"] or units.seconds(one["wall_s"]),
            "" if one["problem"] else units.seconds(one["cpu_s"]),
            "" if one["problem"] else units.size(one["peak_bytes"]),
        )
        for one in (*result["quantizing"], *result["growing"])
    ]
    return table(("", "time", "CPU time", "peak memory"), rows)


def _zoo(networks: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (
            one["network"],
            f"{one['library']} {one['version']}",
            one["outcome"],
            str(one["worst_code"]),
            f"{one['integer']} of {one['layers']}",
            units.percent(one["integer_mac_share"], 0),
            units.seconds(one["wall_s"]),
        )
        for one in networks
    ]
    headings = ("network", "from", "outcome", "codes off", "layers in int8", "MACs in int8", "time")
    return table(headings, rows)


if __name__ == "__main__":
    write()
