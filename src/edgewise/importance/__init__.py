"""What links, channels and layers are worth: criteria of pruning and the games behind them."""
