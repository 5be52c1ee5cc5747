"""How channels pass each operation: one function each, and the table of them all.

A rule gives the layout of the node's output, and says to the flow which channels now belong
together or must stay. What is not in the table keeps the channels that reach it.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from torch import fx

from edgewise.graph.calls import argument, split_sizes
from edgewise.graph.channels.flow import Flow, Found, is_tensor, shape_of
from edgewise.graph.channels.layout import Layout, reshaped
from edgewise.graph.channels.weighted import weighted

Rule = Callable[[Flow, fx.Node], Found]

_RESHAPES = "takes channels apart, or mixes them with positions"
_OTHER_AXES = "joins tensors whose channels lie along different axes"


def _input(flow: Flow, node: fx.Node) -> Found:
    shape = shape_of(node)
    if len(shape) < 2:
        return None
    return Layout(1, flow.atoms.new(int(shape[1] or 0), "they are the network's input"))


def _output(flow: Flow, node: fx.Node) -> Found:
    for source in node.all_input_nodes:
        layout = flow.layout(source)
        if layout is not None:
            flow.atoms.keep(layout.labels, "they are the network's output")
    return None


def _same(flow: Flow, node: fx.Node) -> Found:
    """Something done to every value alone."""
    if len(_tensors(node)) > 1:
        return _stopped(flow, node, "is given by a second tensor")
    return flow.layout(node.args[0])


def _spatial(flow: Flow, node: fx.Node) -> Found:
    """Something over the last two axes."""
    layout = flow.layout(node.args[0])
    if layout is not None and layout.axis < len(shape_of(node)) - 2:
        return layout
    return _stopped(flow, node, "works along the axis of the channels")


def _stopped(flow: Flow, node: fx.Node, why: str) -> Found:
    flow.stop(node, why)
    return None


def _elementwise(flow: Flow, node: fx.Node) -> Found:
    rank = len(shape_of(node))
    operands = {source: rank - len(shape_of(source)) for source in _tensors(node)}
    layouts = {source: flow.layout(source) for source in operands}
    axes = {one.axis + operands[source] for source, one in layouts.items() if one is not None}
    if len(axes) != 1:
        return _stopped(flow, node, _OTHER_AXES)
    (axis,) = axes
    size, result = shape_of(node)[axis], None
    for source, offset in operands.items():
        own = axis - offset
        if own < 0 or shape_of(source)[own] != size:
            flow.stop(node, "spreads one channel over all others", [source])
            continue
        layout = layouts[source]
        if layout is None and source.op == "get_attr":
            layout = flow.constant(source, own)
        if layout is None:
            return _stopped(flow, node, "reads them with something whose channels are not known")
        if result is not None:
            flow.atoms.join(result.labels, layout.labels)
        result = Layout(axis, layout.labels)
    return result


def _tensors(node: fx.Node) -> list[fx.Node]:
    return [source for source in node.all_input_nodes if is_tensor(source)]


def _prelu(flow: Flow, node: fx.Node) -> Found:
    layout, slope = flow.layout(node.args[0]), node.args[1]
    assert isinstance(slope, fx.Node)
    if layout is None or shape_of(slope) in ((), (1,)):
        return layout
    other = flow.constant(slope, 0) if slope.op == "get_attr" else None
    if layout.axis != 1 or other is None:
        return _stopped(flow, node, "has a slope for something else than channels")
    flow.atoms.join(layout.labels, other.labels)
    return layout


def _batch_norm(flow: Flow, node: fx.Node) -> Found:
    layout = flow.layout(node.args[0])
    if layout is not None and layout.axis == 1:
        return layout
    return _stopped(flow, node, "works along another axis than that of the channels")


def _cat(flow: Flow, node: fx.Node) -> Found:
    sources: Any = node.args[0]
    axis = int(argument(node, 1, "dim", 0)) % len(shape_of(node))
    layouts = [flow.layout(source) for source in sources]
    if all(one is None or one.axis == axis for one in layouts):
        parts = [
            flow.atoms.new(int(shape_of(source)[axis] or 0), "they are no layer's")
            if one is None
            else one.labels
            for source, one in zip(sources, layouts, strict=True)
        ]
        return Layout(axis, np.concatenate(parts))
    first = layouts[0]
    if first is None or any(one is None or one.axis != first.axis for one in layouts):
        return _stopped(flow, node, _OTHER_AXES)
    for one in layouts[1:]:
        assert one is not None
        flow.atoms.join(first.labels, one.labels)
    return first


def _split(flow: Flow, node: fx.Node) -> Found:
    source: Any = node.args[0]
    layout = flow.layout(source)
    if layout is None:
        return None
    axis, sizes = split_sizes(node)
    if axis != layout.axis:
        return (layout,) * len(sizes)
    parts = np.split(layout.labels, np.cumsum(sizes)[:-1])
    return tuple(Layout(axis, part) for part in parts)


def _getitem(flow: Flow, node: fx.Node) -> Found:
    source, index = node.args
    assert isinstance(source, fx.Node)
    found = flow.layouts.get(source)
    return found[int(str(index))] if isinstance(found, tuple) else None


def _slice(flow: Flow, node: fx.Node) -> Found:
    layout, axis = flow.layout(node.args[0]), argument(node, 1, "dim", 0)
    if layout is None or axis % len(shape_of(node)) != layout.axis:
        return layout
    start, end, step = (
        argument(node, index, name) for index, name in ((2, "start"), (3, "end"), (4, "step"))
    )
    if step not in (None, 1):
        return _stopped(flow, node, "takes every so many channels")
    return Layout(layout.axis, layout.labels[start:end])


def _select(flow: Flow, node: fx.Node) -> Found:
    source: Any = node.args[0]
    layout = flow.layout(source)
    axis = int(str(argument(node, 1, "dim"))) % len(shape_of(source))
    if layout is None or axis == layout.axis:
        return _stopped(flow, node, "takes one channel out")
    return Layout(layout.axis - (axis < layout.axis), layout.labels)


def _reshape(flow: Flow, node: fx.Node) -> Found:
    source: Any = node.args[0]
    layout = flow.layout(source)
    found = None if layout is None else reshaped(layout, shape_of(source), shape_of(node))
    return found if found is not None else _stopped(flow, node, _RESHAPES)


def _expand(flow: Flow, node: fx.Node) -> Found:
    source: Any = node.args[0]
    layout, before, after = flow.layout(source), shape_of(source), shape_of(node)
    if layout is None:
        return None
    axis = layout.axis + len(after) - len(before)
    if after[axis] != before[layout.axis]:
        return _stopped(flow, node, "spreads one channel over all others")
    return Layout(axis, layout.labels)


def _permute(flow: Flow, node: fx.Node) -> Found:
    layout, axes = flow.layout(node.args[0]), argument(node, 1, "dims")
    rank = len(shape_of(node))
    if layout is None:
        return None
    return Layout([axis % rank for axis in axes].index(layout.axis), layout.labels)


def _transpose(flow: Flow, node: fx.Node) -> Found:
    layout, rank = flow.layout(node.args[0]), len(shape_of(node))
    one, other = (int(str(axis)) % rank for axis in node.args[1:3])
    if layout is None:
        return None
    return Layout({one: other, other: one}.get(layout.axis, layout.axis), layout.labels)


def _reduce(flow: Flow, node: fx.Node) -> Found:
    source: Any = node.args[0]
    layout, rank = flow.layout(source), len(shape_of(source))
    given = argument(node, 1, "dim")
    axes = [given] if isinstance(given, int) else list(given or range(rank))
    reduced = {axis % rank for axis in axes}
    if layout is None or layout.axis in reduced:
        return _stopped(flow, node, "reduces over channels")
    kept = bool(argument(node, 2, "keepdim", False))
    before = 0 if kept else sum(axis < layout.axis for axis in reduced)
    return Layout(layout.axis - before, layout.labels)


def _pad(flow: Flow, node: fx.Node) -> Found:
    layout, pads = flow.layout(node.args[0]), argument(node, 1, "pad")
    if layout is None:
        return None
    last = 2 * (len(shape_of(node)) - 1 - layout.axis)  # pads begin with the last axis
    return _stopped(flow, node, "adds channels") if any(pads[last : last + 2]) else layout


def _table() -> Mapping[str, Rule]:
    rules: tuple[tuple[Rule, str], ...] = (
        (_input, "input"),
        (_output, "output"),
        (weighted, "conv2d conv_transpose2d linear"),
        (_batch_norm, "batch_norm"),
        (_same, "relu relu6 hardtanh clamp clamp_min clamp_max leaky_relu elu selu celu gelu silu"),
        (
            _same,
            "mish softplus softsign sigmoid hardsigmoid hardswish tanh neg abs sqrt exp square",
        ),
        (_same, "dropout identity contiguous clone alias detach to threshold log_sigmoid"),
        (_spatial, "max_pool2d avg_pool2d adaptive_avg_pool2d adaptive_max_pool2d"),
        (_spatial, "upsample_nearest2d upsample_bilinear2d upsample_bicubic2d"),
        (_elementwise, "add sub mul div rsub maximum minimum pow"),
        (_prelu, "prelu"),
        (_cat, "cat"),
        (_split, "chunk split split_with_sizes"),
        (_getitem, "getitem"),
        (_slice, "slice"),
        (_select, "select"),
        (_reshape, "view reshape _unsafe_view flatten unflatten squeeze unsqueeze"),
        (_expand, "expand"),
        (_permute, "permute"),
        (_transpose, "transpose"),
        (_reduce, "mean sum amax amin"),
        (_pad, "pad constant_pad_nd"),
    )
    return {name: rule for rule, names in rules for name in names.split()}


RULES = _table()
