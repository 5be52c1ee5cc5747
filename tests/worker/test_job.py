import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.measure import FULL, QUICK
from edgewise.worker.job import MODES, Job, WorkerError

LATENCY = Job("latency", "onnxruntime", "a.onnx", "00", output="s.npy", protocol=QUICK)

protocols = st.builds(
    replace,
    st.just(QUICK),
    samples=st.integers(1, 10**6),
    seconds=st.floats(0, 1e4),
    rounds=st.integers(1, 99),
    threads=st.integers(1, 64),
    seed=st.integers(0, 2**31),
    cores=st.lists(st.integers(0, 63), max_size=4).map(tuple),
)


@given(protocol=protocols, mode=st.sampled_from(MODES), batch=st.integers(1, 999))
def test_a_job_survives_the_wire(protocol: Any, mode: str, batch: int) -> None:
    job = Job(mode, "r", "a", "d", "i.npz", "o.npy", batch, {"schema": "x"}, protocol)
    assert Job.from_json(json.loads(json.dumps(job.to_json()))) == job


@given(protocol=protocols)
def test_rounds_together_reach_what_an_artifact_has_to(protocol: Any) -> None:
    assert protocol.rounds * protocol.round_samples >= protocol.samples
    assert protocol.rounds * protocol.round_seconds == pytest.approx(protocol.seconds)


def test_the_full_protocol_is_a_thousand_samples_and_a_minute() -> None:
    assert (FULL.samples, FULL.seconds, FULL.label, FULL.rounds) == (1000, 60, "full", 5)
    assert FULL.round_cap_s > FULL.round_seconds


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"mode": "dance"}, "no mode 'dance'"),
        ({"batch": 0}, "cannot hold 0"),
        ({"batch": True}, "batch cannot be True"),
        ({"batch": "1"}, "batch cannot be '1'"),
        ({"artifact": None}, "artifact cannot be None"),
        ({"colour": "red"}, "no 'colour'"),
        ({"protocol": None}, "needs a protocol"),
        ({"output": ""}, "needs an output"),
        ({"protocol": {"label": "quick"}}, "not a protocol"),
        ({"protocol": 3}, "protocol cannot be 3"),
        ({"contract": [1]}, "contract cannot be"),
    ],
)
def test_what_is_no_job_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(WorkerError, match=said):
        Job.from_json({**LATENCY.to_json(), **change})


@pytest.mark.parametrize(
    "change",
    [{"samples": 0}, {"rounds": 0}, {"threads": 0}, {"seconds": -1.0}, {"cap_s": float("inf")},
     {"cap_s": float("nan")}, {"cores": [-1]}, {"cores": ["0"]}, {"warm_up_count": 1}],
    ids=str,
)  # fmt: skip
def test_what_is_no_protocol_is_refused(change: dict[str, Any]) -> None:
    value = LATENCY.to_json()
    value["protocol"] = {**value["protocol"], **change}
    with pytest.raises(WorkerError, match="protocol's"):
        Job.from_json(value)


@pytest.mark.parametrize("value", [None, [], "job", 3], ids=str)
def test_what_is_no_object_is_refused(value: Any) -> None:
    with pytest.raises(WorkerError, match="is an object"):
        Job.from_json(value)


def test_a_job_lacks_nothing() -> None:
    with pytest.raises(WorkerError, match="missing"):
        Job.from_json({"runtime": "onnxruntime"})
    with pytest.raises(WorkerError, match="needs images"):
        Job("evaluate", output="o.npy")
