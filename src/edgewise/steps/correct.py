"""Take the shift that quantization adds to every channel's mean off its bias."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from edgewise.data.dataset import Split
from edgewise.errors import RecipeError
from edgewise.graph.network import Network
from edgewise.progress import Progress
from edgewise.quant.correct import channel_means, corrected_bias
from edgewise.steps.paired import integer_layers, paired_layers
from edgewise.steps.step import Step


@dataclass(frozen=True)
class BiasCorrect(Step):
    """Correct the biases of integer layers, one after the other, so that each channel's mean output
    is that of the float network.

    images: calibration images to use at most, whose activations between two layers are in memory
    together; batch_size: images at a time.
    """

    name: ClassVar[str] = "correct-bias"
    needs_data: ClassVar[bool] = True
    refines: ClassVar[bool] = True

    images: int = 256
    batch_size: int = 16

    def __post_init__(self) -> None:
        if self.images < 1 or self.batch_size < 1:
            raise RecipeError("correct-bias needs at least one image and a batch of one.")

    @torch.no_grad()
    def apply(self, network: Network, data: Split | None, progress: Progress) -> Network:
        assert data is not None, "a recipe gives data to the steps that need them"
        layers = len(integer_layers(network.module))
        split = data.head(self.images)
        for done, pair in enumerate(paired_layers(network, split, self.batch_size), 1):
            form = pair.layer.form
            wanted = channel_means(form, pair.targets)
            found = channel_means(form, (pair.layer(inputs) for inputs in pair.inputs))
            pair.layer.bias_codes = corrected_bias(pair.layer, found - wanted)
            progress(self.name, done, layers)
        return network
