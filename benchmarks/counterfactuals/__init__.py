"""Whether what is claimed of a winner's choices holds: how often intervals cover, and how often nothing is claimed."""
