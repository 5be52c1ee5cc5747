"""Why a compressed network is as fast as it is, in plain words, from the kernels that run."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from edgewise import units
from edgewise.stats import Interval

_MOST = 0.95  # of the MACs on integers: from here on, float layers are not what limits
_NAMED = 3  # layers named before the rest is counted

# Any one of them multiplies bytes and adds up in one instruction.
_DOT_PRODUCTS = frozenset({"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"})
# Operators that quantize their input as it comes.
_DYNAMIC = frozenset(
    {
        "ConvInteger", "MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul",
        "dynamic CONV_2D", "dynamic FULLY_CONNECTED", "dynamic DEPTHWISE_CONV_2D without XNNPACK",
    }
)  # fmt: skip
_STORED = {  # last step -> what it does
    "half": "Half precision halves the file",
    "weight-only": "Storing weights as integers shrinks the file",
}
_RUNTIMES = {"onnxruntime": "ONNX Runtime", "litert": "LiteRT", "openvino": "OpenVINO"}


def explain(
    export: Mapping[str, Any],
    ratio: Interval | None,
    recipe: Mapping[str, Any] | None = None,
    features: Collection[str] | None = None,
) -> str:
    """Whether it is faster, and why or why not.

    export: an export record's result; ratio: times faster than the baseline, None where that was
    not measured; recipe: as stored, tells what is only stored in fewer bits; features: the
    processor's, as the worker reports them, None where unknown.
    """
    executions = export["executions"]
    share = integer_share(executions)
    names = {str(one["operator"]) for one in executions if one["integer"]}
    if share == 0 and (stored := _STORED.get(_last_step(recipe))):
        reason = _why_stored(stored, export, ratio)
    elif share == 0:
        reason = f"No layer runs on integers: all {len(executions)} run {_operators(executions)}."
    elif share < _MOST:
        reason = _why_partly(executions, share, ratio)
    else:
        reason = _why_mostly(executions, share, _faster(ratio) or bool(names & _DYNAMIC), features)
    if names & _DYNAMIC:
        reason += _why_dynamic(export, sorted(names & _DYNAMIC), ratio)
    if "prune-links" in _steps(recipe):
        reason += (
            f" Links that were pruned save no time: {_runtime(export)} multiplies by zeros as by "
            "anything else. They save room where the file is packed (`edgewise pack`)."
        )
    return f"{_verdict(ratio)} {reason}"


def integer_share(executions: Sequence[Mapping[str, Any]]) -> float:
    """Share of the multiply-accumulates that run on integers."""
    total = sum(int(one["macs"]) for one in executions)
    return sum(int(one["macs"]) for one in executions if one["integer"]) / max(total, 1)


def _verdict(ratio: Interval | None) -> str:
    if ratio is None:
        return "Its speed was not measured."
    if ratio.low > 1:
        return (
            f"It is {ratio.value:.2f} times as fast as the baseline "
            f"(95 % interval {ratio.low:.2f} to {ratio.high:.2f})."
        )
    if ratio.high < 1:
        return (
            f"It is slower than the baseline, at {ratio.value:.2f} times its speed "
            f"(95 % interval {ratio.low:.2f} to {ratio.high:.2f})."
        )
    return (
        f"It is neither faster nor slower than the baseline: {ratio.value:.2f} times its speed "
        f"(95 % interval {ratio.low:.2f} to {ratio.high:.2f}) is a tie."
    )


def _faster(ratio: Interval | None) -> bool:
    return ratio is None or ratio.low > 1


def _last_step(recipe: Mapping[str, Any] | None) -> str:
    """The name of a recipe's last step; nothing where there is none."""
    return (_steps(recipe) or [""])[-1]


def _steps(recipe: Mapping[str, Any] | None) -> list[str]:
    """The names of a recipe's steps; nothing for what is none."""
    steps = recipe.get("steps") if recipe is not None else None
    if not isinstance(steps, Sequence):
        return []
    return [str(step.get("step")) if isinstance(step, Mapping) else "" for step in steps]


def _why_stored(stored: str, export: Mapping[str, Any], ratio: Interval | None) -> str:
    executions = export["executions"]
    reason = (
        f"{stored} and not the time, because {_runtime(export)} widens the weights to float32 "
        f"once, when it loads: all {len(executions)} layers run in float32 "
        f"({_operators(executions)})."
    )
    if ratio is None or ratio.low <= 1 <= ratio.high:
        return reason
    return f"{reason} A difference in time has another cause, such as the machine's state."


def _why_dynamic(
    export: Mapping[str, Any], operators: Sequence[str], ratio: Interval | None
) -> str:
    """What ranges that are found at every inference cost, as far as the measurement shows it."""
    said = (
        f" Ranges of activations are not in the file: {_runtime(export)} computes them at every "
        "inference"
    )
    if ratio is None or ratio.low > 1:
        return f"{said}."
    than = "no faster" if ratio.high >= 1 else "slower"
    return (
        f"{said}, and with that the integer kernels ({', '.join(operators)}) are {than} on this "
        "processor than the float ones."
    )


def _runtime(export: Mapping[str, Any]) -> str:
    return str(_RUNTIMES.get(export["runtime"], export["runtime"]))


def _why_partly(
    executions: Sequence[Mapping[str, Any]], share: float, ratio: Interval | None
) -> str:
    most = 1 / (1 - share)
    reason = (
        f"Only {_amount(share)} of the MACs run on integers; in float: {_float_layers(executions)}."
    )
    if ratio is not None and ratio.value >= most:  # it also has fewer MACs than the baseline
        return reason
    return (
        f"{reason} If the integer layers took no time at all, it could be {most:.2g} times as "
        "fast, counted by MACs."
    )


def _why_mostly(
    executions: Sequence[Mapping[str, Any]],
    share: float,
    faster: bool,
    features: Collection[str] | None,
) -> str:
    integer = [one for one in executions if one["integer"]]
    reason = f"{_amount(share)} of the MACs run on integers ({_operators(integer)})"
    if len(integer) < len(executions):
        reason += f"; in float: {_float_layers(executions)}"
    if faster:
        return f"{reason}."
    if features is not None and not _DOT_PRODUCTS.intersection(features):
        return (
            f"{reason}, but this processor has no dot products of bytes (such as AVX-VNNI or "
            "NEON dotprod), so integers are hardly faster than floats on it."
        )
    return (
        f"{reason}, so layers left in float are not the reason: the time goes into what lies "
        "between the layers, or into integer kernels that are no faster than the float ones here."
    )


def _amount(share: float) -> str:
    return "All" if share == 1 else units.percent(min(share, 0.999), 1)


def _operators(executions: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(dict.fromkeys(str(one["operator"]) for one in executions))


def _float_layers(executions: Sequence[Mapping[str, Any]]) -> str:
    """The float layers with the most MACs, and how many more there are."""
    left = sorted((one for one in executions if not one["integer"]), key=lambda one: -one["macs"])
    named = ", ".join(f"{one['layer']} ({one['operator']})" for one in left[:_NAMED])
    return named if len(left) <= _NAMED else f"{named} and {len(left) - _NAMED} more"
