import json
from collections.abc import Callable

import torch

from edgewise.graph.network import Network, module_of
from edgewise.quant.fake import FakeQuantize, QuantizedLayer
from edgewise.quant.record import SCHEMA, quantizer_record
from edgewise.recipe import Compressed


def test_the_record_is_json_and_says_everything_the_modules_hold(tiny_int8: Compressed) -> None:
    module = tiny_int8.network.module
    record = json.loads(json.dumps(quantizer_record(module, "onnxruntime"), allow_nan=False))
    assert (record["schema"], record["profile"]) == (SCHEMA, "onnxruntime")
    tensors = {entry["tensor"]: entry for entry in record["tensors"]}
    assert len(tensors) == len(record["tensors"])
    for node in module.graph.nodes:
        target = module_of(module, node)
        if isinstance(target, FakeQuantize):
            entry = tensors.pop(node.name)
            assert (entry["role"], entry["type"]) == ("activation", "uint8")
            assert torch.tensor(entry["scale"]) == target.scale
            assert entry["zero_point"] == int(target.zero_point)
        elif isinstance(target, QuantizedLayer):
            entry = tensors.pop(f"{target.form.path}.weight")
            assert (entry["role"], entry["type"], entry["axis"]) == ("weight", "int8", 0)
            assert torch.equal(torch.tensor(entry["scale"]), target.scale)
            bias = tensors.pop(f"{target.form.path}.bias", None)
            assert (bias is None) == (target.bias_codes is None)
            if bias is not None:
                assert torch.equal(torch.tensor(bias["scale"]), target.step)
    assert not tensors


def test_a_bias_step_is_input_step_times_weight_step(tiny_int8: Compressed) -> None:
    module = tiny_int8.network.module
    for node in module.graph.nodes:
        layer = module_of(module, node)
        if isinstance(layer, QuantizedLayer):
            assert torch.equal(layer.step, layer.source[0].scale * layer.scale)


def test_a_float_network_has_no_quantizers(captured: Callable[[str], Network]) -> None:
    assert quantizer_record(captured("plain").module, "onnxruntime")["tensors"] == []
