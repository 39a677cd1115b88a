"""One search from a request to a saved result."""
