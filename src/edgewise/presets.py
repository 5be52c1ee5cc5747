"""Recipes by name."""

from collections.abc import Mapping

from edgewise.recipe import Recipe
from edgewise.steps.calibrate import Calibrate
from edgewise.steps.fold import Fold
from edgewise.steps.half import Half
from edgewise.steps.quantize import Quantize

FLOAT32 = Recipe("float32", (Fold(),))
FP16 = Recipe("fp16", (Fold(), Half()))
INT8 = Recipe("int8", (Fold(), Calibrate(), Quantize()))

PRESETS: Mapping[str, Recipe] = {recipe.name: recipe for recipe in (FP16, INT8)}
