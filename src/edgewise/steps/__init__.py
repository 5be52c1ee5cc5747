"""What can be done to a network: frozen settings with one method, apply."""
