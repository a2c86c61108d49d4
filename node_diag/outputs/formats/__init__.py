"""One file for each format: the plug-ins behind ``--report``."""
