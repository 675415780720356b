"""BigQuery as a warehouse: load jobs, then one script with one transaction."""
