"""What a network is for: a loss to train with and a metric to judge by."""
