"""``python -m knightlite``."""

from knightlite.cli import main

main()
