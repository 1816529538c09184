"""The version of the program, which it also writes into its files."""

__version__ = "0.1.0"
