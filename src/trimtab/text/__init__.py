"""What is said in plain text: sentences, and tables that fit a terminal."""
