import numpy as np
import pytest

from edgewise.data.preprocess import natural
from edgewise.graph.capture import capture
from edgewise.graph.cost import layer_costs
from edgewise.models.builtin import build
from edgewise.studies.vgg16.bound import JETSON_NANO


def test_the_bound_is_of_the_network_that_is_measured() -> None:
    module = build("vgg16", {"width": 1.0, "classes": 10})
    costs = layer_costs(capture(module.eval(), natural((3, 32, 32)), "vgg16"))
    assert JETSON_NANO.flop == pytest.approx(2 * sum(one.macs for one in costs), rel=1e-3)
    # As a runtime keeps it: BatchNorm is folded, each convolution has a bias, two bytes a value.
    weights = sum(one.size_bytes for one in costs) / 4
    assert JETSON_NANO.weight_bytes == pytest.approx(2 * weights, rel=2e-3)


def test_what_is_claimed_is_beyond_both_peaks() -> None:
    ratios = (JETSON_NANO.needed_flops / JETSON_NANO.flops,
              JETSON_NANO.needed_bandwidth / JETSON_NANO.bandwidth)  # fmt: skip
    assert np.allclose(ratios, (2.05, 1.78), atol=0.01)
    assert JETSON_NANO.least > JETSON_NANO.claimed
    for figure in ("0.647 ms", "968 GFLOP/s", "29.4 MB", "45.5 GB/s", "1.33 ms"):
        assert figure in JETSON_NANO.words()
