"""What is wrong with the rows that a network is trained on and judged by: from a record of a table to findings."""
