"""What was found, to look at."""
