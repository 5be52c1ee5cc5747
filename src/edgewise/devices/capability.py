"""What a device can run, and how well, judged from the facts that its worker reports."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgewise import units

# Instruction -> what it is to a reader; the first that a processor has decides.
_INT8 = {
    "amx_int8": "AMX int8 tiles",
    "avx512_vnni": "AVX512-VNNI int8 dot products",
    "avx_vnni": "AVX-VNNI int8 dot products",
    "i8mm": "Arm i8mm matrix products",
    "asimddp": "Arm dot products (SDOT, UDOT)",
}
_FP16 = {
    "avx512_fp16": "AVX512-FP16 arithmetic",
    "asimdhp": "Arm half-precision vectors",
}
_LEAST_MEMORY = 256_000_000  # the runtime and numpy alone take near 100 MB


@dataclass(frozen=True)
class Capability:
    """One thing that a device can or cannot do, and the sentence that says why."""

    name: str
    able: bool
    reason: str


def capabilities(facts: Mapping[str, Any]) -> tuple[Capability, ...]:
    """What runs there: `facts` is the worker's answer in mode "facts"."""
    features = set(facts["machine"]["features"])
    return (
        _runtime(facts["runtimes"], facts["missing"]),
        _memory(facts["state"].get("memory_available_bytes")),
        _feature(
            "int8", _INT8, features, "int8 runs, and gains less than a dot product would give"
        ),
        _feature("fp16", _FP16, features, "fp16 halves the file and is computed as fp32"),
    )


def refusals(found: tuple[Capability, ...]) -> tuple[str, ...]:
    """Why nothing can be run there at all; empty when artifacts can."""
    return tuple(one.reason for one in found if one.name in ("runtime", "memory") and not one.able)


def _runtime(runtimes: Mapping[str, str], missing: Mapping[str, str]) -> Capability:
    if runtimes:
        have = ", ".join(f"{name} {version}" for name, version in runtimes.items())
        return Capability("runtime", True, have)
    return Capability("runtime", False, "no runtime. " + " ".join(missing.values()))


def _memory(available: int | None) -> Capability:
    if available is None:
        return Capability("memory", True, "unknown: the system does not say what is free")
    free = f"{units.size(available)} free"
    if available < _LEAST_MEMORY:
        least = units.size(_LEAST_MEMORY)
        return Capability("memory", False, f"{free}; a runtime needs {least}: close programs.")
    return Capability("memory", True, free)


def _feature(
    name: str, known: Mapping[str, str], features: set[str], without: str
) -> Capability:  # fmt: skip
    for feature, meaning in known.items():
        if feature in features:
            return Capability(f"fast {name}", True, meaning)
    return Capability(f"fast {name}", False, f"no {' or '.join(known)}: {without}")
