"""Customer lifetime value: who will order again in the next quarter, and for how much."""
