import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise import store
from edgewise.errors import MeasurementError, StorageError
from edgewise.series.files import load_series, save_series
from edgewise.series.measurement import Measurement, Memory, Round, check_comparable
from edgewise.series.series import Series
from edgewise.worker.job import Protocol

PROTOCOL = Protocol("full", samples=1000, seconds=60, cap_s=600,
                    warm_up_count=10, warm_up_s=1, warm_up_cap_s=9, rounds=3)  # fmt: skip
MACHINE = {"hostname": "pi", "architecture": "aarch64", "cpu": "a72", "governor": "ondemand",
           "cores": 4, "runtime": "onnxruntime", "runtime_version": "1.2"}  # fmt: skip
STATE: Mapping[str, Any] = {"load_average": 0.1, "throttled": False, "throttle_events": None}


def one_round(median: float, count: int = 50, **more: Any) -> Round:
    samples = median * np.exp(0.01 * np.random.default_rng(count).standard_normal(count))
    facts = {"load_s": 0.1, "first_s": 0.2, "warm_up_runs": 12, "warm_up_s": 1.0, "stable": True,
             "complete": True, "cpu_share": 1.0, "before": STATE, "after": STATE}  # fmt: skip
    return Round(samples, **{**facts, **more})


def measurement(name: str, medians: list[float], count: int = 50, **more: Any) -> Measurement:
    facts = {"runtime": "onnxruntime", "digest": name * 8, "size_bytes": 10, "protocol": PROTOCOL,
             "machine": MACHINE, "memory": Memory(9, 4, "so")}  # fmt: skip
    rounds = tuple(one_round(median, count) for median in medians)
    return Measurement(name=name, rounds=rounds, **{**facts, **more})


def series(*medians: float, **more: Any) -> Series:
    baseline = measurement("float", list(medians or (4.0, 4.0, 4.0, 4.0)))
    return Series("ssh://pi", "as-shipped", (baseline, measurement("int8", [1.0] * 3, **more)))


def test_a_variant_is_compared_with_the_baseline_around_it() -> None:
    measured = series()
    found = measured.speed_up(measured.measurements[1])
    assert found.value == pytest.approx(4.0)
    assert found.low <= 4.0 <= found.high
    assert measured.speed_up(measured.baseline).value == 1.0


def test_p99_needs_a_thousand_samples() -> None:
    few, enough = measurement("a", [1.0] * 3, 333), measurement("b", [1.0] * 4, 250)
    assert few.statistics.p99_s is None
    assert enough.statistics.p99_s is not None
    assert enough.statistics.p99_s.value == np.quantile(
        enough.samples, 0.99, method="inverted_cdf"
    )  # fmt: skip


def test_statistics_are_those_of_all_samples() -> None:
    found = measurement("a", [1.0, 2.0, 3.0])
    assert found.statistics.count == 150
    assert found.statistics.min_s == found.samples.min()
    assert found.statistics.mean_s.value == pytest.approx(found.samples.mean())
    assert found.statistics.p50_s.value == sorted(found.samples)[74]


def test_drift_of_the_baseline_is_flagged_in_a_sentence() -> None:
    steady, drifting = series(4.0, 4.1, 4.0, 4.15), series(4.0, 4.1, 4.0, 4.25)
    assert not steady.drifted
    assert steady.remarks() == ()
    assert drifting.drifted
    assert drifting.drift == pytest.approx(4.25 / 4.0 - 1)
    assert "drifted by 6.2 %" in drifting.remarks()[0]
    assert drifting.to_json()["drifted"] is True


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"stable": False}, "int8: warm-up ended unstable in 1 of 3 rounds"),
        ({"complete": False}, "int8: 1 of 3 rounds ended at the time limit"),
        ({"after": {**STATE, "throttled": True}}, "throttled"),
        ({"before": {**STATE, "throttle_events": 1}}, "throttled"),
        ({"before": {**STATE, "load_average": 3.6}}, "busy"),
    ],
)
def test_what_makes_figures_doubtful_is_said(changed: dict[str, Any], said: str) -> None:
    measured = series()
    assert measured.remarks() == ()
    doubtful = measured.measurements[1]
    rounds = (one_round(1.0, **changed), *doubtful.rounds[1:])
    (remark,) = replace(
        measured, measurements=(measured.baseline, replace(doubtful, rounds=rounds))
    ).remarks()
    assert said in remark


@pytest.mark.parametrize("fact", ["hostname", "architecture", "cpu", "governor", "runtime_version"])
def test_measurements_of_unlike_machines_are_refused(fact: str) -> None:
    other = measurement("b", [1.0] * 3, machine={**MACHINE, fact: "another"})
    with pytest.raises(MeasurementError, match="another in the other") as caught:
        check_comparable([measurement("a", [1.0] * 3), other])
    assert fact.partition("_")[2] in str(caught.value)
    with pytest.raises(MeasurementError):
        series(machine={**MACHINE, fact: "another"})


@pytest.mark.parametrize("change", [{"threads": 2}, {"label": "quick"}, {"cores": (0,)}], ids=str)
def test_measurements_in_unlike_ways_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(MeasurementError, match="cannot be compared"):
        series(protocol=replace(PROTOCOL, **change))


def test_two_runtimes_may_be_compared_on_one_machine() -> None:
    machine = {**MACHINE, "runtime": "litert", "runtime_version": "2.3"}
    assert series(runtime="litert", machine=machine).measurements[1].runtime == "litert"


def test_unmeasured_memory_is_not_zero() -> None:
    assert Memory(9, 4, "so").own_bytes == 5
    assert Memory(None, None, "not measured").own_bytes is None


def same(one: Series, other: Series) -> bool:
    pairs = zip(one.measurements, other.measurements, strict=True)
    return one.to_json() == other.to_json() and all(
        np.array_equal(a.samples, b.samples)
        for left, right in pairs
        for a, b in zip(left.rounds, right.rounds, strict=True)
    )


@given(counts=st.lists(st.integers(1, 30), min_size=4, max_size=4))
def test_a_series_survives_json_with_its_samples(counts: list[int]) -> None:
    rounds = tuple(one_round(1.0, count) for count in counts)
    measured = Series("local", "as-shipped", (replace(measurement("a", [1.0]), rounds=rounds),))
    back = Series.from_json(
        json.loads(json.dumps(measured.to_json(), allow_nan=False)),
        [one.samples for one in measured.measurements],
    )
    assert same(measured, back)


def test_a_series_survives_the_disk(tmp_path: Path) -> None:
    measured = series()
    save_series(measured, tmp_path / "out" / "measured.json")
    assert same(load_series(tmp_path / "out" / "measured.json"), measured)
    record = store.read_record(tmp_path / "out" / "measured.json")
    assert record["kind"] == "measurement"
    assert record["inputs"] == {"float": "float" * 8, "int8": "int8" * 8}


def test_changed_samples_are_found_out(tmp_path: Path) -> None:
    path = tmp_path / "measured.json"
    save_series(series(), path)
    raw = tmp_path / "measured-samples" / "1.npy"
    np.save(raw, np.load(raw) / 2)
    with pytest.raises(StorageError, match="changed after it was written"):
        load_series(path)
    raw.unlink()
    with pytest.raises(StorageError, match="cannot be read"):
        load_series(path)


def test_what_is_no_measurement_is_refused(tmp_path: Path) -> None:
    store.Record("training", {}, {}, {}).save(tmp_path / "a.json")
    with pytest.raises(StorageError, match="kind 'training'"):
        load_series(tmp_path / "a.json")
    store.Record("measurement", {}, {}, {}).save(tmp_path / "b.json")
    with pytest.raises(StorageError, match="where its samples are"):
        load_series(tmp_path / "b.json")


@pytest.mark.parametrize(
    "change",
    [{"protocol": {}}, {"device": ...}, {"measurements": []}, {"measurements": [{}, {}]}],
    ids=str,
)
def test_a_damaged_record_is_refused(change: dict[str, Any]) -> None:
    measured = series()
    value = {**measured.to_json(), **change}
    value = {key: content for key, content in value.items() if content is not ...}
    with pytest.raises(StorageError, match="not a series"):
        Series.from_json(value, [one.samples for one in measured.measurements])


def test_samples_of_another_series_are_refused() -> None:
    measured = series()
    with pytest.raises(StorageError, match="not a series"):
        Series.from_json(measured.to_json(), [np.ones(7), np.ones(150)])


def test_rounds_have_to_lie_between_those_of_the_baseline() -> None:
    with pytest.raises(MeasurementError, match="one round more"):
        series(4.0, 4.0, 4.0)
    with pytest.raises(MeasurementError, match="no measurements"):
        Series("local", "as-shipped", ())
