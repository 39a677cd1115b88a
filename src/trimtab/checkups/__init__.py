"""Checkups: a network, its rows, its loss and its rate looked at before training, and remedies tried in short ones."""
