"""Attempts on machines of Compute Engine: the machine asked for, what a refusal means, and who asks."""
