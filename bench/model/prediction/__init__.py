"""The least model that a team would recognise."""
