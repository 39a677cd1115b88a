"""Anybody's training log becomes a record: one reader per format, chosen by what a file holds and not by its name."""
