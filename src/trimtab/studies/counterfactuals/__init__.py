"""What each choice was worth: the winner trained again beside copies of itself that differ in one knob."""
