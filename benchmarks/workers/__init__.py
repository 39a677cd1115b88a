"""Workers beside one process: what Ray costs, how many are kept busy, and how soon the first trial is there."""
