"""How good a model is on given rows: every figure with its interval, by class, by target, by slice."""
