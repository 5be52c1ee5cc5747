"""How channels pass layers with weights: what they read is one thing, what they make another."""

from torch import fx

from edgewise.graph.channels.flow import Flow, shape_of
from edgewise.graph.channels.layout import Layout
from edgewise.graph.layer import WeightedLayer
from edgewise.graph.network import module_of


def weighted(flow: Flow, node: fx.Node) -> Layout | None:
    """Inputs and outputs of a layer.

    A depthwise layer's outputs are its inputs' channels. In a grouped one the channels at one place
    of all groups belong together, so that groups stay of equal size.
    """
    layer = module_of(flow.module, node)
    assert type(layer) is WeightedLayer
    read = _read(flow, node, layer)
    if is_depthwise(layer):
        if read is None:
            return None
        made = Layout(read.axis, read.labels.repeat(outputs(layer) // inputs(layer)))
    else:
        count = groups(layer)
        axis = 1 if layer.form.kind != "linear" else len(shape_of(node)) - 1
        made = Layout(axis, flow.atoms.new(outputs(layer)))
        for layout in (read, made) if count > 1 else ():
            _tie(flow, layout, count)
    return _like_its_twin(flow, node, (read, made), id(layer.weight))


def _read(flow: Flow, node: fx.Node, layer: WeightedLayer) -> Layout | None:
    read = flow.layout(node.args[0])
    wanted = 1 if layer.form.kind != "linear" else len(shape_of(node)) - 1
    if read is not None and read.axis != wanted:
        flow.stop(node, "works along another axis than that of the channels")
        return None
    return read


def _tie(flow: Flow, layout: Layout | None, count: int) -> None:
    if layout is not None:
        first, *rest = layout.labels.reshape(count, -1)
        for other in rest:
            flow.atoms.join(first, other)


def _like_its_twin(
    flow: Flow, node: fx.Node, both: tuple[Layout | None, Layout], weights: int
) -> Layout:
    """Join with another call of the same weights, which is cut the same."""
    read, made = both
    if weights not in flow.weights:
        flow.weights[weights] = both
        return made
    twin_read, twin_made = flow.weights[weights]
    flow.atoms.join(made.labels, twin_made.labels)
    if read is not None and twin_read is not None:
        flow.atoms.join(read.labels, twin_read.labels)
    else:
        for one in (read, twin_read):
            if one is not None:
                reason = f"the weights of '{node.meta['path']}' are used elsewhere too"
                flow.atoms.keep(one.labels, reason)
    return made


def groups(layer: WeightedLayer) -> int:
    """Of a convolution; one for a linear layer."""
    return int(layer.form.geometry.get("groups", 1))


def inputs(layer: WeightedLayer) -> int:
    """How many channels a layer reads."""
    if layer.form.kind == "conv_transpose2d":
        return int(layer.weight.shape[0])
    return int(layer.weight.shape[1]) * groups(layer)


def outputs(layer: WeightedLayer) -> int:
    """How many channels a layer makes."""
    if layer.form.kind == "conv_transpose2d":
        return int(layer.weight.shape[1]) * groups(layer)
    return int(layer.weight.shape[0])


def is_depthwise(layer: WeightedLayer) -> bool:
    """Whether every channel that it makes comes from one channel that it reads."""
    return groups(layer) == inputs(layer) > 1
