"""The documentation is true: its commands run, its tables are those of the code, its links lead on.

Every ``sh`` and ``python`` block of a page runs in order in one temporary copy of the checkout;
``py file=NAME`` blocks are written to that file, ``diff`` blocks are applied. A block after
``<!-- not run in tests: REASON -->`` is left out; ``<!-- leaves: FILE ... -->`` names files that
must be there at that point.
"""

from __future__ import annotations

import compileall
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import click
import pytest

import generated_tables
from knightlite.api.advising.trying import CHANGED, NOT_TRIED, UNNAMED
from knightlite.cli import program
from knightlite.cli.vocabulary import ACCEPTED, LATER
from knightlite.diagnosis.findings import NO_CAUSE
from knightlite.report.summary import NOTHING_FASTER
from made_once import MadeOnce
from test_layering import ALLOWED, THIRD_PARTY, WINGS, faces

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINKED = [*PAGES, ROOT / "CHANGELOG.md", *sorted(ROOT.glob("examples/*/README.md"))]
COPIED = ("knightlite", "chips", "calibration", "schemas", "scripts", "tests", "docs")
SHARED = ("benchmarks", "examples", "pyproject.toml", "README.md", "CHANGELOG.md")
TIMEOUT_S = 900

# what a page's commands find imported already: of knightlite only where the page changes no code
PACKAGES = (
    "click", "jsonschema", "numpy.random", "onnx", "PIL.Image",
    "PIL.PngImagePlugin", "pytest", "rich.table",
)  # fmt: skip
UNCHANGED = (
    "knightlite.public",
    *(f"knightlite.cli.{name}" for name, _ in program.COMMANDS.values()),
    *(f"knightlite.api.{wing}" for wing in WINGS["api"]),
)


def page_id(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# ------------------------------------------------------------------ blocks


@dataclass(frozen=True)
class Block:
    """A fenced block (``kind`` its language), or the files named by a comment (``leaves``)."""

    kind: str
    text: str
    line: int
    file: str = ""
    skipped: str = ""


_SKIP = re.compile(r"<!-- not run in tests: (.+) -->")
_LEAVES = re.compile(r"<!-- leaves: (.+) -->")


def blocks_of(text: str) -> Iterator[Block]:
    """The blocks of a page in order."""
    lines = iter(enumerate(text.splitlines(), start=1))
    skipped = ""
    for number, line in lines:
        if line.startswith("```"):
            kind, _, rest = line[3:].partition(" ")
            body = []
            for _, inner in lines:
                if inner == "```":
                    break
                body.append(inner)
            yield Block(kind, "\n".join(body) + "\n", number, rest.partition("file=")[2], skipped)
        found = _LEAVES.fullmatch(line)
        if found:
            yield Block("leaves", found[1], number)
        reason = _SKIP.fullmatch(line)
        skipped = reason[1] if reason else ""


def changes(text: str) -> bool:
    """True where a page, or a part of one, changes files of the checkout."""
    return any(
        item.kind == "diff" or item.file.partition("/")[0] in COPIED for item in blocks_of(text)
    )


def script_of(text: str, name: str, root: Path) -> str:
    """One shell script that does what the page says; it stops at the first failure."""
    parts = ["set -eu", f"cd {shlex.quote(str(root))}"]
    for block in blocks_of(text):
        if block.skipped:
            continue
        made = _as_shell(block, root)
        if made:
            parts += [f"echo '== {name}:{block.line}' >&2", made]
    return "\n".join(parts) + "\n"


def _as_shell(block: Block, root: Path) -> str:
    if block.kind == "sh":
        return block.text
    if block.kind == "python":
        return f"python - <<'END_OF_BLOCK'\n{block.text}END_OF_BLOCK"
    if block.kind == "diff":
        apply = f"git -C {shlex.quote(str(root))} apply -C1 -"
        return f"{apply} <<'END_OF_BLOCK'\n{block.text}END_OF_BLOCK"
    if block.file:
        return f"cat > {block.file} <<'END_OF_BLOCK'\n{block.text}END_OF_BLOCK"
    if block.kind == "leaves":
        return "\n".join(f"test -s {name}" for name in block.text.split())
    return ""


def make_checkout(folder: Path) -> None:
    """What pages may change, compiled: Python compiles what was changed again, and no more."""
    for name in COPIED:
        shutil.copytree(ROOT / name, folder / name)  # with what is compiled of it
    assert compileall.compile_dir(folder / "knightlite", quiet=1)


@pytest.fixture
def checkout(made_once: MadeOnce, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A checkout to run commands in.

    Only the examples are the real one's, and they are read; so is the rest where a page changes
    nothing (``text``: the page, or a part of one, else ``path``).
    """
    root = tmp_path / "checkout"
    asked = request.node.callspec.params
    if changes(asked["text"] if "text" in asked else asked["path"].read_text("utf-8")):
        shutil.copytree(made_once.folder("checkout", make_checkout), root)
    else:
        root.mkdir()
        for name in COPIED:
            (root / name).symlink_to(ROOT / name)
    for name in SHARED:
        (root / name).symlink_to(ROOT / name)
    programs = root / ".venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "activate").write_text(f'export PATH="{programs}:$PATH"\n')
    python = shlex.quote(sys.executable)
    write_programs(programs, python)
    (tmp_path / "home").mkdir()
    return root


def write_programs(folder: Path, python: str) -> None:
    """What a page calls ``python``, ``knightlite`` and ``Knight``, with that command as Python."""
    for name, command in (
        ("python", python),
        ("knightlite", f"{python} -m knightlite"),
        ("Knight", f"{python} -m knightlite"),
    ):
        path = folder / name
        path.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        path.chmod(0o755)


def environment_of(checkout: Path) -> dict[str, str]:
    return {
        "PATH": f"{checkout / '.venv' / 'bin'}:{os.environ['PATH']}",
        "HOME": str(checkout.parent / "home"),
        # where the tests have it too: the runtime in C is built once for all
        "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache"),
        "PYTHONPATH": str(checkout),
        "GIT_CEILING_DIRECTORIES": str(checkout.parent),
        "LC_ALL": "C.UTF-8",
        "OPENBLAS_NUM_THREADS": "1",  # other tests are running
    }


def run_script(text: str, name: str, checkout: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", script_of(text, name, checkout)],
        env=environment_of(checkout),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


@contextmanager
def warm(checkout: Path, text: str) -> Iterator[None]:
    """The page's programs start warm: :mod:`warm_python`."""
    program = shlex.join([sys.executable, "-I", "-S", str(ROOT / "tests" / "warm_python.py")])
    address = str(checkout.parent / "socket")
    server = [sys.executable, str(ROOT / "tests" / "warm_python.py"), "serve", address]
    with subprocess.Popen(
        [*server, *PACKAGES, *(() if changes(text) else UNCHANGED)],
        cwd=checkout,
        env=environment_of(checkout),
        stdout=subprocess.PIPE,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            write_programs(checkout / ".venv" / "bin", f"{program} call {shlex.quote(address)}")
            yield
        finally:
            process.terminate()


def runnable(path: Path) -> bool:
    return any(item.kind in ("sh", "python", "diff") for item in blocks_of(path.read_text("utf-8")))


@pytest.mark.parametrize("path", [item for item in PAGES if runnable(item)], ids=page_id)
def test_page_runs_as_written(path: Path, checkout: Path) -> None:
    text = path.read_text("utf-8")
    with warm(checkout, text):
        done = run_script(text, page_id(path), checkout)
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("```sh\nknightlite nonsense\n```\n", "there is no command nonsense"),
        ("```python\nassert 1 == 2\n```\n", "AssertionError"),
        (
            "```diff\n--- a/pyproject.toml\n+++ b/pyproject.toml\n@@ -1 +1 @@\n-x\n+y\n```\n",
            "error",
        ),
        ("<!-- leaves: pyproject.toml nothing -->\n", "== page:1"),
    ],
)
def test_planted_faults_in_pages_are_seen(text: str, said: str, checkout: Path) -> None:
    done = run_script(text, "page", checkout)
    assert done.returncode != 0
    assert said in done.stderr


def test_blocks() -> None:
    text = (
        "a\n```sh\nls\n```\n<!-- leaves: x y -->\n<!-- not run in tests: slow -->\n```sh\nz\n```\n"
    )
    assert list(blocks_of(text)) == [
        Block("sh", "ls\n", 2),
        Block("leaves", "x y", 5),
        Block("sh", "z\n", 7, skipped="slow"),
    ]


# ------------------------------------------------------------------ generated tables


def rooms_table() -> str:
    """Who may import whom, from the list that ``test_layering`` enforces."""

    def named(names: tuple[str, ...]) -> str:
        return ", ".join(sorted(name for name in names if name != "__init__")) or "nothing"

    rows = [
        (f"`{room}`", named(allowed), named(THIRD_PARTY.get(room, ())))
        for room, allowed in ALLOWED.items()
        if not room.startswith("__")
    ]
    return generated_tables.table(("room", "may import", "packages"), rows)


def wings_table(room: str) -> str:
    """The wings of a room: what each is about, what it may import, how many names it shows."""

    def row(wing: str) -> tuple[str, ...]:
        about = (import_module(f"knightlite.{room}.{wing}").__doc__ or "").splitlines()[0]
        below = ", ".join(WINGS[room][wing]) or "nothing"
        return f"`{wing}`", about.replace("``", "`"), below, str(len(faces(room)[wing]))

    columns = ("wing", "is about", "may import", "names")
    return generated_tables.table(columns, [row(wing) for wing in WINGS[room]])


def wings_of(room: str) -> Callable[[], str]:
    return lambda: wings_table(room)


def words_table(name: str) -> str:
    """Every option of a command and what it does, from what the parser is made of."""
    command = command_of(name)
    rows = [
        (", ".join(f"`{word}`" for word in option.opts), option.help or "")
        for option in command.params
        if isinstance(option, click.Option) and not option.hidden
    ]
    for note, words in (("accepted", ACCEPTED[name]), ("not yet", LATER[name])):
        rows += [
            (", ".join(f"`{item}`" for item in word.names), f"*{note}*: {word.remark}")
            for word in words
        ]
    return generated_tables.table(("option", "does"), rows)


def words_of(name: str) -> Callable[[], str]:
    return lambda: words_table(name)


BLOCKS: generated_tables.Blocks = {
    **generated_tables.BLOCKS,
    "rooms": rooms_table,
    **{f"wings-{room}": wings_of(room) for room in WINGS},
    **{f"words-{name}": words_of(name) for name in LATER},
}


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_generated_tables_are_up_to_date(path: Path, request: pytest.FixtureRequest) -> None:
    text = path.read_text("utf-8")
    wanted = generated_tables.fill(text, BLOCKS)
    if request.config.getoption("--update-golden"):
        path.write_text(wanted, encoding="utf-8")
        return
    assert text == wanted, "pytest --update-golden writes the tables anew"


def test_every_table_is_shown_once() -> None:
    shown = [
        name
        for path in PAGES
        for name in re.findall(r"<!-- generated: (\S+) -->", path.read_text("utf-8"))
    ]
    assert sorted(shown) == sorted(BLOCKS)


def test_fill() -> None:
    text = "a\n<!-- generated: x -->\nold\n<!-- end of x -->\nb\n"
    filled = "a\n<!-- generated: x -->\n\nnew\n\n<!-- end of x -->\nb\n"
    assert generated_tables.fill(text, {"x": lambda: "new\n"}) == filled
    assert generated_tables.fill(filled, {"x": lambda: "new\n"}) == filled


def test_instruction_fields_do_not_overlap() -> None:
    """Each field is shown once, in the part that first has it."""
    shown = generated_tables.field_tables()
    assert shown.count("| `x_row_stride` | 48-71 | u24 |") == 1
    assert "| `shift` | 655-660 | u6 | common right shift of the add |" in shown
    assert shown.count("| `parameter_address` |") == 2  # of matrix and of affine


# ------------------------------------------------------------------ links

_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


def anchors(text: str) -> set[str]:
    """The anchors that a forge makes of a page's headings."""
    outside = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", outside, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", item.lower()).replace(" ", "-") for item in headings}


@pytest.mark.parametrize("path", LINKED, ids=page_id)
def test_links_lead_somewhere(path: Path) -> None:
    broken = []
    for target in _LINK.findall(path.read_text("utf-8")):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        linked = path.parent / name if name else path
        if not linked.exists() or (anchor and anchor not in anchors(linked.read_text("utf-8"))):
            broken.append(target)
    assert broken == []


def test_the_readme_names_every_page() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert [page_id(path) for path in PAGES[1:] if f"({page_id(path)})" not in text] == []


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("howto.md", NO_CAUSE),
        *(("advice.md", line) for line in (NOT_TRIED, CHANGED, UNNAMED, NOTHING_FASTER)),
    ],
)
def test_pages_quote_what_is_printed(page: str, said: str) -> None:
    words = (ROOT / "docs" / page).read_text("utf-8").split()
    assert f'"{said}"' in " ".join(words)


# ------------------------------------------------------------------ the command line


def command_of(name: str) -> click.Command:
    command = import_module(f"knightlite.cli.{program.COMMANDS[name][0]}").command
    assert isinstance(command, click.Command)
    return command


def examples(name: str | None, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The command lines that ``--help`` shows as examples."""
    assert program.run([name, "--help"] if name else ["--help"]) == 0
    shown = capsys.readouterr().out.partition("Examples:")[2]
    lines = re.sub(r"\\\n\s*", "", shown).splitlines()
    return [line.strip() for line in lines if line.strip().startswith(("knightlite ", "Knight "))]


@pytest.mark.parametrize("name", [None, *program.COMMANDS])
def test_examples_in_help_parse(
    name: str | None,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    for config in ("config.json", "c.json"):  # run-config files are read while parsing
        Path(config).write_text("{}")
    shown = examples(name, capsys)
    assert shown, "--help shows no example"
    called: list[str] = []

    def reached(command: str) -> object:
        return lambda *_, **__: called.append(command)

    for other in program.COMMANDS:
        monkeypatch.setattr(command_of(other), "callback", reached(other))
    for line in shown:
        words = shlex.split(line.partition(" | ")[0], comments=True)[1:]
        assert program.run(words) == 0, f"{line}\n{capsys.readouterr().err}"
    assert len(called) == len(shown)
    assert name is None or set(called) == {name}
