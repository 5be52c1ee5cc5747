"""YOLOv3 on PASCAL VOC: quantization after training, in training, and of parts."""
