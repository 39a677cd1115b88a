"""Curves of anyone's own training loop."""
