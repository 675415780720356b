"""What a model needs to run: where it is declared, and how that is read."""
