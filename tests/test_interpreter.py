"""The interpreter another framework lives in: found, started, and each failure one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from knightlite.errors import KnightliteError, ModelError, UsageError
from knightlite.frontend import interpreter
from knightlite.frontend.interpreter import Answer, Home

HOME = Home("wonders 7", "--wonder-python", "KNIGHTLITE_WONDER_PYTHON", "pip install wonders==7")


def program(folder: Path, text: str) -> str:
    path = folder / "stub"
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def refused(function: object, *arguments: object) -> KnightliteError:
    assert callable(function)
    with pytest.raises(KnightliteError) as caught:
        function(*arguments)
    return caught.value


# ------------------------------------------------------------------ which


def test_the_option_comes_before_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = program(tmp_path, "#!/bin/sh\n")
    monkeypatch.setenv(HOME.variable, sys.executable)
    assert interpreter.find(HOME, given, False, "This") == given
    assert interpreter.find(HOME, None, False, "This") == os.path.abspath(sys.executable)
    monkeypatch.delenv(HOME.variable)
    assert interpreter.find(HOME, None, True, "This") == sys.executable


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    # what a link of a virtual environment points to has none of its packages
    (tmp_path / "python").symlink_to(sys.executable)
    found = interpreter.find(HOME, str(tmp_path / "python"), True, "This")
    assert found == str(tmp_path / "python")


def test_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(HOME.variable, raising=False)
    error = refused(interpreter.find, HOME, None, False, "Reading x.wonder")
    assert type(error) is UsageError
    assert error.sentence == "Reading x.wonder needs wonders 7, which this Python does not have."
    assert error.hint == (
        "pip install wonders==7; a Python elsewhere is named with --wonder-python PATH or "
        "KNIGHTLITE_WONDER_PYTHON"
    )


def test_the_named_one_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = tmp_path / "plain"
    plain.write_text("")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").write_text("")
    for given, sentence, hint in (
        (
            "no/python",
            "--wonder-python: the Python interpreter no/python does not exist.",
            "there is no folder no; name one, or leave it out",
        ),
        (str(plain), f"--wonder-python: the Python interpreter {plain} is not executable.", ""),
        (
            str(tmp_path),
            f"--wonder-python {tmp_path} is a folder, not a Python interpreter.",
            f"give {tmp_path}/bin/python",
        ),
    ):
        error = refused(interpreter.find, HOME, given, True, "This")
        assert (error.sentence, error.hint, error.exit_code) == (sentence, hint, 2)
    monkeypatch.setenv(HOME.variable, "no/python")
    assert refused(interpreter.find, HOME, None, True, "This").sentence == (
        "KNIGHTLITE_WONDER_PYTHON: the Python interpreter no/python does not exist."
    )


# ------------------------------------------------------------------ what it says


def test_values_and_noise_are_apart(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    python = program(
        tmp_path,
        '#!/bin/sh\necho "one  line"\necho >&2 another\necho \'{"values": {"a": 1}}\' > "$5"\n',
    )
    answer = interpreter.run(python, "p", {}, "this")
    assert answer == Answer({"a": 1}, ("one line", "another"), 0)
    assert capfd.readouterr() == ("", "")


def test_an_error_is_raised_here(tmp_path: Path) -> None:
    told = '{"error": {"kind": "ModelError", "sentence": "It is broken.", "hint": "mend it"}}'
    python = program(tmp_path, f"#!/bin/sh\necho '{told}' > \"$5\"\nexit 1\n")
    error = refused(interpreter.run, python, "p", {}, "this")
    assert (type(error), error.sentence, error.hint) == (ModelError, "It is broken.", "mend it")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("#!/bin/sh\n", "it gave no reason"),
        ("#!/bin/sh\necho first\necho 'last words.'\nexit 3\n", "last words"),
        ("#!/bin/sh\necho noise\nkill -SEGV $$\n", "it crashed with signal 11"),
    ],
)
def test_no_answer(tmp_path: Path, text: str, reason: str) -> None:
    answer = interpreter.run(program(tmp_path, text), "p", {}, "this")
    assert answer.values is None
    assert answer.reason == reason


def test_it_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreter, "TIMEOUT_S", 0.2)
    python = program(tmp_path, "#!/bin/sh\nexec sleep 60\n")
    error = refused(interpreter.run, python, "p", {}, "converting x")
    assert error.sentence == f"{python} did not finish converting x within 0.2 s."


def test_it_cannot_be_started(tmp_path: Path) -> None:
    python = program(tmp_path, "no program\0")
    error = refused(interpreter.run, python, "p", {}, "this")
    assert error.sentence == f"{python} cannot be started: Exec format error."


@pytest.mark.skipif(sys.platform != "linux", reason="nothing else ends children of the killed")
def test_it_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    waits = tmp_path / "waits.py"
    waits.write_text("import sys, time\nprint(*sys.argv[1:], flush=True)\ntime.sleep(100)\n")
    child = [sys.executable, "-I", "-S", str(interpreter.WITH_PARENT), str(waits), "a", "b"]
    command = [sys.executable, "-c", f"import subprocess\nsubprocess.run({child!r})"]
    began = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"a b\n"
        parent.kill()
        assert parent.stdout.read() == b""  # until the child has ended, too
    assert time.monotonic() - began < 60


# ------------------------------------------------------------------ the programs it runs


def test_knightlite_need_not_be_installed_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the package itself becomes importable, not what lies beside it."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.chdir(tmp_path)
    code = (
        f"import sys\nsys.argv[0] = {str(interpreter.START)!r}\n"
        "import runpy, importlib.util\n"
        "start = runpy.run_path(sys.argv[0])\n"
        "start['_make_importable']()\n"
        "import knightlite.script_loading\n"
        "print(any(item.endswith('foreign') for item in sys.path))\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout == "False\n"


def test_a_package_that_is_missing_there(tmp_path: Path) -> None:
    script = tmp_path / "s.py"
    script.write_text("")
    request = {"model": "", "weight": "", "opset": 13, "output": ""}
    error = refused(interpreter.run, sys.executable, "no_such_program", request, "this")
    assert error.exit_code == 2
    assert error.sentence == f"{sys.executable} has no package knightlite."


@pytest.mark.parametrize(
    "name", ["start", "with_parent", "pir", "paddle_model", "pytorch", "model_function"]
)
def test_programs_import_their_framework_only_when_run(name: str) -> None:
    before = set(sys.modules)
    __import__(f"knightlite.foreign.{name}")
    assert {"paddle", "paddle2onnx", "torch"} & (set(sys.modules) - before) == set()
