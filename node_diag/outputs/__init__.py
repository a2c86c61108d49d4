"""From a report to a terminal, and to files in several formats. Never imports torch."""
