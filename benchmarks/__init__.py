"""How edgewise does beside its peers, on this machine: `python -m benchmarks.peers`."""
