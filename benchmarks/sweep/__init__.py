"""How long a sweep of learning rates takes, and how good the rate is that it finds."""
