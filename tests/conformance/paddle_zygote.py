"""Programs of ``knightlite.foreign`` in one interpreter that has imported Paddle once.

For an interpreter with paddlepaddle 3.3.1 and paddle2onnx 2.1.0. Every line on stdin is a JSON list
``[log, program, request, answer]``: the program runs in a fork, what it prints goes to the file
``log``, and its exit code (as subprocess has it) is a line on stdout.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "knightlite" / "foreign"))

import paddle
import paddle2onnx  # noqa: F401  # as paddle: imported once, before any fork
import start


def forked(log: str, arguments: list[str]) -> int:
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    code = 1
    try:
        code = start.main(arguments)
    except BaseException:  # a fork must not return
        traceback.print_exc()
    finally:
        os._exit(code)


if __name__ == "__main__":
    paddle.set_device("cpu")
    for line in sys.stdin:
        log, *arguments = json.loads(line)
        sys.stdout.write(f"{forked(log, arguments)}\n")
        sys.stdout.flush()
