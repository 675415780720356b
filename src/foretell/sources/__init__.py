"""The service's directory as a value: which files belong to it, what they hold, and copies of them."""
