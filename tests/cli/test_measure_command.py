import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from edgewise.cli import devices as devices_command
from edgewise.cli import measure as measure_command
from edgewise.cli.common import console
from edgewise.devices.fake import FakeDevice, steady
from edgewise.errors import DeviceError, EdgewiseError, UsageError
from edgewise.series.files import load_series
from edgewise.store import digest_file


@pytest.fixture
def artifacts(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / name for name in ("float.onnx", "int8.onnx")]
    for path in paths:
        path.write_text(path.name)
    return paths


@pytest.fixture
def fake(artifacts: list[Path], monkeypatch: pytest.MonkeyPatch) -> FakeDevice:
    device = FakeDevice(steady({digest_file(artifacts[0]): 4e-3, digest_file(artifacts[1]): 1e-3}))
    monkeypatch.setattr(measure_command, "connect", lambda url: device)
    monkeypatch.setattr(devices_command, "connect", lambda url: device)
    monkeypatch.setattr(console, "width", 200)
    return device


def invoke(command: Any, *arguments: Any) -> Result:
    result = CliRunner().invoke(command, [str(one) for one in arguments])
    if isinstance(result.exception, EdgewiseError):
        raise result.exception
    return result


@pytest.mark.usefixtures("fake")
def test_json_is_one_object_with_what_a_script_needs(artifacts: list[Path]) -> None:
    shown = json.loads(invoke(measure_command.command, *artifacts, "--quick", "--json").stdout)
    result = shown["result"]
    assert shown["command"] == "measure"
    assert (result["mode"], result["condition"]) == ("quick", "as-shipped")
    assert [one["name"] for one in result["measurements"]] == ["float", "int8"]
    assert result["measurements"][1]["speed_up"]["value"] == pytest.approx(4, 0.05)
    assert result["measurements"][1]["statistics"]["p99_s"] is None


@pytest.mark.usefixtures("fake")
def test_the_table_says_how_it_was_measured(
    artifacts: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    measure_command.command.main([*map(str, artifacts), "--quick"], standalone_mode=False)
    shown = capsys.readouterr().out
    for part in ("quick measurement on fake (as-shipped)", "1 thread", "float", "baseline", "int8",
                 "p50", "p95", "own memory", "20 MB", "100 %", "[95 %]"):  # fmt: skip
        assert part in shown
    assert max(map(len, shown.splitlines()[1:])) <= 80
    assert re.search(r"\[3\.\d\d, 4\.\d\d\]", shown)


def test_full_is_what_is_done_without_quick(artifacts: list[Path], fake: FakeDevice) -> None:
    invoke(measure_command.command, artifacts[0], "--rounds", 2, "--threads", 3, "--seed", 5,
           "--json")  # fmt: skip
    protocol = fake.jobs[0]["protocol"]
    assert protocol["label"] == "full"
    assert (protocol["rounds"], protocol["threads"], protocol["seed"]) == (2, 3, 5)


@pytest.mark.usefixtures("fake")
def test_the_record_holds_the_raw_samples(artifacts: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "measured.json"
    shown = invoke(measure_command.command, *artifacts, "--quick", "--json", "-o", out)
    stored = load_series(out)
    assert stored.to_json() == json.loads(shown.stdout)["result"]
    assert stored.measurements[0].statistics.count == len(
        np.load(tmp_path / "measured-samples" / "0.npy")
    )


def test_data_are_what_is_timed(artifacts: list[Path], fake: FakeDevice, tmp_path: Path) -> None:
    images = tmp_path / "images.npz"
    np.savez(images, images=np.zeros((40, 8, 8, 3), np.uint8))
    invoke(measure_command.command, artifacts[0], "--quick", "--json", "--data", images)
    assert fake.jobs[0]["images"] == "inputs.npz"
    assert fake.jobs[0]["contract"]["height"] == 8


@pytest.mark.usefixtures("fake")
def test_files_of_one_name_are_told_apart_by_their_folder(tmp_path: Path) -> None:
    paths = [tmp_path / folder / "float.onnx" for folder in ("a", "b")]
    for path in paths:
        path.parent.mkdir()
        path.write_text("float.onnx")
    shown = json.loads(invoke(measure_command.command, *paths, "--quick", "--json").stdout)
    assert [one["name"] for one in shown["result"]["measurements"]] == list(map(str, paths))


@pytest.mark.usefixtures("fake")
def test_bad_requests_are_refused(artifacts: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no artifact"):
        invoke(measure_command.command, tmp_path / "absent.onnx", "--quick")
    with pytest.raises(UsageError, match="is a folder"):
        invoke(measure_command.command, artifacts[0], "-o", tmp_path)
    assert invoke(measure_command.command).exit_code == 2
    assert invoke(measure_command.command, artifacts[0], "--threads", 0).exit_code == 2


def test_an_unknown_device_is_refused(artifacts: list[Path]) -> None:
    with pytest.raises(UsageError, match="what can be used is local"):
        invoke(measure_command.command, artifacts[0], "--device", "ssh://pi")


def test_this_machine_can_be_checked(capsys: pytest.CaptureFixture[str]) -> None:
    devices_command.command.main(["check", "local", "--json"], standalone_mode=False)
    result = json.loads(capsys.readouterr().out)["result"]
    assert result["device"] == "local"
    assert "onnxruntime" in result["runtimes"]
    assert {one["name"] for one in result["capabilities"]} == {
        "runtime", "memory", "fast int8", "fast fp16"}  # fmt: skip


@pytest.mark.usefixtures("fake")
def test_a_check_is_shown_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    devices_command.command.main(["check", "fake"], standalone_mode=False)
    shown = capsys.readouterr().out
    for part in ("Fake Board", "1.50 GHz", "50 °C", "yes: onnxruntime 1.0.0", "no: no amx_int8"):
        assert part in shown


def test_a_device_without_a_runtime_fails_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    def bare(job: Any, folder: Path) -> Any:
        return {**steady({})(job, folder), "runtimes": {}, "missing": {"onnxruntime": "Install."}}

    monkeypatch.setattr(devices_command, "connect", lambda url: FakeDevice(bare))
    with pytest.raises(DeviceError, match="nothing can be run on fake: no runtime. Install."):
        invoke(devices_command.command, "check", "fake")


def test_torch_is_not_loaded_to_measure() -> None:
    code = "import sys, edgewise.cli.measure, edgewise.cli.devices; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
