"""What can be turned in a training: one table, and the questions that are asked of it."""
