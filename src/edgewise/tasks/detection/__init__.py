"""Detection: what a detector's maps mean, how it is trained and how it is judged."""
