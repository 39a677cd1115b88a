"""One self-contained page: what stands on it, its style and its script."""
