"""One file for each command of the command line. Heavy imports happen inside the functions."""
