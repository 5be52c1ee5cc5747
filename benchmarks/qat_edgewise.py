"""Our quantization-aware training, as a contender in training steps: LSQ, W8A8.

Without distillation, which the recipes add and none of the peers has.
"""

from torch import nn

from benchmarks import qat_child
from edgewise.data.splits import array_split
from edgewise.graph.capture import capture
from edgewise.progress import silent
from edgewise.quant.learned import Learning
from edgewise.quant.learning import owned, prepare
from edgewise.steps import placing
from edgewise.steps.calibrate import Calibrate
from edgewise.steps.qat import Qat


def make(given: qat_child.Material) -> nn.Module:
    network = owned(capture(qat_child.network().eval(), given.contract, "vgg16"))
    split = array_split("calibration", given.pixels, None)
    calibrated = Calibrate(images=len(given.pixels)).apply(network, split, silent)
    insertion = placing.insertion(calibrated, Qat())
    return prepare(calibrated, insertion, Learning()).module.train()


if __name__ == "__main__":
    qat_child.serve(make)
