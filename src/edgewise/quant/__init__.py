"""Quantizers: number formats, ranges, placement in a graph, simulation, and the integer twin."""
