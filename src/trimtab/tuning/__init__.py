"""Which configs to try, for how long, and what becomes of the best."""
