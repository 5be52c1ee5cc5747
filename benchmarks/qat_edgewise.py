"""Our quantization-aware training, as a contender in training steps: LSQ, W8A8.

Without distillation, which the recipes add and none of the peers has.
"""

from torch import nn

from benchmarks import qat_child
from edgewise.data.splits import array_split
from edgewise.graph.capture import capture
from edgewise.progress import silent
from edgewise.quant.assign import Assignment
from edgewise.quant.insert import Insertion
from edgewise.quant.learned import Learning
from edgewise.quant.learning import Plan, owned, prepare
from edgewise.quant.observers import METHODS
from edgewise.quant.placement import place
from edgewise.quant.profiles import profile
from edgewise.quant.scheme import INT8
from edgewise.steps.calibrate import Calibrate

_RANGES = "mse"  # as step Qat has it


def make(given: qat_child.Material) -> nn.Module:
    network = owned(capture(qat_child.network().eval(), given.contract, "vgg16"))
    split = array_split("calibration", given.pixels, None)
    calibrated = Calibrate(images=len(given.pixels)).apply(network, split, silent)
    runtime = profile("onnxruntime")
    assignment = Assignment.of(INT8, "w8a8", ())
    insertion = Insertion(place(calibrated, runtime), runtime, assignment, METHODS[_RANGES])
    return prepare(calibrated, Plan(insertion, Learning("lsq"))).module.train()


if __name__ == "__main__":
    qat_child.serve(make)
