"""``python -m knightlite``."""

from knightlite.cli import main

if __name__ == "__main__":  # not where a worker process imports it
    main()
