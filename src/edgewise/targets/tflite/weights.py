"""Where a .tflite file holds weights, for packing."""

from collections.abc import Iterator

from ai_edge_litert import schema_py_generated as schema

from edgewise.targets.packing import Stretch, find

_ITEM_BYTES = {
    schema.TensorType.FLOAT32: 4, schema.TensorType.FLOAT16: 2, schema.TensorType.INT8: 1,
}  # fmt: skip


def stretches(content: bytes) -> tuple[Stretch, ...]:
    """Where the constants of a file that this package wrote lie."""
    return find(content, list(_constants(content)))


def _constants(content: bytes) -> Iterator[tuple[bytes, int]]:
    model = schema.Model.GetRootAs(content, 0)
    graph = model.Subgraphs(0)
    for index in range(graph.TensorsLength()):
        tensor = graph.Tensors(index)
        data = model.Buffers(tensor.Buffer()).DataAsNumpy()
        if tensor.Type() in _ITEM_BYTES and not isinstance(data, int):  # 0 stands for no data
            yield data.tobytes(), _ITEM_BYTES[tensor.Type()]
