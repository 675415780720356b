"""A service: what foretell.toml says as frozen values, and how the file becomes them."""
