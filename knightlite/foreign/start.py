"""Run one program of this room: ``PYTHON start.py PROGRAM REQUEST ANSWER``.

Both files hold JSON. The answer is ``{"values": {...}}`` or ``{"error": {"kind", "sentence",
"hint"}}`` with the name of an error of :mod:`knightlite.errors`. Whatever is printed meanwhile is
the framework's noise. The file itself must parse under any Python 3, to say which one is needed.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
import types

OLDEST = (3, 10)  # the oldest Python that knightlite's own modules parse under
# all told at once; what is not here a program tells itself
NEEDED = {"pytorch": ("torch", "numpy", "onnx"), "infer_function": ("numpy",)}
HERE = os.path.dirname(os.path.abspath(__file__))


def main(arguments: list[str]) -> int:
    """Run the program; 0 with its values, or 1 with an error, in the answer file."""
    program, request, answer = arguments
    if sys.version_info < OLDEST:
        found, wanted = (".".join(str(item) for item in v[:2]) for v in (sys.version_info, OLDEST))
        sentence = f"{sys.executable} must be Python {wanted} or later, not {found}."
        return _write(answer, {"error": {"kind": "UsageError", "sentence": sentence, "hint": ""}})
    missing = [name for name in NEEDED.get(program, ()) if importlib.util.find_spec(name) is None]
    if missing:
        return _write(answer, _lacks(missing))
    _make_importable()
    from knightlite.errors import KnightliteError, as_json

    with open(request, encoding="utf-8") as stream:
        asked = json.load(stream)
    try:
        values = importlib.import_module(f"knightlite.foreign.{program}").run(asked)
    except KnightliteError as error:
        return _write(answer, {"error": as_json(error)})
    except ModuleNotFoundError as error:
        return _write(answer, _lacks([str(error.name).partition(".")[0]]))
    return _write(answer, {"values": values})


def _lacks(packages: list[str]) -> dict[str, object]:
    """The error of an interpreter without these packages."""
    sentence = f"{sys.executable} has no package {' and no package '.join(packages)}."
    hint = f"{sys.executable} -m pip install {' '.join(packages)}"
    return {"error": {"kind": "UsageError", "sentence": sentence, "hint": hint}}


def _make_importable() -> None:
    """Let ``import knightlite`` find this copy, and nothing else that lies beside it."""
    sys.path[:] = [item for item in sys.path if os.path.abspath(item) != HERE]
    package = types.ModuleType("knightlite")  # without its __init__, which offers everything
    package.__path__ = [os.path.dirname(HERE)]
    sys.modules["knightlite"] = package


def _write(path: str, answer: dict[str, object]) -> int:
    with open(path, "w", encoding="utf-8") as stream:
        json.dump(answer, stream)
    return 1 if "error" in answer else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
