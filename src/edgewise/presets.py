"""Recipes by name."""

from collections.abc import Mapping
from dataclasses import replace

from edgewise.quant.scheme import INT8 as INT8_BITS
from edgewise.quant.scheme import Scheme
from edgewise.recipe import Recipe
from edgewise.steps.calibrate import Calibrate
from edgewise.steps.dynamic import Dynamic
from edgewise.steps.finetune import GENTLE as FINETUNE
from edgewise.steps.finetune import Finetune
from edgewise.steps.fold import Fold
from edgewise.steps.half import Half
from edgewise.steps.prune_channels import PruneChannels
from edgewise.steps.qat import GENTLE, Qat
from edgewise.steps.quantize import Quantize
from edgewise.steps.store_weights import StoreWeights

FLOAT32 = Recipe("float32", (Fold(),))
FP16 = Recipe("fp16", (Fold(), Half()))
INT8_WEIGHTS = Recipe("int8-weights", (Fold(), StoreWeights()))
INT8_DYNAMIC = Recipe("int8-dynamic", (Fold(), Dynamic()))
INT8 = Recipe("int8", (Fold(), Calibrate(), Quantize()))


def _trained(bits: Scheme, epochs: int, peak_lr: float, *before: str) -> Recipe:
    schedule = replace(GENTLE, epochs=epochs, peak_lr=peak_lr)
    name = f"w{bits.weight_bits}a{bits.activation_bits}" if bits != INT8_BITS else bits.name
    return Recipe(f"{name}-qat", (Qat(bits, schedule=schedule, before=before),))


# Fewer bits start from more: the network gets there in steps, each a better start for the next.
TRAINED = (
    _trained(INT8_BITS, 2, 0.01),
    _trained(Scheme(4, 8), 6, 0.02, "w8a8:1"),
    _trained(Scheme(4, 4), 8, 0.02, "w8a8:1"),
    _trained(Scheme(2, 8), 12, 0.04, "w8a8:1", "w4a8:3"),
    _trained(Scheme(2, 2), 16, 0.04, "w8a8:1", "w4a4:6"),
)


def _cut(name: str, share: float, epochs: int, bits: Recipe) -> Recipe:
    schedule = replace(FINETUNE, epochs=epochs, peak_lr=0.05, distill=1.0)
    return Recipe(name, (PruneChannels(share), Finetune(schedule), *bits.steps))


# Channels go first: what is left is trained back, and quantized last.
SMALL = _cut("small", 0.5, 8, TRAINED[0])
TINY = _cut("tiny", 0.7, 16, TRAINED[1])

PRESETS: Mapping[str, Recipe] = {
    recipe.name: recipe
    for recipe in (FP16, INT8_WEIGHTS, INT8_DYNAMIC, INT8, *TRAINED, SMALL, TINY)
}
