"""Where an artifact runs: files there and back, and the device's Python."""
