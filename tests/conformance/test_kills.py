"""Every command, sent a signal at random moments: nothing wrong is taken, nothing is left.

``KILLS=200 SEED=1 make conformance K=kills``. A folder holds all that one network leaves; a command
that would leave something else there is struck while it lives. What a user types next then makes
what it makes of the old files or of the new ones, byte for byte, or says one sentence; the command,
typed again, leaves what it leaves undisturbed, and nothing of the struck one.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from struck import (
    PATIENCE,
    Measured,
    Strike,
    faults_of,
    measured,
    printed_of,
    start,
    strike_of,
    struck,
)

import conftest
from knightlite import workspace
from knightlite.cli.program import COMMANDS as ALL_COMMANDS
from knightlite.cli.program import run
from knightlite.errors import UsageError
from knightlite.leftovers import sweep
from stub_frameworks import interpreter

pytestmark = pytest.mark.conformance

KILLS, SEED = int(os.environ.get("KILLS", "200")), int(os.environ.get("SEED", "1"))
TRIES = 40  # signals for one that hits
SERVING_S = 4.0
CFG, WEIGHT = "digits_quantize_r.cfg", "digits_quantize_r.weight"
ONNX = "digits_quantize.onnx"
SCRIPT = """\
import numpy as np
from onnx_quantize_tool.common.register import onnx_infer_func


@onnx_infer_func.register("infer")
def infer(executor):
    chance = np.random.default_rng(1)
    for number in range(executor.iteration):
        executor.forward(chance.random((executor.batch_size, 3, 32, 32)).astype(np.float32))
"""
RUN_CONFIG = {
    "quant": {"model": "digits.pdmodel", "data": "calib", "recipe": "digits", "iteration": 1,
              "effort": "low", "save-dir": "out"},
    "compile": {"onnx": f"out/{ONNX}", "save-dir": "out"},
}  # fmt: skip


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


@dataclass(frozen=True)
class Command:
    """A command that is struck, and what a user types then; ``without``: what it makes anew.

    ``apart``: it leaves something in a process, so that it is never run in this one.
    """

    words: tuple[str, ...]
    then: tuple[tuple[str, ...], ...] = ()
    without: tuple[str, ...] = ()
    apart: bool = False


QUANT = "quant -m digits.pdmodel -d calib --recipe digits --effort low"
SIM = "sim --input picture.png --check --recipe digits"
BUILT = f"{SIM} --config out/{CFG} -s out"
EVAL = (
    f"eval {ONNX} {CFG} -d test --recipe digits --labels labels.txt --json --state sums.json -j 2"
)
EXPLORE = "explore -m digits.pdmodel digits_quantize.onnx --html explore.html -j 2"
FIRST = tuple(  # all that leaves files
    map(_words, (
        "build --run-config config.json", BUILT, f"{QUANT} -i 3 -du", "compile", SIM, "profile",
        "compare -s .", "deploy -o project", "sim-lib -o lib", f"bin2header {CFG} network.h",
        "npy2bin -i array.npy -o array.bin", f"model_modifier -m {ONNX}", "model_check -r 1",
    ))
)  # fmt: skip


def _command(words: str, *then: str, without: str = "", apart: bool = False) -> Command:
    return Command(_words(words), tuple(map(_words, then)), _words(without), apart)


TAKEN = ("compile", f"compile --onnx {ONNX}", SIM)
COMMANDS = (  # each would leave other files than are there, where it can
    _command(f"{QUANT} -i 2 -du", *TAKEN),
    _command("quant -m digits.pdmodel -uds script.py -if infer -i 1 --effort low",
             *TAKEN),
    _command(f"compile --onnx {ONNX} --opt-group 0", SIM, "profile"),
    _command(f"compile --onnx {ONNX} --opt-group 2 --evaluations 4", SIM, "profile"),
    _command("sim --input other.png --check", "show_sim_result"),
    _command("sim --input other.png --engine native", "show_sim_result", without="cache",
             apart=True),
    _command("profile -bu 0.5 --html page.html --advice-seconds 0"),
    _command(EVAL),
    _command("compare -s . --rmse"),
    _command("diagnose -d calib --recipe digits -i 2 --suspects 1"),
    _command("build --run-config config.json --quant.iteration 3", BUILT),
    _command(f"{EXPLORE} --chips TX5105C TX5368AV200 --opt-group 0 1",
             without="explore.json explore.html"),
    _command("deploy -o project --force --arrays"),
    _command("deploy -o project", without="project"),
    _command("sim-lib -o lib", without="lib"),
    _command(f"bin2header {WEIGHT} network.h"),
    _command("npy2bin -i other.npy -o array.bin"),
    _command(f"model_modifier -m {ONNX}", without="digits_quantize_sub.onnx"),
    _command("model_check -r 1"),
    _command("check -m digits.pdmodel"),
    _command(f"inspect {CFG} --json"),
    _command("explain"),
    _command(f"model_info -m {CFG}"),
    _command("show_sim_result"),
    _command("chips TX5105C --ops"),
    _command("script-path"),
    _command("demo -f onnx --save-dir shown", without="shown"),
    _command(f"serve {CFG} --port 0 -j 2", apart=True),
)  # fmt: skip


@dataclass
class Reference:
    """A command undisturbed: what it took, and what there is afterwards.

    ``results``: by what is typed then, the files that it writes, of the old files and the new ones.
    """

    usual: Measured
    contents: dict[str, str]
    results: list[tuple[dict[str, str], dict[str, str]]]


def furnish(folder: Path) -> None:
    """Digits with a few pictures; temporary files and built libraries lie in folders of ours."""
    for name in ("digits.pdmodel", "digits.pdiparams", "labels.txt"):
        shutil.copy(conftest.DIGITS / name, folder)
    for part in ("calib", "test"):
        for label in "0123456789":
            (folder / part / label).mkdir(parents=True)
            picture = min((conftest.DIGITS / part / label).iterdir())
            shutil.copy(picture, folder / part / label)
    shutil.copy(picture, folder / "picture.png")
    shutil.copy(min((folder / "calib" / "3").iterdir()), folder / "other.png")
    (folder / "config.json").write_text(json.dumps(RUN_CONFIG), encoding="utf-8")
    (folder / "script.py").write_text(SCRIPT, encoding="utf-8")
    for name, count in (("array", 100_000), ("other", 200_000)):
        np.save(folder / f"{name}.npy", np.arange(count, dtype=np.float32))
    (folder / "tmp").mkdir()


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


def places() -> dict[str, int]:
    """What a file that is written anew has another one of, by its path."""
    return {str(path): path.stat().st_ino for path in Path().rglob("*") if path.is_file()}


def written_since(before: dict[str, int]) -> dict[str, str]:
    """The hashes of the files that were written since, the manifest aside."""
    return {
        path: workspace.sha256_of(path) for path, place in places().items()
        if before.get(path) != place and path != workspace.MANIFEST
    }  # fmt: skip


class Yard:
    """The folder of the test, which can be as it was, and commands in this process."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.here, self.kept, self.capsys = folder / "here", folder / "kept", capsys
        self.said = folder / "said.txt"
        self.of_old: dict[tuple[tuple[str, ...], ...], list[dict[str, str]]] = {}
        self.here.mkdir()

    def keep(self) -> None:
        """From now on it can be as it is now."""
        shutil.copytree(self.here, self.kept)

    def restore(self, command: Command) -> None:
        """As it was kept, without what ``command`` makes anew."""
        for path in self.here.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.copytree(self.kept, self.here, dirs_exist_ok=True)
        for name in command.without:
            path = self.here / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    def type(self, words: Sequence[str]) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of a command."""
        self.capsys.readouterr()
        code = run(list(words))
        said = self.capsys.readouterr()
        return code, said.out, said.err

    def start(self, words: Sequence[str]) -> tuple[int, str, str]:
        """As :meth:`type` in a process of its own; a server is stopped when it serves."""
        process, _ = start(words, self.said)
        ends = time.monotonic() + PATIENCE
        while words[0] == "serve" and "http" not in self.said.read_text(encoding="utf-8"):
            assert time.monotonic() < ends
            time.sleep(0.1)
        if words[0] == "serve":
            process.terminate()
        code = process.wait()
        return code, printed_of(self.said).read_text("utf-8"), self.said.read_text("utf-8")

    def whole(self, command: Command) -> tuple[int, str, str]:
        """The command, to its end."""
        return (self.start if command.apart else self.type)(command.words)

    def results(self, words: Sequence[str]) -> dict[str, str]:
        """The hashes of the files that a command writes, the manifest aside; it works."""
        before = places()
        code, _, said = self.type(words)
        assert code == 0, said
        return written_since(before)

    def reference(self, command: Command) -> Reference:
        """What ``command`` makes undisturbed."""
        self.restore(command)
        if command.then not in self.of_old:
            self.of_old[command.then] = [self.results(words) for words in command.then]
        self.restore(command)
        usual = Measured(SERVING_S, 0)  # it has no end: it is struck while it opens, or serves
        if command.words[0] != "serve":
            usual = measured(command.words, self.said)
        left = contents()
        of_new = [self.results(words) for words in command.then]
        return Reference(usual, left, list(zip(self.of_old[command.then], of_new, strict=True)))

    def strike(
        self, command: Command, wanted: Reference, chance: random.Random
    ) -> tuple[Strike, int, list[str]]:
        """Strike ``command`` while it lives: how, how many signals came too late, the faults."""
        for late in range(TRIES):
            self.restore(command)
            strike = strike_of(chance, wanted.usual)
            ended = struck(command.words, strike, self.said)
            faults = faults_of(ended, strike, command.words[0] == "serve")
            if ended.hit or faults:
                return strike, late, faults + wrongly_taken() + self.after(command, wanted)
            if not strike.operation:  # sooner than measured
                seconds = min(wanted.usual.seconds, ended.seconds)
                wanted.usual = replace(wanted.usual, seconds=seconds)
        raise AssertionError(f"{command.words} is never hit")

    def after(self, command: Command, wanted: Reference) -> list[str]:
        """What is wrong with what a user types next, and with all that is there in the end."""
        found, typed = [], {workspace.MANIFEST}
        for words, results in zip(command.then, wanted.results, strict=True):
            before = places()
            code, _, said = self.type(words)
            written = written_since(before)
            typed |= written.keys()
            if code == 0 and written not in results:
                found.append(f"then {' '.join(words)} makes neither what it did nor what it would")
            elif code not in (0, 1, 2) or "foreseen" in said or said.count("Error: ") != bool(code):
                found.append(f"then {' '.join(words)} ends in {code}: {said}")
        code, printed, said = self.whole(command)
        if code or printed != wanted.usual.printed:
            found.append(f"again it ends in {code}, printing {printed!r}: {said}")
        sweep("tmp")  # as the next run with temporary files does
        now = contents()
        return found + wrongly_taken() + [
            f"{path} is left or differs" for path in sorted(wanted.contents.keys() | now.keys())
            if wanted.contents.get(path) != now.get(path) and path not in typed
        ]  # fmt: skip


@pytest.fixture
def heeded() -> Iterator[None]:
    """Ctrl-C reaches what is started, though a shell that runs this behind has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_every_command_is_struck() -> None:
    assert {command.words[0] for command in COMMANDS} == {*ALL_COMMANDS}


@pytest.mark.usefixtures("heeded")
def test_kills(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    yard = Yard(tmp_path, capsys)
    furnish(yard.here)
    monkeypatch.chdir(yard.here)
    monkeypatch.setattr("tempfile.tempdir", str(yard.here / "tmp"))
    monkeypatch.setenv("TMPDIR", str(yard.here / "tmp"))
    python = interpreter(tmp_path, {"framework.py": ""})  # another than this one
    monkeypatch.setenv("KNIGHTLITE_SCRIPT_PYTHON", python)
    compiler = tmp_path / "cc"  # a quick one: what it makes is not what is tried here
    compiler.write_text('#!/bin/sh\nexec cc "$@" -O0\n')
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))
    monkeypatch.setenv("XDG_CACHE_HOME", str(yard.here / "cache"))
    for words in FIRST:
        code, _, said = yard.type(words)
        assert code == 0, said
    yard.keep()
    chance, faults, hits, late = random.Random(SEED), [], Counter[str](), Counter[str]()
    references: dict[Command, Reference] = {}
    for number in range(KILLS):
        command = COMMANDS[number % len(COMMANDS)]
        if command not in references:
            references[command] = yard.reference(command)
        strike, missed, found = yard.strike(command, references[command], chance)
        hits[strike.number.name] += 1
        late[command.words[0]] += missed
        faults += [f"{number}: {' '.join(command.words)}, {strike}: {x}" for x in found]
        with capsys.disabled():
            told = (
                f"{number} {command.words[0]} {strike}, of {references[command].usual.seconds:.2f}"
            )
            sys.stdout.write("\n".join([told, *faults[len(faults) - len(found) :]]) + "\n")
            sys.stdout.flush()
    with capsys.disabled():
        sys.stdout.write(f"{KILLS} of {KILLS + late.total()} signals hit, seed {SEED}: {hits}\n")
    assert faults == []
