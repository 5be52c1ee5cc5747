"""Collects the parts of an ONNX model."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from edgewise.errors import ExportError
from edgewise.targets.onnx.packing import Packing, pack
from edgewise.targets.target import ANY

OPSET = 21
IR_VERSION = 10  # what opset 21 came with: older runtimes refuse a newer one
INPUT = "input"
_LARGEST = 2**31 - 1  # of a protobuf message

Array = NDArray[Any] | np.generic


@dataclass(frozen=True)
class Dialect:
    """What the runtime that reads a model wants.

    least_bits: of the narrowest type that codes are stored in; apart: integer matrix products
    without a bias must not be joined to others; picked: integer convolutions of one pixel are given
    the pixels that their stride would pick; kernels: for which processor's weights are laid out,
    see edgewise.targets.onnx.kernels.
    """

    least_bits: int = 2
    apart: bool = False
    picked: bool = False
    kernels: str = ANY


class Builder:
    """Nodes and initializers with unique names, in the order they were added."""

    def __init__(self, dialect: Dialect | None = None) -> None:
        self.dialect = dialect or Dialect()
        # Filled in place: the helpers that assemble a model copy every weight at each level.
        self._model = onnx.ModelProto(ir_version=IR_VERSION, producer_name="edgewise")
        self._model.opset_import.add(domain="", version=OPSET)
        self._graph = self._model.graph
        self._graph.name = "edgewise"
        self._constants: set[str] = set()
        self._names: set[str] = set()

    def constant(self, name: str, values: Array) -> str:
        """An initializer; the same name means the same values, and is stored once."""
        if name not in self._constants:
            self._constants.add(name)
            # order="C" and not ascontiguousarray, which makes a 0-d scale 1-d: QLinearMul then
            # does not load.
            array = np.asarray(values, order="C")
            self._graph.initializer.add(
                name=name,
                dims=array.shape,
                data_type=helper.np_dtype_to_tensor_dtype(array.dtype),
                raw_data=array.tobytes(),
            )
        return name

    def packed(self, name: str, codes: NDArray[np.int8], packing: Packing) -> str:
        """An initializer of codes narrower than a byte; the model asks for the versions it needs.

        To be used once a name.
        """
        self._model.ir_version = max(self._model.ir_version, packing.ir_version)
        opset = self._model.opset_import[0]
        opset.version = max(opset.version, packing.opset)
        self._graph.initializer.add(
            name=name,
            dims=codes.shape,
            data_type=packing.data_type,
            raw_data=pack(codes, packing.bits).tobytes(),
        )
        return name

    def node(self, operator: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        """A node with one output, which bears the node's name; returns that name."""
        return self.nodes(operator, inputs, name, (name,), **attributes)[0]

    def nodes(
        self,
        operator: str,
        inputs: Sequence[str],
        name: str,
        outputs: Sequence[str],
        **attributes: Any,
    ) -> Sequence[str]:
        """A node with several outputs; returns their names."""
        assert not self._names & {name, *outputs}, f"{name} is written twice"
        self._names |= {name, *outputs}
        self._graph.node.append(
            helper.make_node(operator, inputs, outputs, name=name, **attributes)
        )
        return outputs

    def drop(self, name: str) -> None:
        """Take back the node of that name, which nothing reads: the runtime would compute it."""
        (node,) = (node for node in self._graph.node if node.name == name)
        self._graph.node.remove(node)

    def model(
        self,
        input_shape: Sequence[int],
        outputs: Mapping[str, Sequence[int | None]],
        metadata: Mapping[str, Any],
        batch: int | None = None,
    ) -> onnx.ModelProto:
        """The whole model, checked by ONNX itself; raises ExportError when that refuses it.

        outputs: name -> shape, the batch first; batch: how many images it takes at a time; None is
        any number.
        """

        def value(name: str, shape: Sequence[int | None | str]) -> onnx.ValueInfoProto:
            return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

        model = self._model
        self._graph.input.append(value(INPUT, [batch or "batch", *input_shape]))
        for name, shape in outputs.items():
            self._graph.output.append(value(name, [batch or "batch", *shape[1:]]))
        texts = {key: json.dumps(entry, sort_keys=True) for key, entry in metadata.items()}
        helper.set_model_props(model, texts)
        if model.ByteSize() > _LARGEST:
            raise ExportError("the model is above 2 GB, which one ONNX file cannot hold.")
        try:
            onnx.checker.check_model(model)
        except onnx.checker.ValidationError as error:
            raise ExportError(f"the written ONNX model is not valid: {error}") from error
        return model
