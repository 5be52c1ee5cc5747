"""Networks, and loading of anybody's."""
