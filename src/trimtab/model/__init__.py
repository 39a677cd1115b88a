"""What is saved and predicts, and what a table is to it."""
