"""A seeded part of ``make fuzz``, and that it finds what is planted."""

from __future__ import annotations

import ast
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fuzz import commands, mutators, readers
from fuzz.forked import Ended
from fuzz.reached import OURS, Reached
from fuzz.seeds import make_chain
from fuzz.targets import Target, make_place, targets
from knightlite.container import CFG_MAGIC, read_sections
from knightlite.errors import FormatError
from made_once import MadeOnce

TESTS = Path(__file__).parent
INPUTS = 1000
# what makes values of a file's bytes
READING = {
    "fromfile", "json_value", "loads", "map_array", "memmap", "open", "open_regular", "parse_json",
    "ParseFromString", "raw_values", "read_array", "read_arrays", "read_bytes", "read_part",
    "read_text", "toml_table",
}  # fmt: skip
# where no file of a user's is read, or what reads it is fuzzed through other functions
ELSEWHERE = {
    "api/compilation.py: compile_model": "as load_quantized reads",
    "api/inspection/submodel.py: cut_out": "as onnx_file reads",
    "array_pipe.py: receive": "what another process of ours sends",
    "frontend/script_process.py: _ended": "an answer of ours",
    "script_imports.py: _parsed": "a script, which Python reads too",
    "api/quantization/calibration_data.py: _workload": "text that input_configs.parse has read",
    "api/quantization/in_memory.py: _settings": "handed to read_mix",
    "api/quantization/run.py: _read_cache": "handed to the cache",
    "atomic_write.py: locked": "a folder",
    "chip_files.py: families": "chips that ship",
    "cli/profile.py: command": "just written",
    "deploy/project.py: chip_types": "a header that ships",
    "frontend/model_files.py: framework_of": "asked what it begins with",
    "frontend/qdq.py: load_quantized": "asked the same, where it is called no .onnx",
    "deploy/code_size.py: _roots": "sources that ship",
    "reading/texts.py: holds_key": "of files with a near name; as toml_table",
    "reading/texts.py: holds": "as toml_table reads",
    "deploy/code_size.py: _measured": "an answer of ours, measured again where it is damaged",
    "native/build.py: fingerprint": "sources that ship",
    "cli/streams.py: silence": "the null device",
    "foreign/start.py: main": "in another interpreter",
    "frontend/interpreter.py: run": "an answer of ours",
    "frontend/paddle.py: _convert": "the converter's, which onnx_file reads",
    "frontend/paddle.py: convert": "its checks, without the converter",
    "frontend/paddle_pir.py: to_onnx": "its checks, without the converter",
    "frontend/pytorch.py: to_onnx": "the converter's, which onnx_file reads",
    "metrics/plugin.py: metric_source": "a script, which Python reads too",
    "metrics/plugin.py: value": "just written",
    "public/stages.py: compile": "as load_quantized reads",
    "api/advising/trying.py: _sentences": "an answer of ours",
    "api/deployment.py: _known_input": "any bytes of its size are one",
    "api/deployment.py: bin2header": "any bytes become a header",
    "api/exploration/points.py: _kept": "just written",
    "api/profiling.py: _bytes": "handed to read_profile",
    "report/page.py: _asset": "sources that ship",
}


@pytest.fixture(scope="module")
def chain(made_once: MadeOnce) -> Path:
    return made_once.folder("fuzzed_chain", make_chain)


def test_mutated_inputs_are_read_or_refused_in_a_sentence(chain: Path, tmp_path: Path) -> None:
    chosen = targets(chain)
    make_place(tmp_path, chain, chosen)
    fuzzer = readers.Fuzzer(chosen, tmp_path, seed=7)
    fuzzer.run(INPUTS)
    assert fuzzer.found.counts == {}
    assert min(fuzzer.fed.values()) >= INPUTS // sum(item.share for item in chosen)


def test_what_is_reached_leads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three bytes in a row are found one after the other, and not at once."""

    def read(path: Path) -> object:
        data = path.read_bytes()
        if data[1:2] == b"\x01":
            if data[2:3] == b"\x10":
                if data[3:4] == b"\x04":
                    raise AssertionError
                return 3
            return 2
        return 1

    monkeypatch.setattr("fuzz.reached.OURS", __file__)
    target = Target("three", "f", bytes(4), read, (mutators.raw,))
    found = []
    for reached in (Reached(), None):
        fuzzer = readers.Fuzzer([target], tmp_path, 1, reached)
        fuzzer.run(1200)
        found.append(len(fuzzer.found.counts))
    assert found == [1, 0]


def test_every_reader_is_fuzzed(chain: Path, tmp_path: Path) -> None:
    """Wherever knightlite makes values of a file's bytes a target's sound file comes past."""
    reached, found, chosen = Reached(), readers.Found(), targets(chain)
    make_place(tmp_path, chain, chosen)
    for watched in (None, reached):  # the first time for what a process reads once and keeps
        for target in chosen:
            readers.feed(target, target.seed, tmp_path, found, reached=watched)
    missed = {
        f"{Path(file).relative_to(OURS)}: {function}"
        for file, function, first, last in _readings()
        if not reached.ran(file, first, last)
    }
    assert sorted(missed - {*ELSEWHERE}) == []
    assert sorted({*ELSEWHERE} - missed) == []
    assert found.counts == {}


def _readings() -> Iterator[tuple[str, str, int, int]]:
    """File, function and lines of every call of READING."""
    for path in Path(OURS).rglob("*.py"):
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(function, ast.FunctionDef):
                continue
            for call in ast.walk(function):
                if isinstance(call, ast.Call):
                    called = call.func
                    name = called.attr if isinstance(called, ast.Attribute) else (
                        called.id if isinstance(called, ast.Name) else "")  # fmt: skip
                    writes = any(
                        isinstance(item, ast.Constant) and item.value in ("w", "wb")
                        for item in call.args
                    )
                    others = name == "open" and not call.args  # a session's, not a file's
                    if name in READING and not (writes or others):
                        yield str(path), function.name, call.lineno, call.end_lineno or call.lineno


def test_what_is_planted_is_found(chain: Path, tmp_path: Path) -> None:
    """An internal error, an error without words, and a reader that does not come back."""

    def breaks(path: Path) -> object:
        return dict[str, str]()["missing"]

    def mute(path: Path) -> object:
        raise FormatError(" ")

    def sleeps(path: Path) -> object:
        while True:
            pass

    found = readers.Found()
    for name, read in (("breaks", breaks), ("mute", mute), ("sleeps", sleeps)):
        target = Target(name, "f", b"", read, ())
        with readers.ticking(0.05):
            readers.feed(target, b"x", tmp_path, found, hang_s=0.05)
    kinds = sorted(found.counts)
    assert kinds[0].startswith("breaks: KeyError at ")
    assert kinds[1:] == ["mute: sentence ' '", "sleeps: over 0.05 s"]


@pytest.mark.parametrize(
    ("mutate", "name"),
    [(mutators.protobuf, "onnx"), (mutators.json_text, "manifest"), (mutators.png, "PNG")],
)
def test_mutants_differ_and_are_repeatable(
    chain: Path, mutate: Callable[[bytes, random.Random], bytes], name: str
) -> None:
    seed = {item.name: item for item in targets(chain)}[name].seed
    first = [mutate(seed, random.Random(number)) for number in range(50)]
    assert first == [mutate(seed, random.Random(number)) for number in range(50)]
    assert len({*first}) > 25


def test_checksums_are_repaired(chain: Path) -> None:
    """Mutated files pass the checks of their container: the readers behind it are reached."""
    seed = {item.name: item for item in targets(chain)}["cfg"].seed
    for number in range(50):
        made = mutators.compiled(seed, random.Random(number))
        assert read_sections(CFG_MAGIC, made, "a.cfg") != {}


def test_commands_end_in_a_result_or_a_sentence(tmp_path: Path) -> None:
    """One of each, with something wrong; in a process of its own, which forks."""
    count = len(commands.COMMANDS)
    done = subprocess.run(
        [sys.executable, "-m", "fuzz", "--inputs", "0", "--commands", str(count), "--seed", "3",
         "--out", str(tmp_path)],
        env={**os.environ, "PYTHONPATH": f"{TESTS.parent}{os.pathsep}{TESTS}"},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{count} commands in " in done.stdout


@pytest.mark.parametrize(
    ("code", "said", "late", "faults"),
    [
        (1, "Error: x must be y.\nHint: z", False, []),
        (0, "a word", False, []),
        (1, "Error: a.\nError: b.", False, ["2 sentences"]),
        (2, "", False, ["exit code 2 without a word"]),
        (0, "Error: a.", False, ["exit code 0: Error: a."]),
        (3, "Error: a.", False, ["exit code 3"]),
        (-9, "", True, ["does not end"]),
        (-11, "", False, ["signal 11, after 1 s"]),
        (1, "Error: knightlite failed inside (KeyError).", False,
         ["failed inside: Error: knightlite failed inside (KeyError)."]),
        (1, "Error: \x1b[31mred", False, ["control character '\\x1b'"]),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_command(code: int, said: str, late: bool, faults: list[str]) -> None:
    ended = Ended(code, "", said, 1.0, 0, late)
    assert list(commands._faults(commands.Case(("sim",)), ended)) == faults


def test_what_a_command_leaves(chain: Path, tmp_path: Path) -> None:
    """Leftovers, files that are gone, and results of what failed."""
    work = tmp_path / "work"
    shutil.copytree(chain, work)
    before = dict(commands._states(work))
    case, failed = commands.Case(("sim",)), Ended(1, "", "Error: a.", 1.0, 0, False)
    assert list(commands._leftovers(case, failed, work, before)) == []
    (work / ".x-kl01234567p89-y").touch()
    (work / "m.json").unlink()
    assert list(commands._leftovers(case, failed, work, before)) == [
        "leftover .x-y", "m.json is gone", "exit code 1, but .x-kl01234567p89-y is written",
    ]  # fmt: skip
