"""The engine: tensors in, runs out. It knows no tables, no files and no search."""
