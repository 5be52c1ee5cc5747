"""From a model to a bundle: capture, compress, export and verify, compare, measure."""
