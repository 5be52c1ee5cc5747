"""ONNX for ONNX Runtime: written from one quantizer record, checked against the integer twin."""
