"""What is shown in a terminal: progress, summaries, the panel."""
