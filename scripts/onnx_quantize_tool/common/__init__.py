"""As much of the package of Knight's containers as user scripts import."""
