"""Files that ``node-diag init`` copies; nothing here is imported."""
