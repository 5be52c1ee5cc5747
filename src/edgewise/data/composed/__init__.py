"""`composed-voc`: a detection set made of images that can be had, in place of PASCAL VOC."""
