"""Runs that are killed, stopped, side by side, or on a full disk: processes of their own."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from knightlite import atomic_write, leftovers, workspace
from knightlite.cli import terminal
from knightlite.errors import KnightliteError

ROOT = Path(__file__).parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def python(code: str, *arguments: str, cwd: Path | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=cwd,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


# ------------------------------------------------------------------ side by side

RECORDS = """
import sys
from knightlite import workspace
for number in range(int(sys.argv[2])):
    name = f"{sys.argv[1]}{number}"
    open(name, "w").close()
    workspace.record(".", "quant", "chip", {}, {"onnx": name}, {})
"""


def test_records_of_two_processes_all_survive(tmp_path: Path) -> None:
    running = [python(RECORDS, name, "25", cwd=tmp_path) for name in ("a", "b")]
    for process in running:
        assert process.communicate()[1] == ""
        assert process.returncode == 0
    assert len(workspace.open_workspace(tmp_path).records) == 50
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]


# ------------------------------------------------------------------ what killed runs leave

KILLED = """
import os, signal
from pathlib import Path
from knightlite import atomic_write
from knightlite.leftovers import scratch_folder
with atomic_write.file_set() as files, scratch_folder() as folder:
    files.write_text("out/a.txt", "half")
    Path(folder, "x").touch()
    print(folder, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_next_run_removes_what_a_killed_one_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = python(KILLED, cwd=tmp_path)
    out, _ = process.communicate()
    assert process.returncode == -signal.SIGKILL
    scratch, left = Path(out.strip()), list((tmp_path / "out").iterdir())
    assert [path.name.startswith(".a-kl") for path in left] == [True]
    assert (scratch / "x").exists()
    mine = tmp_path / "out" / f"{leftovers.prefix('b')}x"  # of a process that lives
    other = tmp_path / "out" / ".c-kl00000000p1-x"  # of another machine
    for path in (mine, other):
        path.touch()
    atomic_write.write_text(tmp_path / "out" / "a.txt", "whole")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"a.txt", mine.name, other.name}
    with leftovers.scratch_folder():
        assert not scratch.exists()


# ------------------------------------------------------------------ Ctrl-C

SLOW_IMPORT = """
import os, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "knightlite.cli.program":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
from knightlite.cli import main
main(["chips"])
"""
COMPILED_IMPORT = SLOW_IMPORT.replace(
    "            os.kill(os.getpid(), signal.SIGINT)",
    """            try:
                os.kill(os.getpid(), signal.SIGINT)
                for _ in range(1000): pass
            except KeyboardInterrupt:
                raise ImportError("initialization failed") from None""",
).replace("knightlite.cli.program", "knightlite.api.chips")
WORK = """
import os, signal
from knightlite.cli import program, main
from knightlite import chip_files
def families():
    os.kill(os.getpid(), signal.SIGINT)
chip_files.families = families
main(["chips"])
"""


# Python that the C code of a module calls while it loads, and whose failure it does not survive
IN_A_COMPILED_MODULE = """
import os, signal, sys
def loads(frame):
    while frame and "onnx_cpp2py_export" not in str(frame.f_locals.get("spec")):
        frame = frame.f_back
    return frame
def count(frame, event, argument):
    if event == "call" and frame.f_code.co_name == "__prepare__" and loads(frame):
        sys.setprofile(None)
        os.kill(os.getpid(), signal.SIGINT)
sys.setprofile(count)
from knightlite.cli import main
main(["script-path"])
"""


@pytest.mark.parametrize("code", [SLOW_IMPORT, COMPILED_IMPORT, IN_A_COMPILED_MODULE, WORK])
def test_ctrl_c_ends_in_a_word(code: str) -> None:
    """While modules are imported, and at work."""
    process = python(code)
    out, err = process.communicate()
    assert process.returncode == 130
    assert out == ""
    assert err.strip() == "Stopped."


@pytest.mark.parametrize("module", ["quantize", "cli"])
def test_ctrl_c_while_the_package_is_imported_by_name(tmp_path: Path, module: str) -> None:
    """``python -m knightlite``, before there is a program that could answer: no traceback."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == 'knightlite.{module}':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
    )
    environment = {**ENVIRONMENT, "PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[1]}"}
    done = subprocess.run(
        [sys.executable, "-m", "knightlite", "chips"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")
    # imported by another program it changes nothing
    code = "import signal, knightlite; print(signal.getsignal(2) is signal.default_int_handler)"
    assert python(code).communicate()[0] == "True\n"


def test_little_is_loaded_before_ctrl_c_is_answered() -> None:
    """What is loaded before ``main`` is outside its answer."""
    code = (
        "import sys\n"
        "from knightlite.cli import main\n"
        "print(*sorted(name for name in sys.modules if name.startswith('knightlite')))\n"
    )
    process = python(code)
    out, err = process.communicate()
    assert err == ""
    assert out.split() == [
        "knightlite", "knightlite.cli", "knightlite.quantize", "knightlite.version",
    ]  # fmt: skip


# ------------------------------------------------------------------ workers

POOL = """
import os, time
from types import SimpleNamespace
from knightlite.api.evaluation import engine
class Bench:
    def count(self, pictures):
        print(os.getpid(), flush=True)
        time.sleep(60)
def open_bench(job, metric=None):
    return Bench()
engine.open_bench = open_bench
if __name__ == "__main__":
    for item in engine.tallies(SimpleNamespace(metric=None), list(range(10)), 2):
        pass
"""


def gone(process: int) -> bool:
    try:
        return "Z" in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True


def test_workers_end_with_their_parent(tmp_path: Path) -> None:
    (tmp_path / "pool.py").write_text(POOL, encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "pool.py"], cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    assert process.stdout is not None
    workers = [int(process.stdout.readline()) for _ in range(2)]
    process.kill()
    process.wait()
    process.stdout.close()
    ends = time.monotonic() + 20
    while not all(map(gone, workers)) and time.monotonic() < ends:
        time.sleep(0.05)
    assert all(map(gone, workers))


# ------------------------------------------------------------------ a full disk


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_no_mistake_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fail(path: Path, mode: str) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "open", fail)
    with pytest.raises(KnightliteError) as caught:
        atomic_write.write_text(tmp_path / "a" / "x.txt", "text")
    assert caught.value.exit_code == 1
    assert caught.value.sentence.endswith(f"x.txt cannot be written: {os.strerror(number)}.")
    assert list(tmp_path.iterdir()) == []


def test_a_file_over_the_limit_of_the_process_leaves_nothing(tmp_path: Path) -> None:
    code = (
        "import resource, signal\n"
        "from knightlite import atomic_write\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: atomic_write.write_bytes('x.bin', bytes(5000))\n"
        "except Exception as error: print(error.exit_code, error.sentence)\n"
    )
    process = python(code, cwd=tmp_path)
    assert process.communicate()[0] == "1 x.bin cannot be written: File too large.\n"
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------ terminals


def test_control_characters_do_not_reach_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    name = "a\x1b[31mb\x07\x9bc\u202ed\r\te"
    terminal.say(name)
    terminal.print_line(name)
    terminal.print_table("t\x1b", ["n"], [[name + "\nf"]])
    with terminal.talking() as talk:
        talk.warn(name)
    out, err = capsys.readouterr()
    escaped = r"a\x1b[31mb\x07\x9bc\u202ed\r" + "\te"
    assert err == f"{escaped}\nWarning: {escaped}\n"
    assert out == f"{escaped}\nt\\x1b\nn\n{escaped} f\n\n"
