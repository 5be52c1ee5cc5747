import json
from pathlib import Path

import pytest

from edgewise.worker import facts

PI = {
    "proc/cpuinfo": "processor\t: 0\nFeatures\t: fp asimd evtstrm crc32 cpuid\n"
    "CPU implementer\t: 0x41\nCPU part\t: 0xd08\n\nprocessor\t: 1\nCPU part\t: 0xd0b\n\n"
    "Model\t\t: Raspberry Pi 4 Model B Rev 1.4\n",
    "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
    "proc/meminfo": "MemTotal:        3884360 kB\nMemAvailable:    3000000 kB\n",
    "proc/loadavg": "0.42 0.30 0.20 1/200 1234\n",
    "proc/self/status": "Name:\tpython\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n",
    "etc/os-release": 'NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand\n",
    "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor": "ondemand\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "600000\n",
    "sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq": "1500000\n",
    "sys/class/thermal/thermal_zone0/temp": "51121\n",
    "sys/class/thermal/thermal_zone1/temp": "not a number\n",
    "sys/devices/platform/soc/soc:firmware/get_throttled": "50005\n",
}


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_a_raspberry_pi_is_recognised(tmp_path: Path) -> None:
    found = facts.machine(tree(tmp_path, PI))
    assert found["cpu"] == "implementer 0x41 part 0xd08"
    assert found["board"] == "Raspberry Pi 4 Model B Rev 1.4"
    assert found["features"] == ["asimd"]
    assert found["memory_bytes"] == 3884360 * 1024
    assert found["system"] == "Debian GNU/Linux 12 (bookworm)"
    assert found["governor"] == "ondemand"


def test_its_state_is_read(tmp_path: Path) -> None:
    found = facts.state(tree(tmp_path, PI))
    assert found["frequency_hz"] == 1_500_000_000
    assert found["temperature_c"] == 51.121
    assert found["throttled"] is True
    assert found["load_average"] == 0.42
    assert found["memory_available_bytes"] == 3000000 * 1024


@pytest.mark.parametrize(("word", "now"), [("0", False), ("50000", False), ("4", True)])
def test_what_was_once_throttled_is_not_throttled_now(tmp_path: Path, word: str, now: bool) -> None:
    name = "sys/devices/platform/soc/soc:firmware/get_throttled"
    assert facts.state(tree(tmp_path, {name: word}))["throttled"] is now


def test_an_x86_machine_is_recognised(tmp_path: Path) -> None:
    count = "sys/devices/system/cpu/cpu{}/thermal_throttle/core_throttle_count"
    root = tree(tmp_path, {
        "proc/cpuinfo": "model name\t: Some CPU @ 2.0GHz\ncpu MHz\t\t: 2600.5\n"
                        "flags\t\t: fpu sse2 avx2 avx512_vnni\n",
        count.format(0): "3\n", count.format(1): "4\n",
    })  # fmt: skip
    assert facts.machine(root)["cpu"] == "Some CPU @ 2.0GHz"
    assert facts.machine(root)["features"] == ["avx2", "avx512_vnni"]
    assert facts.state(root)["frequency_hz"] == 2_600_500_000
    assert facts.state(root)["throttle_events"] == 7


def test_what_a_system_does_not_say_is_absent(tmp_path: Path) -> None:
    state = facts.state(tmp_path)
    assert {state[name] for name in state if name != "affinity"} == {None}
    machine = facts.machine(tmp_path)
    assert (machine["memory_bytes"], machine["governor"], machine["board"]) == (None, "unknown", "")
    assert facts.memory(tmp_path) is None
    assert facts.reset_peak(tmp_path) is False


def test_resident_memory_is_in_bytes(tmp_path: Path) -> None:
    assert facts.memory(tree(tmp_path, PI)) == {"now": 1024 * 1024, "peak": 2048 * 1024}


def test_this_machine_can_be_sent_as_json() -> None:
    both = {**facts.machine(), **facts.state()}
    assert json.loads(json.dumps(both, allow_nan=False)) == both
