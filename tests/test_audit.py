from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.audit import explain, integer_share
from edgewise.stats import Interval

FASTER, TIE, SLOWER = Interval(3.0, 2.9, 3.1), Interval(1.01, 0.98, 1.04), Interval(0.5, 0.4, 0.6)
HALF = {"steps": [{"step": "fold"}, {"step": "half"}]}
STORED = {"steps": [{"step": "fold"}, {"step": "weight-only", "bits": 8}]}


def export(*layers: tuple[str, int, bool]) -> dict[str, Any]:
    """Of (operator, MACs, on integers)."""
    executions = [
        {"layer": f"layer{place}", "operator": operator, "macs": macs, "integer": integer,
         "meant": integer}
        for place, (operator, macs, integer) in enumerate(layers)
    ]  # fmt: skip
    return {"runtime": "onnxruntime", "executions": executions}


WHOLE = export(("QLinearConv", 90, True), ("QGemm", 10, True))
FLOAT = export(("Conv", 90, False), ("Gemm", 10, False))
DYNAMIC = export(("ConvInteger", 90, True), ("DynamicQuantizeMatMul", 10, True))
PARTLY = export(("QLinearConv", 20, True), ("Conv", 70, False), ("Gemm", 10, False))


@pytest.mark.parametrize(
    ("ratio", "said"),
    [
        (FASTER, "It is 3.00 times as fast as the baseline (95 % interval 2.90 to 3.10)."),
        (SLOWER, "It is slower than the baseline, at 0.50 times its speed"),
        (TIE, "1.01 times its speed (95 % interval 0.98 to 1.04) is a tie."),
        (None, "Its speed was not measured."),
    ],
)
@pytest.mark.parametrize("result", [WHOLE, FLOAT, PARTLY, DYNAMIC])
def test_the_verdict_comes_first(result: dict[str, Any], ratio: Interval, said: str) -> None:
    text = explain(result, ratio)
    assert said in text
    assert text.index(said) < 80


def test_half_precision_is_storage() -> None:
    said = (
        "Half precision halves the file and not the time, because ONNX Runtime widens the weights "
        "to float32 once, when it loads: all 2 layers run in float32 (Conv, Gemm)."
    )
    assert explain(FLOAT, TIE, HALF).endswith(said)
    assert said in explain(FLOAT, FASTER, HALF)
    assert explain(FLOAT, FASTER, HALF).endswith("such as the machine's state.")
    assert "Half precision" not in explain(FLOAT, TIE)
    assert explain(FLOAT, TIE).endswith("No layer runs on integers: all 2 run Conv, Gemm.")


@pytest.mark.parametrize("ratio", [FASTER, TIE, SLOWER, None])
def test_pruned_links_are_said_to_save_room_and_no_time(ratio: Interval | None) -> None:
    steps = [{"step": "prune-links", "sparsity": 0.9}, {"step": "quantize"}]
    text = explain(WHOLE, ratio, {"steps": steps})
    assert "ONNX Runtime multiplies by zeros as by anything else" in text
    assert "edgewise pack" in text
    assert "zeros" not in explain(WHOLE, ratio, {"steps": [{"step": "prune-channels"}]})


def test_weights_stored_as_integers_shrink_the_file_alone() -> None:
    said = (
        "Storing weights as integers shrinks the file and not the time, because ONNX Runtime "
        "widens the weights to float32 once, when it loads: all 2 layers run in float32 "
        "(Conv, Gemm)."
    )
    assert explain(FLOAT, TIE, STORED).endswith(said)
    assert explain(FLOAT, None, STORED).endswith(said)
    assert explain(FLOAT, SLOWER, STORED).endswith("such as the machine's state.")
    assert "shrinks the file" not in explain(WHOLE, TIE, STORED), "layers do run on integers"
    assert "shrinks the file" not in explain(FLOAT, TIE)


RANGES = "ONNX Runtime computes them at every inference"


@pytest.mark.parametrize(
    ("ratio", "end"),
    [
        (FASTER, f"{RANGES}."),
        (None, f"{RANGES}."),
        (TIE, "are no faster on this processor than the float ones."),
        (SLOWER, "are slower on this processor than the float ones."),
    ],
)
def test_ranges_found_at_every_inference_are_said_and_blamed_only_as_measured(
    ratio: Interval | None, end: str
) -> None:
    text = explain(DYNAMIC, ratio, None, ["asimd"])
    assert text.endswith(end)
    assert "All of the MACs run on integers (ConvInteger, DynamicQuantizeMatMul)." in text
    assert f"Ranges of activations are not in the file: {RANGES}" in text
    assert ("slower on this processor" in text) == (ratio is SLOWER)
    assert "no dot products" not in text
    partly = export(("ConvInteger", 50, True), ("Conv", 50, False))
    assert "in float: layer1 (Conv)" in explain(partly, ratio)
    assert explain(partly, ratio).endswith(end)


@pytest.mark.parametrize("result", [WHOLE, FLOAT, PARTLY])
@pytest.mark.parametrize("ratio", [FASTER, TIE, SLOWER, None])
def test_ranges_that_are_in_the_file_are_not_said_to_be_computed(
    result: dict[str, Any], ratio: Interval | None
) -> None:
    assert "every inference" not in explain(result, ratio, STORED)


def test_float_layers_are_named_the_largest_first() -> None:
    text = explain(PARTLY, TIE)
    assert "Only 20.0 % of the MACs run on integers" in text
    assert "in float: layer1 (Conv), layer2 (Gemm)." in text
    assert "it could be 1.2 times as fast" in text


def test_many_float_layers_are_counted() -> None:
    text = explain(
        export(("QGemm", 50, True), *[("Conv", place, False) for place in range(9)]), TIE
    )
    assert "layer9 (Conv), layer8 (Conv), layer7 (Conv) and 6 more" in text


def test_a_bound_that_is_passed_is_not_stated() -> None:
    """A pruned network is faster than its share of integers alone allows."""
    assert "could be" not in explain(PARTLY, FASTER)


def test_integers_everywhere_need_another_reason() -> None:
    assert explain(WHOLE, FASTER).endswith("All of the MACs run on integers (QLinearConv, QGemm).")
    assert "layers left in float are not the reason" in explain(WHOLE, TIE, None, ["avx_vnni"])
    assert "no dot products of bytes" in explain(WHOLE, SLOWER, None, ["asimd"])
    assert "no dot products of bytes" not in explain(WHOLE, SLOWER)  # features unknown


def test_nearly_all_is_not_all() -> None:
    text = explain(export(("QLinearConv", 10**9, True), ("Gemm", 1, False)), FASTER)
    assert "99.9 % of the MACs" in text
    assert "in float: layer1 (Gemm)" in text


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 10**12), st.booleans())))
def test_the_share_is_of_macs(layers: list[tuple[str, int, bool]]) -> None:
    share = integer_share(export(*layers)["executions"])
    total = sum(macs for _, macs, _ in layers)
    assert share * max(total, 1) == pytest.approx(sum(macs for _, macs, on in layers if on))


OPERATORS = st.text() | st.sampled_from(["ConvInteger", "MatMulInteger", "QLinearConv"])


@given(
    st.lists(st.tuples(OPERATORS, st.integers(0, 10**12), st.booleans()), max_size=5),
    st.none() | st.sampled_from([FASTER, TIE, SLOWER]),
    st.sampled_from([None, HALF, STORED, {}, {"steps": None}, {"steps": []}, {"steps": [None]}]),
)
def test_there_is_always_a_sentence(
    layers: list[tuple[str, int, bool]], ratio: Interval | None, recipe: dict[str, Any] | None
) -> None:
    assert explain(export(*layers), ratio, recipe).endswith(".")
