"""DuckDB as a warehouse: a file."""
