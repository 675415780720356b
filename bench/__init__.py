"""What Foretell costs, as ratios: each table is made in one run of `python -m bench NAME`."""
