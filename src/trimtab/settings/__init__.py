"""Settings of the whole process, changed for a while and given back."""
