"""Plain PyTorch scripts, written out of pieces so that each script holds only what its configuration uses."""
