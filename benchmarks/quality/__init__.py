"""How good the models are that a search finds, beside those of others on the same splits."""
