"""Writers of artifacts, each with the checks that make it trustworthy."""
