"""Whole commands on a small network: one thing wrong in files, options or what is around them.

Every case follows from its number alone. What a user must get is a result or one sentence, and a
folder in which nothing is half-written.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import pkgutil
import random
import re
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest import mock

import knightlite
from fuzz import mutators
from fuzz.forked import Ended, Limits, run_forked
from fuzz.seeds import INPUT_CONFIGS, silent
from fuzz.targets import BINARY, PROTO, RAW, TEXT
from knightlite import workspace
from knightlite.api.exploration import records as explored
from knightlite.cli import main
from knightlite.cli.program import COMMANDS as ALL_COMMANDS
from knightlite.cli.program import group, run
from knightlite.errors import KnightliteError

QUANT = ("quant", "-m", "m.onnx", "-gp", "-i", "2", "--effort", "low")
FOLDER = ("-d", "pictures", "--recipe", "r.toml")
COMMANDS: tuple[tuple[str, ...], ...] = (
    (*QUANT, *FOLDER),
    (*QUANT, *FOLDER, "-cd", "cache.npz", "-gsj", "-gt", "--json"),
    (*QUANT, *FOLDER, "-lsj", "m_scales.json", "-s", "out"),
    (*QUANT, *FOLDER, "-mc", "m.json"),
    (*QUANT, "-uds", "script.py", "-if", "feed", "-d", "arrays"),
    (*QUANT, "--input-configs", json.dumps(INPUT_CONFIGS)),
    (*QUANT, *FOLDER, "-du", "-s", "dump"),
    ("quant", "-m", "e.onnx", "-i", "1", "--effort", "low", "-s", "chance"),
    ("quant", "-m", "m.onnx", "-gp", "-r", "convert", "-s", "float"),
    ("quant", "-m", "m_quantize.onnx", "-r", "infer", *FOLDER, "-i", "1"),
    ("compile",),
    ("compile", "--onnx", "m_quantize.onnx", "-s", "out", "--res-version", "x", "--json"),
    ("sim", "-i", "inputs/x.bin", "--check"),
    ("sim", "-i", "pictures/a/1.png", "--labels", "labels.txt", "-s", "out"),
    ("sim", "-i", "arrays/1.npy", "-m", "m_quantize_r.tsmodel", "--debug", "all", "--json"),
    ("profile",),
    ("profile", "-m", "m_quantize_r.tsmodel", "--json", "-s", "out"),
    ("eval", "m_quantize.onnx", "m_quantize_r.cfg", "-d", "pictures", "--recipe", "r.toml",
     "-j", "1", "--labels", "labels.txt"),
    ("eval", "m.onnx", "m_quantize_golden.onnx", "-d", "pictures", "--recipe", "r.toml",
     "-j", "1", "--labels", "labels.txt", "--state", "sums.json", "--json"),
    ("compare",),
    ("compare", "-sd", ".", "--sort", "-si", "--json"),
    ("diagnose", "-d", "pictures", "--recipe", "r.toml", "-i", "1", "--suspects", "1"),
    ("check", "-m", "m.onnx", "-gp"),
    ("check", "-m", "e.onnx", "--json"),
    ("check", "-m", "p.json"),
    ("check", "-m", "p.pdmodel"),
    ("inspect", "m_quantize_r.cfg"),
    ("inspect", "m_quantize_r.weight", "--json"),
    ("explain",),
    ("model_info", "-m", "m_quantize.onnx", "--json"),
    ("model_info", "-m", "m_quantize_r.cfg", "-ds"),
    ("show_sim_result", "-sd", "."),
    ("show_sim_result", "-i", "0", "--json"),
    ("npy2bin", "-i", "arrays/1.npy", "-o", "a.bin"),
    ("deploy", "-o", "project"),
    ("deploy", "-m", "m_quantize_r.tsmodel", "-o", "out", "--arrays"),
    ("sim-lib", "-o", "lib"),
    ("bin2header", "m_quantize_r.cfg", "a.h"),
    ("bin2header", "labels.txt", "a.bin", "-r"),
    ("explore", "-m", "e.onnx", "--chips", "TX5368AV200", "-j", "1", "--html", "a.html"),
    ("explore", "-m", "m_quantize.onnx", "e.onnx", "--chips", "TX5368AV200", "c.toml", *FOLDER,
     "-i", "1", "-b", "8", "16", "--opt-group", "0", "-j", "1", "-o", "e.json", "--json"),
    ("serve", "a=m_quantize_r.cfg", "m_quantize_r.tsmodel", "--port", "0", "--token-file",
     "token.txt"),
    ("model_modifier", "-m", "m.onnx", "--output-names", "r", "-s", "out"),
    ("model_check", "-qo", ".", "-co", "."),
    ("script-path",),
    ("chips", "TX5368AV200", "--ops"),
    ("build", "--run-config", "run.json"),
    ("--default-chip", "TX5368AV200"),
)  # fmt: skip
STAGED = ("build",)  # leave what earlier stages made, where a later one fails

MUTATE: dict[str, tuple[mutators.Mutate, ...]] = {
    ".onnx": PROTO, ".cfg": BINARY, ".weight": BINARY, ".tsmodel": BINARY, ".json": TEXT,
    ".toml": (mutators.toml_text,), ".png": (mutators.png, mutators.raw), ".npy": (mutators.npy,),
    ".npz": (mutators.npz, mutators.raw), ".py": (mutators.python_text,),
}  # fmt: skip
ODD = (
    "", "0", "1", "-1", "2", "1e400", "nan", "9" * 30, "0.5", "../x", ".", "..", "missing",
    "missing/x", "\x1b[31m", "a" * 300, "a" * 5000, "\u00b2", "\U0001f600", "\udcff", "\u202e",
    "[1, 2]", "{}", "-", "--", "m.onnx", "pictures", "labels.txt", "/dev/null", "/dev/full",
    "/proc/x/y", "/proc/self/mem", "knightlite.json", "m_quantize_r.cfg", "out", "x", "y", "all",
    "1,3,8,8", "c.toml", "kl", "int8", "a:b", "1:2", "1/2", "--help", "two\nlines", " ", "%s", "~",
    "$HOME",
)  # fmt: skip
SPARSE_BYTES = 5 << 30
LEFT = re.compile(r"-kl[0-9a-f]{8}p[0-9]+-")
CONTROL = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u202a-\\u202e]")


@dataclass(frozen=True)
class Case:
    """A command line, what is done to its folder before, and what it runs in."""

    arguments: tuple[str, ...]
    edits: tuple[tuple[str, Callable[[Path], None]], ...] = ()
    limits: Limits = field(default_factory=Limits)
    about: str = ""

    def __str__(self) -> str:
        edits = ", ".join(what for what, _ in self.edits)
        return f"{' '.join(map(ascii, self.arguments))} [{edits} {self.about}]"


# ------------------------------------------------------------------ cases


def case_of(seed: int, number: int, folder: Path) -> Case:
    """Case ``number`` of a run: a command, and one thing wrong with it or, seldom, two."""
    rng = random.Random(f"{seed} {number}")
    case = Case(COMMANDS[number % len(COMMANDS)])
    for _ in range(1 if rng.random() < 0.85 else 2):
        change = rng.choice((_file, _file, _file, _option, _option, _place, _around))
        case = change(case, folder, rng)
    return case


def _named(case: Case, folder: Path, rng: random.Random) -> Path:
    """A file of the folder, one that the command names or may find more often than others."""
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    named = [path for path in files if str(path) in case.arguments]
    return rng.choice(named) if named and rng.random() < 0.5 else rng.choice(files)


def _file(case: Case, folder: Path, rng: random.Random) -> Case:
    """A file with other contents, of its format or of none."""
    name = _named(case, folder, rng)
    data = (folder / name).read_bytes()
    mutate = rng.choice(MUTATE.get(name.suffix, RAW)) if rng.random() < 0.95 else mutators.raw
    try:
        changed = mutate(data, rng)
    except Exception:  # not of its format
        changed = mutators.raw(data, rng)

    def write(work: Path) -> None:
        with contextlib.suppress(OSError):  # another edit has taken it
            (work / name).unlink()
            (work / name).write_bytes(changed)

    return replace(case, edits=(*case.edits, (f"other {name}", write)))


def _option(case: Case, folder: Path, rng: random.Random) -> Case:
    """Other arguments."""
    arguments = list(case.arguments) or [""]
    at = rng.randrange(len(arguments))
    match rng.randrange(8):
        case 0 | 1 | 2:
            arguments[at] = rng.choice(ODD)
        case 3:
            del arguments[at]
        case 4:
            arguments.insert(rng.randrange(len(arguments) + 1), arguments[at])
        case 5:
            arguments[at] += rng.choice(("=1", "x", "=", " "))
        case _:
            arguments += [rng.choice(_options_of(arguments[0], rng)), rng.choice(ODD)]
            if rng.random() < 0.3:
                arguments.pop()
    return replace(case, arguments=tuple(arguments))


def _options_of(command: str, rng: random.Random) -> list[str]:
    """The options of a command, or of any."""
    name = (
        command if command in ALL_COMMANDS and rng.random() < 0.9 else rng.choice([*ALL_COMMANDS])
    )
    found = group.commands.get(name) or group.get_command(None, name)  # type: ignore[arg-type]
    assert found is not None
    return [option for item in found.params for option in item.opts]


def _place(case: Case, folder: Path, rng: random.Random) -> Case:
    """Something else where a file or a folder is."""
    name = _named(case, folder, rng)
    name = rng.choice((name, name, name.parent)) if name.parent != Path() else name
    kinds: dict[str, Callable[[Path], object]] = {
        "no": lambda path: (),
        "a folder as": lambda path: path.mkdir(),
        "an empty": lambda path: path.write_bytes(b""),
        "a link to nothing as": lambda path: path.symlink_to("nothing"),
        "a link to itself as": lambda path: path.symlink_to(path),
        "a link to its folder as": lambda path: path.symlink_to("."),
        "a pipe as": os.mkfifo,
        "a sparse": _sparse,
        "an unreadable": _unreadable,
        "a device as": lambda path: path.symlink_to("/dev/full"),
    }
    kind = rng.choice([*kinds])

    def put(work: Path) -> None:
        path = work / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        kinds[kind](path)

    limits = replace(case.limits, mortal=kind == "an unreadable")
    return replace(case, edits=(*case.edits, (f"{kind} {name}", put)), limits=limits)


def _sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, SPARSE_BYTES)


def _unreadable(path: Path) -> None:
    path.touch(mode=0)


def _around(case: Case, folder: Path, rng: random.Random) -> Case:
    """A full disk, a folder that cannot be written to, streams and variables that are others."""
    match rng.randrange(5):
        case 0 | 1:
            size = rng.choice((0, 1, 100, 1000, 3000, 5000, 20000))
            return replace(
                case, limits=replace(case.limits, file_bytes=size), about=f"disk of {size} bytes"
            )
        case 2:
            name = rng.choice((".", ".", "tmp", "out", "pictures", "home"))
            mode = rng.choice((0o555, 0o555, 0o300, 0))

            def protect(work: Path) -> None:
                (work / name).mkdir(exist_ok=True)
                (work / name).chmod(mode)

            edits = (*case.edits, (f"{name} of mode {mode:o}", protect))
            return replace(case, edits=edits, limits=replace(case.limits, mortal=True))
        case 3:
            closed = rng.choice(((0,), (1,), (2,), (1, 2), (0, 1, 2)))
            return replace(
                case, limits=replace(case.limits, closed=closed), about=f"without {closed}"
            )
        case _:
            name = rng.choice(("TMPDIR", "HOME", "XDG_CONFIG_HOME", "COLUMNS", "PATH", "LANG",
                               "TERM", "KNIGHTLITE_PADDLE_PYTHON", "XDG_CACHE_HOME"))  # fmt: skip
            value = rng.choice((None, "", "missing", "labels.txt", "/dev/null", "1", "-1", "\x1b"))
            environment = {**(case.limits.environment or {}), name: value}
            return replace(
                case,
                limits=replace(case.limits, environment=environment),
                about=f"{name}={value!r}",
            )


# ------------------------------------------------------------------ running


def run_case(case: Case, chain: Path, place: Path) -> tuple[Ended, list[str]]:
    """Run a case in a copy of ``chain`` within ``place``; what is wrong with how it ended."""
    outer = place / "outer"
    work = outer / "work"
    shutil.copytree(chain, work, copy_function=os.link)
    (work / "tmp").mkdir()
    try:
        for _, edit in case.edits:
            edit(work)
        before = dict(_states(work))
        environment = {**_surroundings(work, place), **(case.limits.environment or {})}
        limits = replace(case.limits, environment=environment)
        ended = run_forked(lambda: _command(case.arguments), work, limits)
        return ended, [*_faults(case, ended), *_leftovers(case, ended, work, before)]
    finally:
        for folder in (work, *(path for path in work.rglob("*") if path.is_dir())):
            if not folder.is_symlink():
                folder.chmod(0o755)
        shutil.rmtree(outer)


def _surroundings(work: Path, place: Path) -> dict[str, str]:
    """Variables of a command: all that it writes stays in ``work``.

    But for libraries, which it builds once for all: seconds of a compiler's are not its own.
    """
    return {
        "TMPDIR": str(work / "tmp"), "XDG_CONFIG_HOME": str(work / "home"), "HOME": str(work),
        "XDG_CACHE_HOME": str(place / "cache"),
    }  # fmt: skip


def _command(arguments: Sequence[str]) -> None:
    """Run a command line; a server ends when it listens."""
    if "serve" in arguments[:1]:
        threading.Thread(target=_stop_listening, daemon=True).start()
    main(list(arguments))


def _stop_listening() -> None:
    """SIGTERM as soon as it is heeded."""
    while signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        time.sleep(0.005)
    os.kill(os.getpid(), signal.SIGTERM)


def warm(chain: Path, place: Path) -> None:
    """Run all commands once in this process: what is imported or made at first use is there.

    A forked command then costs a third. Not those that leave something behind in a process: a
    user's script and a server.
    """
    work = place / "warm"
    shutil.copytree(chain, work)
    before = Path.cwd()
    with mock.patch.dict(os.environ, _surroundings(work, place)), silent():
        os.chdir(work)
        for arguments in COMMANDS:
            if not {"-uds", "serve"} & {*arguments}:
                run(list(arguments))
        os.chdir(before)
    shutil.rmtree(work)
    gc.collect()
    gc.freeze()  # or every child's collector copies all that is shared
    assert len(os.listdir("/proc/self/task")) == 1  # a fork has no other thread


def _states(work: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    """What tells a file from another one, or from itself changed."""
    for folder, _, names in os.walk(work):
        for name in names:
            path = Path(folder, name)
            found = path.lstat()
            yield str(path.relative_to(work)), (found.st_ino, found.st_size, found.st_mtime_ns)


def _faults(case: Case, ended: Ended) -> Iterator[str]:
    """What is wrong with the exit code and the words."""
    words = ended.out + ended.said
    if ended.late:
        yield "does not end"
    elif ended.code < 0:
        yield f"signal {-ended.code}, after {ended.seconds:.0f} s"
    elif ended.code not in (0, 1, 2):
        yield f"exit code {ended.code}"
    for bad in ("Traceback", "failed inside", "Exception ignored", "foreseen", "not enough memory"):
        if bad in words:
            yield f"{bad}: {_line_with(bad, words)}"
    control = CONTROL.search(words)
    if control is not None:
        yield f"control character {control.group()!r}"
    errors = [line for line in ended.said.splitlines() if line.startswith("Error: ")]
    if ended.code == 0 and errors:
        yield f"exit code 0: {errors[0]}"
    if ended.code in (1, 2) and 2 not in case.limits.closed:
        if not (words if ended.code == 1 else ended.said).strip():  # 1: --json tells it
            yield f"exit code {ended.code} without a word"
        elif len(errors) > 1:
            yield f"{len(errors)} sentences"


def _line_with(text: str, words: str) -> str:
    return next(line for line in words.splitlines() if text in line)[:150]


def _leftovers(
    case: Case, ended: Ended, work: Path, before: dict[str, tuple[int, ...]]
) -> Iterator[str]:
    """What is wrong with the files that are there afterwards."""
    work.chmod(0o755)
    after = dict(_states(work))
    changed = [name for name in after if after[name] != before.get(name)]
    for name in changed:
        if LEFT.search(name) or name.startswith("tmp/"):
            yield f"leftover {LEFT.sub('-', name)}"
    gone = before.keys() - after.keys()
    if gone:
        yield f"{min(gone)} is gone"
    # a whole set of files without its record is not taken, and the next run replaces it
    unrecorded = f"{workspace.MANIFEST} cannot be written" in ended.said
    results = [name for name in changed if not (name.endswith(".json") and _goes_on(work / name))]
    if ended.code and results and case.arguments[0] not in STAGED and not unrecorded:
        yield f"exit code {ended.code}, but {min(results)} is written"
    if not ended.code and workspace.MANIFEST in changed:
        try:
            record = workspace.open_workspace(work).records[-1]
        except KnightliteError as error:
            yield f"manifest: {error.sentence}"
            return
        for item in record.files.values():
            if workspace.sha256_of(work / item.path) != item.sha256:
                yield f"the manifest has another {item.path}"


def _goes_on(path: Path) -> bool:
    """Whether a file holds points of an exploration that the same command goes on from."""
    try:
        found = explored.read(path)
    except KnightliteError:
        return False
    return found is not None and found.runs and not found.finished


def kind_of(case: Case, fault: str) -> str:
    """Faults of one kind: numbers, and texts in quotes, say nothing."""
    name = next((item for item in case.arguments if item in ALL_COMMANDS), "")
    return f"{name}: {re.sub(r'[0-9]+', 'N', fault)}"


@dataclass
class Tally:
    """What came of the cases."""

    codes: Counter[int] = field(default_factory=Counter)
    found: dict[str, list[int]] = field(default_factory=dict)  # kind -> numbers of cases
    slowest: tuple[float, int] = (0.0, 0)  # seconds, of which case
    largest: tuple[int, int] = (0, 0)  # bytes of memory, of which case

    def add(self, number: int, case: Case, ended: Ended, faults: list[str]) -> None:
        """One more case."""
        self.codes[ended.code] += 1
        self.slowest = max(self.slowest, (ended.seconds, number))
        self.largest = max(self.largest, (ended.memory_bytes, number))
        for fault in faults:
            self.found.setdefault(kind_of(case, fault), []).append(number)


def import_all() -> None:
    """Import what commands import, so that a fork has it."""
    import onnxruntime  # noqa: F401

    for item in pkgutil.walk_packages(knightlite.__path__, "knightlite."):
        if item.name.split(".")[1] not in ("foreign", "__main__"):
            importlib.import_module(item.name)
