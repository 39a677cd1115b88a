"""Who is told what happens while networks are trained: one protocol for every call."""
