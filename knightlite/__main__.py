"""``python -m knightlite``."""

import signal

from knightlite.cli import main

if __name__ == "__main__":  # not where a worker process imports it
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # by the package, while it was imported
        signal.signal(signal.SIGINT, signal.default_int_handler)
    main()
