"""How foretell.toml is read: form, layers, and what follows from them. `foretell.loading` is the door."""
