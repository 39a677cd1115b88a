"""What is right and wrong with a training, and what to change: from records to findings; nothing is trained here."""
