"""Which channels of a network belong together, so that they can only be removed together."""
