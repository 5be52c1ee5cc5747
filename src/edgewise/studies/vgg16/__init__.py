"""VGG-16 on CIFAR-10: quantization-aware training by placement, fusion and precision."""
