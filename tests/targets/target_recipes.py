"""Recipes of few bits."""

from edgewise.quant.scheme import Scheme
from edgewise.recipe import Recipe
from edgewise.steps.fold import Fold
from edgewise.steps.quantize import Quantize


def narrow(weights: int, activations: int) -> Recipe:
    """Weights and activations of so many bits, and nothing else."""
    return Recipe(f"w{weights}a{activations}", (Fold(), Quantize(Scheme(weights, activations))))


W4A8, W4A4, W2A2 = narrow(4, 8), narrow(4, 4), narrow(2, 2)
