"""Latency and memory of artifacts on one device: what was measured, derived and stored."""
