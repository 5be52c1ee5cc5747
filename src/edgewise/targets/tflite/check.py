"""Hold a TFLite artifact against the integer twin, on the very kernels that will run."""

import math
from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, fx

from edgewise.errors import ParityError
from edgewise.graph.network import Network, module_of
from edgewise.quant.dynamic import DynamicLayer
from edgewise.quant.integer import run_twin
from edgewise.targets.target import LayerCheck
from edgewise.targets.tflite import session
from edgewise.targets.tflite.builder import serialize
from edgewise.targets.tflite.layout import TO_NCHW
from edgewise.targets.tflite.writer import Written

_FLOAT_TOLERANCE = 1e-3  # of the largest output: sums in another order
_MOVED_TOLERANCE = 5e-2  # where an input in another last bit gets the code beside its own
_LAYER_TOLERANCE = 2e-2  # the same, of one layer
_CODES_AT_ONCE = 40_000_000  # two bytes each, three times over


def check_codes(
    network: Network, written: Written, images: Tensor
) -> tuple[tuple[LayerCheck, ...], int]:
    """Every quantized tensor against the twin: teacher-forced checks, and the free-running worst.

    Raises ParityError when a tensor is more than one code off, naming the first.
    """
    read = _codes_reader(written)
    checks = {
        node.name: LayerCheck(node.name, _layer_of(node), 0, 0, 0)
        for node in network.module.graph.nodes
        if node.name in written.codes
    }
    free_running = 0
    step = _images_at_once(network, written)
    for start in range(0, len(images), step):
        part = images[start : start + step]
        theirs = read(part)
        free = run_twin(network.module, part).codes
        apart = max(int((free[name] - codes).abs().max()) for name, codes in theirs.items())
        free_running = max(free_running, apart)
        # A twin that agrees everywhere would compute the same again with these codes forced.
        forced = run_twin(network.module, part, theirs).off if apart else {}
        for name, codes in theirs.items():
            off = forced.get(name, torch.zeros(1))
            known = checks[name]
            checks[name] = replace(
                known,
                elements=known.elements + codes.numel(),
                off=known.off + int((off > 0).sum()),
                worst=max(known.worst, int(off.max())),
            )
    _refuse_more_than_one(checks.values())
    return tuple(checks.values()), free_running


def _layer_of(quantizer: fx.Node) -> str:
    """The layer whose result is quantized; the operation, where it is the network's own."""
    return str(quantizer.meta["path"] or quantizer.all_input_nodes[0].name)


def _images_at_once(network: Network, written: Written) -> int:
    """How many images fit in memory with the codes of all their tensors."""
    shapes = [n.meta["shape"][1:] for n in network.module.graph.nodes if n.name in written.codes]
    return max(1, _CODES_AT_ONCE // int(sum(math.prod(shape) for shape in shapes)))


def _refuse_more_than_one(checks: Iterable[LayerCheck]) -> None:
    for check in checks:
        if check.worst > 1:
            raise ParityError(
                f"the artifact is {check.worst} codes from its integer twin at "
                f"'{check.layer}' ({check.off} of {check.elements} values differ). "
                "This runtime or processor computes something else than the network says; "
                "nothing was written. Keep that layer in float with --keep-float, or report it."
            )


def _codes_reader(written: Written) -> Callable[[Tensor], dict[str, Tensor]]:
    """A function from images to the codes of every quantized tensor, by quantizer node.

    They come from the model with those tensors as further outputs. The function raises ParityError
    when showing them changes the model's own output: then what is checked would not be what runs.
    """
    names = list(dict.fromkeys(written.codes.values()))
    run_plain = session.runner(serialize(written.model))
    run_probe = session.runner(session.probe(written.model, names))

    def read(images: Tensor) -> dict[str, Tensor]:
        batch = images.numpy().astype(np.float32)
        (plain,), (shown, *codes) = run_plain(batch), run_probe(batch)
        if not np.array_equal(plain, shown):
            raise ParityError(
                "the runtime computes another output when its inner tensors are looked at, so the "
                "artifact cannot be checked; nothing was written."
            )
        found = dict(zip(names, codes, strict=True))
        return {node: _as_network(found[index]) for node, index in written.codes.items()}

    return read


def _as_network(codes: session.Array) -> Tensor:
    """Codes in the network's layout."""
    turned = codes.transpose(TO_NCHW) if codes.ndim == 4 else codes
    return torch.from_numpy(np.array(turned, np.int16, order="C"))


@torch.no_grad()
def check_dynamic(network: Network, written: Written, images: Tensor) -> None:
    """Every layer whose input becomes codes as it comes, from the artifact's own input.

    XNNPACK finds the range of each image's values, zero included, and makes int8 codes of it with
    scale (max - min) / 255, rounding half to even; plain kernels do the same. They are the codes of
    DynamicLayer less 128, but that values are multiplied by 1 / scale, so that at a tie a code may
    be the one beside. Nothing shows the codes: results are compared, and must agree but for such
    ties. Raises ParityError, naming the layer, where they do not.
    """
    nodes = [n for n in network.module.graph.nodes if n.name in written.layers]
    layers = {node: module_of(network.module, node) for node in nodes}
    dynamic = {node: layer for node, layer in layers.items() if isinstance(layer, DynamicLayer)}
    if not dynamic:
        return
    shown = [
        value.index
        for node in dynamic
        for value in (written.layers[node.name].source, written.layers[node.name].result)
    ]
    _, *found = session.runner(session.probe(written.model, shown))(images.numpy())
    for node, source, result in zip(dynamic, found[::2], found[1::2], strict=True):
        ours, theirs = dynamic[node](_floats(source)), _floats(result)
        apart = float((ours - theirs).abs().max()) / max(float(ours.abs().max()), 1e-12)
        if not apart <= _LAYER_TOLERANCE:
            raise ParityError(
                f"the runtime's result of '{node.meta['path']}' is {apart:.2g} of its largest "
                "value from what its codes stand for; nothing was written. Keep that layer in "
                "float with --keep-float, or report it."
            )


def _floats(values: session.Array) -> Tensor:
    turned = values.transpose(TO_NCHW) if values.ndim == 4 else values
    return torch.from_numpy(np.array(turned, np.float32, order="C"))


@torch.no_grad()
def check_output(network: Network, written: Written, images: Tensor) -> float:
    """Largest difference of the artifact's output from the simulation's, relative to the largest.

    For a network without integer layers this must be rounding; raises ParityError when it is more.
    """
    ours = network(images).numpy()
    (theirs,) = session.runner(serialize(written.model))(images.numpy().astype(np.float32))
    scale = max(float(np.abs(ours).max()), 1e-12)
    error = float(np.abs(ours - theirs).max()) / scale
    nodes = network.module.graph.nodes
    moved = any(isinstance(module_of(network.module, node), DynamicLayer) for node in nodes)
    tolerance = _MOVED_TOLERANCE if moved else _FLOAT_TOLERANCE
    if not written.codes and not error <= tolerance:
        raise ParityError(
            f"the artifact's output differs from the network's by {error:.2g} of its largest "
            "value; nothing was written. Please report the network."
        )
    return error
