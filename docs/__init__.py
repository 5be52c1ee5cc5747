"""Pages, and the programs that draw their pictures from the code and from records."""
