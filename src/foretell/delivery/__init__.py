"""Deliveries: what the model wrote, read, checked against what is declared, and kept as Parquet."""
