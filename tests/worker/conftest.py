from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

Make = Callable[..., Path]


@pytest.fixture
def make_onnx(tmp_path: Path) -> Make:
    """Writes conv 3x3 + relu + global average: input 3x8x8, as many outputs as channels."""

    def make(name: str = "net.onnx", batch: int | str = "n", channels: int = 4) -> Path:
        weight = np.random.default_rng(7).standard_normal((channels, 3, 3, 3)).astype(np.float32)
        nodes = [
            helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["c"], ["r"]),
            helper.make_node("GlobalAveragePool", ["r"], ["g"]),
            helper.make_node("Flatten", ["g"], ["y"]),
        ]
        taken = helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, 8, 8])
        given = helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, channels])
        graph = helper.make_graph(
            nodes, "g", [taken], [given], [numpy_helper.from_array(weight, "w")]
        )
        path = tmp_path / name
        opset = [helper.make_opsetid("", 17)]
        onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
        return path

    return make
