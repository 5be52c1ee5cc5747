"""Images and labels: readers, splits, fetching, and the preprocessing contract."""
