"""The command line: one module a family of verbs, loaded when one of them is asked for."""
