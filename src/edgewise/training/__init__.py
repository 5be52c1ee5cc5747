"""The one training loop, which training from scratch and quantization-aware training share."""
