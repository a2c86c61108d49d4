"""The experiments of the documents that node-diag started from, and what they show."""
