"""That step compiled beside the training, and kept on disk."""
