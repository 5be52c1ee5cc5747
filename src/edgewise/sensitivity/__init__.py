"""How much each layer or region suffers from quantization: measured, and by two cheap measures."""
