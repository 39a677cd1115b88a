"""Benchmarks: how fast the engine is, how good a search, what a sweep finds; RESULTS.md has the figures."""
