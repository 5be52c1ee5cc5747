from typing import Any

import pytest

from edgewise.devices.capability import capabilities, refusals


def facts(**changed: Any) -> dict[str, Any]:
    return {
        "machine": {"features": changed.get("features", [])},
        "runtimes": changed.get("runtimes", {"onnxruntime": "1.2"}),
        "missing": changed.get("missing", {}),
        "state": {"memory_available_bytes": changed.get("memory", 10**9)},
    }


@pytest.mark.parametrize(
    ("features", "int8", "fp16"),
    [
        ([], False, False),
        (["avx2", "avx512f"], False, False),
        (["avx512_vnni"], True, False),
        (["asimd"], False, False),
        (["asimd", "asimddp", "asimdhp"], True, True),
        (["i8mm"], True, False),
    ],
)
def test_instructions_decide_what_is_fast(features: list[str], int8: bool, fp16: bool) -> None:
    found = {one.name: one.able for one in capabilities(facts(features=features))}
    assert (found["fast int8"], found["fast fp16"]) == (int8, fp16)


def test_slow_is_no_reason_to_refuse() -> None:
    assert refusals(capabilities(facts())) == ()


def test_a_device_without_a_runtime_is_refused_with_what_would_do() -> None:
    found = capabilities(facts(runtimes={}, missing={"onnxruntime": "Install it."}))
    assert refusals(found) == ("no runtime. Install it.",)


def test_a_device_without_memory_is_refused() -> None:
    (reason,) = refusals(capabilities(facts(memory=10**8)))
    assert "100 MB free" in reason
    assert refusals(capabilities(facts(memory=None))) == ()
