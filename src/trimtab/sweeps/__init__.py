"""One knob or two, all their values at once."""
