"""Do the references' uncertainties cover their errors? ``python -m tests.calibration`` says."""
