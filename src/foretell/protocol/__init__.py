"""The law of a run: its keys and records, the rules, the steps that follow them, and the reconciler. Pure."""
