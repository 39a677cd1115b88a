"""What other tools are told of a run."""
