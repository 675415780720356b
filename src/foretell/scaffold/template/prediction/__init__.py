"""Will a customer leave? A tiny model in plain Python, there to be replaced."""
