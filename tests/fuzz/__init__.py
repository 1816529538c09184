"""Mutated inputs to readers and whole commands, in forks: no thread may run beside one."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy is imported
