"""What a person asks for: start, wait, check, stop, tidy, tick; and what became of it."""
