"""A network as a graph: capture, regions, cost, and what values its tensors take."""
