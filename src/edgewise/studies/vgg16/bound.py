"""What the paper's 0.647 ms on a Jetson Nano would need, beside what that board has."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Bound:
    """flop, weight_bytes: of one image; flops, bandwidth: peaks of the board, per second; claimed:
    the paper's time, in seconds."""

    flop: float
    weight_bytes: float
    flops: float
    bandwidth: float
    claimed: float

    @property
    def needed_flops(self) -> float:
        return self.flop / self.claimed

    @property
    def needed_bandwidth(self) -> float:
        return self.weight_bytes / self.claimed

    @property
    def least(self) -> float:
        """The shortest time that the peak of arithmetic allows, in seconds."""
        return self.flop / self.flops

    def words(self) -> str:
        return (
            f"The paper's {self.claimed * 1e3:.3f} ms cannot be one image through this network: "
            f"{self.flop / 1e9:.3f} GFLOP in that time are {self.needed_flops / 1e9:.0f} GFLOP/s, "
            f"{self.needed_flops / self.flops:.1f} times the board's FP16 peak of "
            f"{self.flops / 1e9:.0f}, and its {self.weight_bytes / 1e6:.1f} MB of weights "
            f"{self.needed_bandwidth / 1e9:.1f} GB/s, {self.needed_bandwidth / self.bandwidth:.1f} "
            f"times its memory's bandwidth; at batch 1 no less than {self.least * 1e3:.2f} ms are "
            "possible without Winograd's transform. It was timed without waiting for the GPU, or "
            "is a batch's time divided. The memory of both rows is mostly that of the CUDA context."
        )


# VGG-16 of width 1 for 3x32x32 and ten classes, in FP16; NVIDIA's figures of the board: 472 GFLOP/s
# in FP16, 25.6 GB/s of LPDDR4.
JETSON_NANO = Bound(0.6264e9, 29.44e6, 472e9, 25.6e9, 0.647e-3)
