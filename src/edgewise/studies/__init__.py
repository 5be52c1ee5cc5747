"""The published studies, each a grid of cells with the paper's own figures beside ours."""
