"""Beside the command: the program that claims an attempt, supervises the command and says how it ended."""
