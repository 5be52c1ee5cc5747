"""What each runtime wants of quantizers: one profile a runtime, one table."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgewise.errors import UsageError
from edgewise.quant.scheme import IntType


@dataclass(frozen=True)
class Profile:
    """Where a runtime wants quantizers, so that it executes integers.

    signed: activation codes are int8 rather than uint8;
    symmetric: code 0 stands for zero, and codes are uint8 where nothing is negative;
    layers: weighted operations that have an integer kernel;
    fused: activations that the runtime computes inside the layer before them, so that no quantizer
    stands between; unrounded: operations that take what was computed for them alone as it is, for
    the same reason; closed: operations that give codes, so that nothing is fused with them;
    shared: operations whose inputs and output need one scale;
    integer_bias: the bias is int32 in steps of input scale times weight scale;
    fixed: operation -> scale and zero point of its 8-bit result, the only ones that it has;
    unseen: scale of a tensor that was nothing but zero in calibration; None is the smallest.
    """

    name: str
    signed: bool
    symmetric: bool
    layers: frozenset[str]
    fused: frozenset[str]
    shared: frozenset[str]
    integer_bias: bool
    unrounded: frozenset[str] = frozenset()
    closed: frozenset[str] = frozenset()
    fixed: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    unseen: float | None = None

    def activations(self, bits: int) -> IntType:
        """The format of activation codes."""
        return IntType(bits, self.signed)


# uint8: ONNX Runtime's own s8 -> u8 rewrite on x86 misses tensors with two consumers.
ONNX_RUNTIME = Profile(
    name="onnxruntime",
    signed=False,
    symmetric=False,
    layers=frozenset({"conv2d", "linear"}),
    fused=frozenset({"relu", "relu6", "hardtanh"}),
    shared=frozenset(),
    integer_bias=True,
)

# Its kernels look sigmoid and tanh up in tables of 256 results, and join only equal codes.
LITERT = Profile(
    name="litert",
    signed=True,
    symmetric=False,
    layers=frozenset({"conv2d", "linear"}),
    fused=frozenset({"relu", "relu6", "hardtanh"}),
    shared=frozenset({"cat"}),
    integer_bias=True,
    fixed={"sigmoid": (1 / 256, -128), "tanh": (1 / 128, 0)},
    unseen=1e-3,  # XNNPACK takes no layer whose sums are 256 times as coarse as its result
)

# Zero points elsewhere cost it a kernel of their own; to round what is added saves no time and
# costs accuracy. What is fused becomes a part of the convolution; hardsigmoid does not.
OPENVINO = Profile(
    name="openvino",
    signed=True,
    symmetric=True,
    layers=frozenset({"conv2d", "linear"}),
    fused=frozenset(
        {
            "relu", "relu6", "hardtanh", "clamp", "clamp_min", "clamp_max", "leaky_relu",
            "sigmoid", "tanh", "hardswish",
        }
    ),
    shared=frozenset({"cat"}),
    integer_bias=True,
    unrounded=frozenset({"add"}),
    closed=frozenset({"avg_pool2d", "adaptive_avg_pool2d", "mean"}),
)  # fmt: skip

_ALL = (ONNX_RUNTIME, LITERT, OPENVINO)
PROFILES: Mapping[str, Profile] = {profile.name: profile for profile in _ALL}


def profile(name: str) -> Profile:
    """The profile of that name; raises UsageError when there is none."""
    if name not in PROFILES:
        raise UsageError(f"there is no placement profile '{name}'; known: {', '.join(PROFILES)}.")
    return PROFILES[name]
