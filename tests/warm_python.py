"""A Python that has the packages imported already: for commands that a shell script calls by name.

Starting Python and importing numpy, onnx and ONNX Runtime takes longer than most commands do. A
server imports them once and forks a process for every command; what is called ``python`` in the
script passes it its arguments, folder, environment and streams, waits and takes its exit code.
That process is the command's alone, and it ends as any other.

    python warm_python.py serve SOCKET [MODULE ...]   imports the modules, prints a line when ready
    python -I -S warm_python.py call SOCKET -m NAME ...   also -c CODE and -, as Python takes them
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import socket
import struct
import sys
from pathlib import Path

_LENGTH = struct.Struct("!I")
_CODE = struct.Struct("!B")
STREAMS = (0, 1, 2)


def call(address: str, arguments: list[str]) -> int:
    """Run a command in the server's next process; its exit code."""
    request = {"arguments": arguments, "folder": os.getcwd(), "environment": dict(os.environ)}
    data = json.dumps(request).encode()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        socket.send_fds(connection, [_LENGTH.pack(len(data))], STREAMS)
        connection.sendall(data)
        for stream in STREAMS:
            os.close(stream)  # the reader of a pipe that has seen enough must be the last one
        command = _LENGTH.unpack(connection.recv(_LENGTH.size))[0]
        # who ends this program means the command
        signal.signal(signal.SIGTERM, lambda number, _: os.kill(command, number))
        code = connection.recv(_CODE.size)
    return _CODE.unpack(code)[0] if code else 1


def serve(address: str) -> list[str]:
    """Fork a process for every call; returns in each of them, with the arguments of its command."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        os.write(1, b"ready\n")
        signal.signal(signal.SIGCHLD, lambda *_: _reap(os.WNOHANG))
        signal.signal(signal.SIGTERM, _end)
        while True:
            connection, _ = listener.accept()
            if os.fork() == 0:
                for number in (signal.SIGCHLD, signal.SIGTERM):
                    signal.signal(number, signal.SIG_DFL)
                listener.close()
                return _answer(connection)
            connection.close()


def _reap(options: int) -> None:
    """Wait for processes: only then the time they took counts as that of whoever started us."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, options)[0]:
            pass


def _end(*_: object) -> None:
    """Not before every command has ended."""
    _reap(0)
    sys.exit()


def _answer(connection: socket.socket) -> list[str]:
    """Become the command in a process of its own; this one waits and tells how it ended."""
    head, streams, _, _ = socket.recv_fds(connection, _LENGTH.size, len(STREAMS))
    data = b""
    while len(data) < _LENGTH.unpack(head)[0]:
        data += connection.recv(1 << 16)
    child = os.fork()
    if child:
        for stream in (*STREAMS, *streams):
            os.close(stream)
        connection.sendall(_LENGTH.pack(child))
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        connection.sendall(_CODE.pack(code if code >= 0 else 128 - code))  # as a shell says it
        os._exit(0)
    connection.close()
    for stream, given in zip(STREAMS, streams, strict=True):
        os.dup2(given, stream)
        os.close(given)
    request = json.loads(data)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    return list(request["arguments"])


def main() -> None:
    """Be the command that Python would be with these arguments."""
    import runpy
    from importlib import import_module, invalidate_caches
    from types import ModuleType

    for name in sys.argv[3:]:
        import_module(name)
    gc.collect()
    gc.freeze()  # a command that ends looks for garbage, which copies all pages that it touches
    arguments = serve(sys.argv[2])
    invalidate_caches()  # files were written since
    option, *rest = arguments
    if option == "-m":
        sys.path[0] = os.getcwd()
        sys.argv = ["-m", *rest[1:]]
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        return
    code = sys.stdin.read() if option == "-" else rest.pop(0)
    sys.path[0] = ""
    sys.argv = [option, *rest]
    sys.modules["__main__"] = ModuleType("__main__")
    exec(compile(code, "<string>", "exec"), sys.modules["__main__"].__dict__)


if __name__ == "__main__":
    if sys.argv[1] == "call":
        os._exit(call(sys.argv[2], sys.argv[3:]))
    sys.path[0] = str(Path.cwd())  # not what lies beside this file
    main()
