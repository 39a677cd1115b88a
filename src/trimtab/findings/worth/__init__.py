"""What each choice of a winner was worth: the account of it, its intervals, and the words for it."""
