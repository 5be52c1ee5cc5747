"""TFLite for LiteRT: written from one quantizer record, checked against the integer twin."""
