import copy
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgewise.data.dataset import Dataset, Split
from edgewise.data.preprocess import natural
from edgewise.graph.capture import capture
from edgewise.graph.layer import Form, WeightedLayer
from edgewise.graph.network import Network, module_of
from edgewise.progress import silent
from edgewise.quant.fake import FakeQuantize, QuantizedLayer
from edgewise.quant.scheme import INT8, Scheme
from edgewise.sensitivity.fit import fit_terms, weight_gradients
from edgewise.sensitivity.simulation import Pair, Simulation, quantized_pair
from edgewise.steps.quantize import Quantize

KINDS = (FakeQuantize, QuantizedLayer)


def pair_of(network: Network, data: Dataset, scheme: Scheme = INT8) -> Pair:
    return quantized_pair(network, Quantize(scheme), data.split("calibration"), silent)


def inputs_of(split: Split, network: Network) -> Tensor:
    return torch.from_numpy(next(split.batches(len(split), network.contract)))


@pytest.mark.parametrize("name", ["plain", "residual", "depthwise", "leaky"])
def test_the_trace_is_that_of_gradients_image_by_image_in_float64(
    name: str, captured: Callable[[str], Network], tiny_data: Dataset
) -> None:
    pair = pair_of(captured(name), tiny_data)
    split = tiny_data.split("validation")
    terms = fit_terms(pair, split, silent)
    module = copy.deepcopy(pair.floats.module).double()
    layers = {node.name: layer for node, layer in pair.floats.layers()}
    weights = {}
    for node in module.graph.nodes:
        if isinstance(layer := module_of(module, node), WeightedLayer):
            layer.weight.requires_grad_()
            weights[node.name] = layer.weight
    expected = dict.fromkeys(layers, 0.0)
    assert split.labels is not None
    for image, label in zip(inputs_of(split, pair.floats), split.labels, strict=True):
        loss = F.cross_entropy(module(image[None].double()), torch.tensor([label]))
        found = torch.autograd.grad(loss, list(weights.values()))
        for place, gradient in zip(weights, found, strict=True):
            expected[place] += float(gradient.square().sum()) / len(split)
    assert {place for place, term in terms.items() if term.role == "weight"} == set(expected)
    for place, trace in expected.items():
        assert terms[place].trace == pytest.approx(trace, rel=1e-3)


def test_an_activations_trace_is_by_finite_differences(
    captured: Callable[[str], Network], tiny_data: Dataset
) -> None:
    """Of the last tensor, the scores: the gradient of cross-entropy is known by formula."""
    pair = pair_of(captured("plain"), tiny_data)
    split = tiny_data.split("validation")
    terms = fit_terms(pair, split, silent)
    (output,) = pair.quantized.module.graph.find_nodes(op="output")
    last = output.all_input_nodes[0].name
    assert split.labels is not None
    with torch.no_grad():
        scores = pair.floats(inputs_of(split, pair.floats)).double()
    gradient = scores.softmax(1) - F.one_hot(torch.from_numpy(split.labels), 4)
    assert terms[last].trace == pytest.approx(float(gradient.square().sum(1).mean()), rel=1e-5)
    quantizer = module_of(pair.quantized.module, output.all_input_nodes[0])
    assert isinstance(quantizer, FakeQuantize)
    noise = (quantizer(scores.float()).double() - scores).square().mean()
    assert terms[last].perturbation == pytest.approx(float(noise), rel=1e-5)


def test_an_unperturbed_layer_has_none(
    captured: Callable[[str], Network], tiny_data: Dataset
) -> None:
    pair = pair_of(captured("plain"), tiny_data)
    module = copy.deepcopy(pair.floats.module)
    nodes = {node.name: node for node in module.graph.nodes}
    quantized = module_of(pair.quantized.module, nodes["body_3"])
    assert isinstance(quantized, QuantizedLayer)
    before = fit_terms(pair, tiny_data.split("validation"), silent)["body_3"]
    exact = WeightedLayer(
        quantized.form, nn.Parameter(quantized.weight(), requires_grad=False), None
    )
    module.set_submodule("body_3", exact)
    same = Pair(replace(pair.floats, module=module), pair.quantized)
    after = fit_terms(same, tiny_data.split("validation"), silent)["body_3"]
    assert before.fit > 0
    assert after.trace > 0
    assert after.fit == after.perturbation == 0


def test_fewer_bits_perturb_more_and_leave_the_trace(
    captured: Callable[[str], Network], tiny_data: Dataset
) -> None:
    split = tiny_data.split("validation")
    networks = [pair_of(captured("leaky"), tiny_data, scheme) for scheme in (INT8, Scheme(3, 3))]
    fine, coarse = (fit_terms(pair, split, silent) for pair in networks)
    assert fine.keys() == coarse.keys()
    bits = [
        {node.name: target.kind.bits for node in pair.quantized.module.graph.nodes
         if isinstance(target := module_of(pair.quantized.module, node), KINDS)}
        for pair in networks
    ]  # fmt: skip
    assert sum(bits[1][place] == 3 for place in fine) > 4
    for place, term in fine.items():
        assert coarse[place].trace == term.trace
        if bits[1][place] == 3:  # the image keeps its eight bits
            assert coarse[place].perturbation > 10 * term.perturbation
        else:
            assert coarse[place].perturbation == term.perturbation


def test_without_labels_answers_are_drawn_by_the_seed(
    captured: Callable[[str], Network], tiny_data: Dataset
) -> None:
    pair = pair_of(captured("plain"), tiny_data)
    split = replace(tiny_data.split("validation"), labels=None)
    one, again, other = (fit_terms(pair, split, silent, seed) for seed in (0, 0, 1))
    assert one == again
    assert one != other
    assert all(term.trace > 0 for term in one.values())


@pytest.mark.parametrize(
    ("form", "weight", "inputs"),
    [
        (Form("conv2d", "a", {"stride": [2, 1], "padding": [1, 0], "dilation": [1, 1],
                              "groups": 2}), (4, 2, 3, 2), (3, 4, 7, 6)),
        (Form("conv_transpose2d", "a", {"stride": [2, 2]}), (3, 2, 2, 2), (2, 3, 4, 4)),
        (Form("linear", "a", {}), (5, 4), (3, 4)),
    ],
)  # fmt: skip
def test_images_gradients_do_not_cancel(
    form: Form, weight: tuple[int, ...], inputs: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    weights, images = torch.randn(weight), torch.randn(inputs)
    gradients = torch.randn_like(form.run(images, weights, None))
    total = weight_gradients(form, weights, images, gradients)
    assert weight_gradients(
        form, weights, torch.cat([images, images]), torch.cat([gradients, -gradients])
    ) == pytest.approx(2 * total, rel=1e-6)
    alone = [
        weight_gradients(form, weights, image, gradient)
        for image, gradient in zip(images.split(1), gradients.split(1), strict=True)  # type: ignore[no-untyped-call]
    ]
    assert total == pytest.approx(sum(alone), rel=1e-6)


def test_no_gradient_reaches_the_simulations_caller(
    captured: Callable[[str], Network], tiny_data: Dataset, tiny_images: Tensor
) -> None:
    pair = pair_of(captured("plain"), tiny_data)
    fit_terms(pair, tiny_data.split("validation"), silent)
    simulation = Simulation(pair)
    assert all(p.grad is None for p in pair.floats.module.parameters())
    assert not simulation.answer(simulation.floats(tiny_images)).isnan().any()


def test_a_network_of_one_layer_is_by_hand(tiny_data: Dataset) -> None:
    """Linear scores: the gradient by the weights is (p - y) x^T, whose squared length factors."""
    torch.manual_seed(1)
    module = nn.Sequential(nn.Flatten(), nn.Linear(192, 4))
    pair = pair_of(capture(module, natural((3, 8, 8))), tiny_data)
    split = tiny_data.split("validation")
    (term,) = (t for t in fit_terms(pair, split, silent).values() if t.role == "weight")
    images = inputs_of(split, pair.floats).flatten(1).double()
    assert split.labels is not None
    with torch.no_grad():
        scores = module[1].double()(images)
    wrong = scores.softmax(1) - F.one_hot(torch.from_numpy(split.labels), 4)
    expected = (wrong.square().sum(1) * images.square().sum(1)).mean()
    assert term.trace == pytest.approx(float(expected), rel=1e-4)
