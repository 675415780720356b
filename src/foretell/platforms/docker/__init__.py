"""Attempts as containers of this machine."""
