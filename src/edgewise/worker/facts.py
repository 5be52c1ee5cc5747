"""What the machine is, and the state it is in: read from /proc and /sys, absent where unknown."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import numpy as np

# Instructions that decide what runs fast: int8 dot products, half precision, wide vectors.
FEATURES = frozenset((
    "avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "avx512_fp16",
    "amx_int8", "amx_bf16",
    "neon", "asimd", "asimddp", "asimdhp", "fphp", "i8mm", "bf16", "sve", "sve2",
))  # fmt: skip
_ROOT = Path("/")


def machine(root: Path = _ROOT) -> dict[str, Any]:
    """Facts that stay: processor, board, memory, system, Python. `root` is for tests."""
    cpuinfo = _lines(root / "proc/cpuinfo")
    board = _text(root / "proc/device-tree/model")
    flags = (cpuinfo.get("flags") or cpuinfo.get("Features") or "").split()
    return {
        "hostname": platform.node(),
        "architecture": platform.machine(),
        "cpu": _cpu(cpuinfo) or platform.processor() or "unknown",
        "board": (board or cpuinfo.get("Model") or "").rstrip("\0"),
        "features": sorted(FEATURES.intersection(flags)),
        "cores": os.cpu_count() or 1,
        "memory_bytes": _kilobytes(_lines(root / "proc/meminfo").get("MemTotal")),
        "system": _system(root),
        "kernel": platform.release(),
        "governor": ",".join(_governors(root)) or "unknown",
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def state(root: Path = _ROOT) -> dict[str, Any]:
    """Facts that change: clock, temperature, throttling, load; None where the system has none."""
    return {
        "frequency_hz": _frequency(root),
        "temperature_c": _temperature(root),
        "throttled": _throttled(root),
        "throttle_events": _throttle_events(root),
        "load_average": _load(root),
        "memory_available_bytes": _kilobytes(_lines(root / "proc/meminfo").get("MemAvailable")),
        "affinity": sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
    }


def memory(root: Path = _ROOT) -> dict[str, int] | None:
    """Resident bytes of this process, now and at most (VmRSS, VmHWM); None where unknown."""
    status = _lines(root / "proc/self/status")
    now, peak = _kilobytes(status.get("VmRSS")), _kilobytes(status.get("VmHWM"))
    return None if now is None or peak is None else {"now": now, "peak": peak}


def reset_peak(root: Path = _ROOT) -> bool:
    """Let the peak start again from what is resident now; False where that is not allowed."""
    try:
        (root / "proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _cpu(cpuinfo: dict[str, str]) -> str:
    if name := cpuinfo.get("model name"):
        return name
    if part := cpuinfo.get("CPU part"):  # ARM names its cores by number only
        return f"implementer {cpuinfo.get('CPU implementer', '?')} part {part}"
    return ""


def _system(root: Path) -> str:
    for line in _text(root / "etc/os-release").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.split("=", 1)[1].strip('"')
    return platform.system()


def _governors(root: Path) -> list[str]:
    files = (root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor")
    return sorted({text for file in files if (text := _text(file).strip())})


def _frequency(root: Path) -> int | None:
    """The fastest core's clock now."""
    files = (root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_cur_freq")
    clocks = [1000 * found for file in files if (found := _number(file)) is not None]
    if not clocks and (text := _lines(root / "proc/cpuinfo").get("cpu MHz")):
        return int(float(text) * 1e6)
    return max(clocks, default=None)


def _temperature(root: Path) -> float | None:
    """The hottest thermal zone."""
    files = (root / "sys/class/thermal").glob("thermal_zone*/temp")
    found = [value / 1000 for file in files if (value := _number(file)) is not None]
    return max(found, default=None)


def _throttled(root: Path) -> bool | None:
    """A Raspberry Pi's own word: bits 0 to 3 are under-voltage and limits that hold now."""
    text = _text(root / "sys/devices/platform/soc/soc:firmware/get_throttled").strip()
    try:
        return bool(int(text, 16) & 0xF)
    except ValueError:
        return None


def _throttle_events(root: Path) -> int | None:
    """How often any core has been slowed down by heat since the start (x86)."""
    files = (root / "sys/devices/system/cpu").glob("cpu[0-9]*/thermal_throttle/*_throttle_count")
    counts = [found for file in files if (found := _number(file)) is not None]
    return sum(counts) if counts else None


def _load(root: Path) -> float | None:
    try:
        return float(_text(root / "proc/loadavg").split()[0])
    except (IndexError, ValueError):
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    try:
        return int(_text(path))
    except ValueError:
        return None


def _lines(path: Path) -> dict[str, str]:
    """The first value of each `name : value` line."""
    found: dict[str, str] = {}
    for line in _text(path).splitlines():
        name, colon, value = line.partition(":")
        if colon:
            found.setdefault(name.strip(), value.strip())
    return found


def _kilobytes(text: str | None) -> int | None:
    try:
        return 1024 * int((text or "").split()[0])
    except (IndexError, ValueError):
        return None
