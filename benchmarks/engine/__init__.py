"""How fast the engine trains, beside plain loops of PyTorch."""
