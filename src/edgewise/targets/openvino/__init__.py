"""ONNX for OpenVINO: quantizers where its plugin for CPUs fuses them, checked as it runs there."""
