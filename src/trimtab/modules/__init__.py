"""From a network of the caller's own, and what it is to learn from, to finished runs."""
