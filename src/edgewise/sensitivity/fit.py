"""FIT: Fisher information times squared perturbation (Zandonati et al., ICLR 2023).

FIT = sum over tensors of Tr(I) * mean((Q(t) - t)^2), for weights and for activations, where Tr(I)
is the mean over images of the squared length of the loss's gradient by that tensor. Second order
in the perturbation, and no network is ever quantized: it costs one backward pass a batch.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, fx
from torch.nn import functional as F

from edgewise.data.dataset import Split
from edgewise.graph.layer import Form
from edgewise.graph.network import module_of
from edgewise.progress import Progress
from edgewise.quant.fake import FakeQuantize, QuantizedLayer
from edgewise.sensitivity.sample import batches
from edgewise.sensitivity.simulation import Pair, Simulation, Values


@dataclass(frozen=True)
class Term:
    """One tensor's contribution.

    role: weight or activation; trace: of the empirical Fisher information, mean squared length of
    the gradient; perturbation: mean squared difference that quantization makes to a value.
    """

    role: str
    trace: float
    perturbation: float

    @property
    def fit(self) -> float:
        return self.trace * self.perturbation


def fit_terms(pair: Pair, split: Split, progress: Progress, seed: int = 0) -> dict[str, Term]:
    """The term of every layer's weights and of every quantized activation, by node name.

    Without labels they are drawn from the network's own answers, whose squared gradients give the
    Fisher information itself. A layer that is called twice has a term a call. Biases, whose steps
    are finer by the scale of the weights, are left out.
    """
    sums = _Sums(pair)
    generator = torch.Generator().manual_seed(seed)
    for images, labels in batches(split, pair.floats):
        sums.add(images, labels, generator)
        progress("gradients", sums.images, len(split))
    return dict(sums.terms())


class _Sums:
    """What is summed over images, in float64."""

    def __init__(self, pair: Pair) -> None:
        self._simulation = Simulation(pair)
        self._module = pair.quantized.module
        self._floats = {node.name: layer for node, layer in pair.floats.layers()}
        self._layers: dict[fx.Node, QuantizedLayer] = {}
        self._quantizers: dict[fx.Node, FakeQuantize] = {}
        for node in self._module.graph.nodes:
            target = module_of(self._module, node)
            if isinstance(target, QuantizedLayer):
                self._layers[node] = target
            elif isinstance(target, FakeQuantize):
                self._quantizers[node] = target
        self._squared_gradients = dict.fromkeys((*self._layers, *self._quantizers), 0.0)
        self._squared_noise = dict.fromkeys(self._quantizers, 0.0)
        self.images = 0

    def add(self, images: Tensor, labels: Tensor | None, generator: torch.Generator) -> None:
        values = self._simulation.floats(images.requires_grad_())
        scores = self._simulation.answer(values).flatten(1).double()
        if labels is None:
            labels = torch.multinomial(scores.detach().softmax(1), 1, generator=generator)[:, 0]
        watched = [*self._layers, *self._quantizers]
        # The sum of losses has, at each image's own values, the gradient of that image's loss.
        found = torch.autograd.grad(
            F.cross_entropy(scores, labels, reduction="sum"),
            [values[node] for node in watched],
            materialize_grads=True,
            allow_unused=True,
        )
        gradients = dict(zip(watched, found, strict=True))
        self._add_layers(values, gradients)
        self._add_activations(values, gradients)
        self.images += len(images)

    def _add_layers(self, values: Values, gradients: dict[fx.Node, Tensor]) -> None:
        for node in self._layers:
            layer, inputs = self._floats[node.name], values[node.all_input_nodes[0]]
            self._squared_gradients[node] += weight_gradients(
                layer.form, layer.weight.detach(), inputs.detach(), gradients[node]
            )

    @torch.no_grad()
    def _add_activations(self, values: Values, gradients: dict[fx.Node, Tensor]) -> None:
        for node, quantizer in self._quantizers.items():
            value = values[node]
            self._squared_gradients[node] += float(gradients[node].double().square().sum())
            noise = (quantizer(value).double() - value.double()).square()
            self._squared_noise[node] += float(noise.flatten(1).mean(1).sum())

    @torch.no_grad()
    def terms(self) -> Iterator[tuple[str, Term]]:
        for node, layer in self._layers.items():
            noise = layer.weight().double() - self._floats[node.name].weight.double()
            trace = self._squared_gradients[node] / self.images
            yield node.name, Term("weight", trace, float(noise.square().mean()))
        for node in self._quantizers:
            trace = self._squared_gradients[node] / self.images
            yield node.name, Term("activation", trace, self._squared_noise[node] / self.images)


def weight_gradients(form: Form, weight: Tensor, inputs: Tensor, gradients: Tensor) -> float:
    """Sum over images of the squared length of the gradient by the weights.

    inputs, gradients: of the layer, one image a row. Image by image, because the gradient of a
    whole batch is a sum in which those of the images cancel.
    """
    weight = weight.requires_grad_()
    total = 0.0
    for image, gradient in zip(torch.split(inputs, 1), torch.split(gradients, 1), strict=True):
        (found,) = torch.autograd.grad(form.run(image, weight, None), weight, gradient)
        total += float(found.double().square().sum())
    return total
