"""Every command, killed or stopped at random moments: nothing wrong is taken, nothing is left.

``KILLS=200 SEED=1 make conformance K=kills``. A command runs in a session of its own, as a terminal
starts it, and is sent a signal. What is there afterwards is what was asked for, byte for byte, or a
sentence refuses it; the next run leaves no trace of the killed one.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import conftest
from knightlite import workspace
from knightlite.cli.program import COMMANDS as ALL_COMMANDS
from knightlite.cli.program import run
from knightlite.errors import UsageError

pytestmark = pytest.mark.conformance

ROOT = Path(__file__).parent.parent.parent
KILLS, SEED = int(os.environ.get("KILLS", "200")), int(os.environ.get("SEED", "1"))
SIGNALS = (signal.SIGKILL, signal.SIGINT, signal.SIGTERM)
EACH = 32  # kills after which everything is run to its end
PATIENCE = 60.0  # seconds in which a stopped command must have ended, on a busy machine
SERVING_S = 5.0
STATE = "sums.json"
PAIR = ("digits_quantize_r.cfg", "digits_quantize_r.weight")
QUANT = ["quant", "-m", "digits.pdmodel", "-d", "calib", "--recipe", "digits", "-i", "3",
         "--effort", "low"]  # fmt: skip
SIM = ["sim", "--input", "picture.png", "--check"]
SIM_BUILT = [*SIM, "--config", f"out/{PAIR[0]}", "-s", "out"]
EVAL = ["eval", "digits_quantize.onnx", PAIR[0], "-d", "test", "--recipe", "digits", "--labels",
        "labels.txt", "--json", "--state", STATE]  # fmt: skip
COMMANDS = {
    "quant": [*QUANT, "-du"],
    "compile": ["compile", "--onnx", "digits_quantize.onnx"],
    "sim": SIM,
    "profile": ["profile", "--html", "page.html", "--advice-seconds", "0"],
    "eval": [*EVAL, "-j", "2"],
    "compare": ["compare", "-s", "."],
    "diagnose": ["diagnose", "-d", "calib", "--labels", "labels.txt", "-i", "2", "--suspects", "1"],
    "build": ["build", "--run-config", "config.json"],
    "explore": ["explore", "-m", "digits.pdmodel", "digits_quantize.onnx", "--chips", "TX5105C",
                "TX5368AV200", "--opt-group", "0", "1", "-j", "2", "--html", "explore.html"],
    "deploy": ["deploy", "-o", "project", "--force"],
    "sim-lib": ["sim-lib", "-o", "lib", "--force"],
    "bin2header": ["bin2header", PAIR[0], "network.h"],
    "npy2bin": ["npy2bin", "-i", "array.npy", "-o", "array.bin"],
    "model_modifier": ["model_modifier", "-m", "digits_quantize.onnx"],
    "model_check": ["model_check", "-r", "1"],
    "check": ["check", "-m", "digits.pdmodel"],
    "inspect": ["inspect", PAIR[0], "--json"],
    "explain": ["explain"],
    "model_info": ["model_info", "-m", PAIR[0]],
    "show_sim_result": ["show_sim_result"],
    "chips": ["chips", "TX5105C", "--ops"],
    "script-path": ["script-path"],
    "serve": ["serve", PAIR[0], "--port", "0", "-j", "2"],
}  # fmt: skip
NEXT = {  # what a user may type then: it works, or refuses by a sentence
    "quant": [["compile"], ["compile", "--onnx", "digits_quantize.onnx"]],
    "compile": [SIM, COMMANDS["profile"]],
    "sim": [["show_sim_result"]],
    "build": [SIM_BUILT],
}
CHAIN = (  # all that leaves files
    *(COMMANDS[name] for name in ("quant", "compile", "sim", "profile", "compare", "build")),
    SIM_BUILT,
    *(
        COMMANDS[name]
        for name in (
            "explore",
            "deploy",
            "sim-lib",
            "bin2header",
            "npy2bin",
            "model_modifier",
            "model_check",
        )
    ),
)
CONFIG = {
    "quant": {"model": "digits.pdmodel", "data": "calib", "recipe": "digits", "iteration": 2,
              "effort": "low", "save-dir": "out"},
    "compile": {"onnx": "out/digits_quantize.onnx", "save-dir": "out"},
}  # fmt: skip


AT_OPERATION = """
import atexit, os, sys
at, number = int(sys.argv.pop(1)), int(sys.argv.pop(1))
kinds = {"os.chmod", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir",
         "shutil.rmtree", "tempfile.mkdtemp", "tempfile.mkstemp"}
done = 0
def hook(event, arguments):
    global done
    if event in kinds:
        done += 1
        if done == at:
            os.kill(os.getpid(), number)
sys.addaudithook(hook)
atexit.register(lambda: os.write(2, b"\\n%d" % done))
from knightlite.cli import main
main()
"""


@dataclass(frozen=True)
class Measured:
    """What an undisturbed command takes: seconds, and operations on files and folders."""

    seconds: float
    operations: int


@dataclass(frozen=True)
class Strike:
    """A signal at a moment: so many seconds after the start, or before the n-th file operation."""

    number: signal.Signals
    everyone: bool  # its workers too, as a terminal does
    seconds: float
    operation: int = 0

    def __str__(self) -> str:
        when = f"operation {self.operation}" if self.operation else f"{self.seconds:.2f} s"
        return f"{self.number.name} to {'all of it' if self.everyone else 'it'} at {when}"


@dataclass(frozen=True)
class Ended:
    """A command that was sent a signal: its exit code, what it said, what lives on of it."""

    code: int
    said: str
    orphans: tuple[int, ...]


def furnish(folder: Path) -> None:
    """Digits with a few pictures; the system's temporary folder is one of ours."""
    for name in ("digits.pdmodel", "digits.pdiparams", "labels.txt"):
        shutil.copy(conftest.DIGITS / name, folder)
    for part in ("calib", "test"):
        for label in "0123456789":
            (folder / part / label).mkdir(parents=True)
            picture = min((conftest.DIGITS / part / label).iterdir())
            shutil.copy(picture, folder / part / label)
    shutil.copy(picture, folder / "picture.png")
    (folder / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    np.save(folder / "array.npy", np.arange(100_000, dtype=np.float32))
    (folder / "tmp").mkdir()


def of_session(leader: int) -> tuple[int, ...]:
    """The processes of a session that live."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            state, _, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
        except (OSError, ValueError):  # no process, or ended meanwhile
            continue
        if session == str(leader) and state != "Z":
            found.append(int(entry.name))
    return tuple(found)


def start(
    arguments: list[str], operation: int = 0, number: int = 0
) -> tuple[subprocess.Popen[bytes], Path]:
    program = ["-c", AT_OPERATION, str(operation), str(int(number))]
    program = program if operation else ["-m", "knightlite"]
    said = Path("tmp/said.txt")  # no pipe: an orphan would hold it open
    with said.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, *program, *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(Path("tmp").resolve())},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stream,
            start_new_session=True,
        )
    return process, said


def measured(arguments: list[str]) -> Measured:
    if arguments[0] == "serve":  # which has no end: it is struck while it opens, or serves
        return Measured(SERVING_S, 0)
    began = time.monotonic()
    process, said = start(arguments, sys.maxsize)
    code, text = process.wait(), said.read_text(encoding="utf-8")
    said.unlink()
    assert code == 0, text
    return Measured(time.monotonic() - began, int(text.splitlines()[-1]))


def killed(arguments: list[str], strike: Strike) -> Ended:
    process, said = start(arguments, strike.operation, strike.number)
    try:
        process.wait(strike.seconds)
    except subprocess.TimeoutExpired:
        (os.killpg if strike.everyone else os.kill)(process.pid, strike.number)
    try:
        process.wait(PATIENCE)
    finally:
        ends = time.monotonic() + 10
        while (orphans := of_session(process.pid)) and time.monotonic() < ends:
            time.sleep(0.05)
        for orphan in orphans:
            os.kill(orphan, signal.SIGKILL)
    text = said.read_text(encoding="utf-8")
    said.unlink()
    return Ended(process.returncode, text, orphans)


def strike_of(chance: random.Random, usual: Measured) -> Strike:
    """While it imports, at any time, near its end, or between two operations on files."""
    number, everyone, kind = chance.choice(SIGNALS), chance.random() < 0.5, chance.randrange(4)
    if kind == 3 and usual.operations:
        return Strike(number, False, PATIENCE, chance.randint(1, usual.operations))
    first, last = ((0, 2), (0, usual.seconds), (0.8 * usual.seconds, usual.seconds))[kind % 3]
    return Strike(number, everyone, chance.uniform(first, last))


def faults_of(ended: Ended, strike: Strike) -> list[str]:
    """What is wrong with how a command ended."""
    found = [f"process {orphan} lives on" for orphan in ended.orphans]
    # Python's own start is not ours: a Ctrl-C before it reaches our first line is told its way
    ours = f"{ROOT / 'knightlite'}{os.sep}" in ended.said
    if ("Traceback" in ended.said and ours) or "Exception ignored" in ended.said:
        found.append(f"says {ended.said!r}")
    codes = {signal.SIGINT: (130, -signal.SIGINT)}.get(strike.number, (-strike.number,))
    if ended.code not in (0, *codes) and (ours or "Traceback" not in ended.said):
        found.append(f"exit code {ended.code}, saying {ended.said!r}")
    if strike.operation and not ended.code and int(ended.said.split()[-1]) >= strike.operation:
        found.append("goes on as if nothing had been")
    return found


def wrongly_taken() -> list[str]:
    """Files that the manifest hands on though they are not as it has them."""
    found = []
    here = workspace.open_workspace(".")  # FormatError where it is half-written
    for item in here.records:
        for key, produced in item.files.items():
            try:
                taken = workspace.latest(here, item.stage, key)
            except UsageError:
                continue
            sha256 = workspace.sha256_of(taken.path)
            if sha256 != taken.record.files[key].sha256:
                found.append(f"{produced.path} is taken, but is another")
    return found


def contents() -> dict[str, str]:
    """The hash of every file here, by its path; folders have none."""
    return {
        str(path): workspace.sha256_of(path) if path.is_file() else ""
        for path in sorted(Path().rglob("*"))
    }


def run_whole(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Run all that leaves files to its end, and check every byte."""
    found = []
    for arguments in CHAIN:
        name = arguments[0]
        code = run(arguments)
        said = capsys.readouterr()
        if code:
            found.append(f"{name} ends in {code}: {said.err}")
        elif name in ("sim", "build") and ", 0 differ" not in said.out + said.err:
            found.append(f"{name} does not find 0 bytes to differ: {said.out}")
    return found


def follow(name: str, sums: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Type what comes next."""
    found = []
    for arguments in NEXT.get(name, ()):
        code = run(arguments)
        said = capsys.readouterr()
        if code not in (0, 2) or "foreseen" in said.err:
            found.append(f"then {arguments[0]} ends in {code}: {said.err}")
    if name == "eval":  # goes on where it was killed
        code = run([*EVAL, "-j", "1"])
        said = capsys.readouterr()
        if code or said.out != sums:
            found.append(f"then eval ends in {code} with {said.out}: {said.err}")
        Path(STATE).unlink()
    return found


@pytest.fixture
def heeded() -> Iterator[None]:
    """Ctrl-C reaches what is started, though a shell that runs this behind has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_every_command_is_killed() -> None:
    assert sorted(COMMANDS) == sorted(ALL_COMMANDS)


@pytest.mark.usefixtures("heeded")
def test_kills(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    furnish(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    assert run_whole(capsys) == []
    assert run([*EVAL, "-j", "1"]) == 0
    sums = capsys.readouterr().out
    Path(STATE).unlink()
    usual = {name: measured(arguments) for name, arguments in COMMANDS.items()}
    Path(STATE).unlink()
    assert run_whole(capsys) == []
    wanted = contents()
    chance, faults, seen = random.Random(SEED), [], Counter[str]()
    for kill in range(1, KILLS + 1):
        name = tuple(COMMANDS)[kill % len(COMMANDS)]
        strike = strike_of(chance, usual[name])
        ended = killed(COMMANDS[name], strike)
        seen["ended before" if ended.code == 0 else strike.number.name] += 1
        found = faults_of(ended, strike) + wrongly_taken() + follow(name, sums, capsys)
        if kill % EACH == 0 or kill == KILLS:
            found += run_whole(capsys)
            now = contents()
            found += [
                f"{path} is left or differs" for path in sorted(wanted.keys() | now.keys())
                if wanted.get(path) != now.get(path)
            ]  # fmt: skip
        faults += [f"{kill}: {name}, {strike}: {x}" for x in found]
        if found:
            with capsys.disabled():
                sys.stdout.write("\n".join(faults[-len(found) :]) + "\n")
    with capsys.disabled():
        sys.stdout.write(f"{KILLS} kills, seed {SEED}: {dict(seen)}\n")
    assert faults == []
