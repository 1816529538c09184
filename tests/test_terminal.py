"""Tables and progress as a person sees them: on a terminal, and in a pipe or file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from knightlite.cli import terminal
from knightlite.cli.profile import FULL, NARROW, _columns, short
from knightlite.cli.program import run
from knightlite.cli.terminal import LOG_LEVEL, plain_table, print_table, talking
from knightlite.profiler import LayerProfile


def test_tables_in_a_pipe_are_whole_and_unpadded(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (["profile"], ["compile"], ["chips"], ["check", "-m", "digits.onnx"]):
        capsys.readouterr()
        assert run(command) == 0
        out = capsys.readouterr().out
        assert not any(line != line.rstrip() for line in out.splitlines())
        assert not set(out) & set("─━│┃…\x1b")
    assert run(["chips"]) == 0
    out = capsys.readouterr().out
    (row,) = (line for line in out.splitlines() if line.startswith("TX510 "))
    names = "TX5105C, TX5103C, TX5105CV100, TX5103CV100, TX5101C, TX5101D, TX5101E"
    assert [part.strip() for part in row.split("  ") if part][1] == names


def test_plain_table() -> None:
    rows = [["数字", "12", ""], ["a", "3,400", "x"]]
    assert list(plain_table("Title", ("name", "n", "note"), rows, (False, True, False))) == [
        "Title",
        "name      n  note",
        "数字     12",
        "a     3,400  x",
        "",
    ]


def test_columns_of_numbers_are_aligned_to_the_right(capsys: pytest.CaptureFixture[str]) -> None:
    """Also where some cells are empty; not the first column, and not where a text is among them."""
    rows = [("1", "12", "3,400", "1.5k", "7"), ("2", "", "-8", "70 %", "x")]
    print_table("T", ("a", "number", "sum", "share", "text"), rows)
    assert capsys.readouterr().out.splitlines() == [
        "T",
        "a  number    sum  share  text",
        "1      12  3,400   1.5k  7",
        "2             -8   70 %  x",
        "",
    ]


@pytest.mark.parametrize(
    ("level", "said"),
    [
        (0, ["done", "Warning: odd"]),
        (1, ["done", "Warning: odd"]),
        (2, ["Warning: odd"]),
        (3, []),
    ],
)
def test_log_levels(level: int, said: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    context = click.Context(click.Command("any"))
    context.meta[LOG_LEVEL] = level
    with context, talking() as talk:
        talk.say("done")
        talk.warn("odd")
        talk.warn("odd")  # once is enough
    assert capsys.readouterr().err.splitlines() == said


def layer(name: str) -> LayerProfile:
    return LayerProfile(
        name, "Conv", 3, 1_234_567, 2.469134, 118_013_952, 0.4123, 824_000, 201_000, 1_025_024,
        "ddr write", 516_096,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("width", "columns"), [(None, 11), (200, 11), (110, 11), (80, 10), (40, 10)]
)
def test_columns_of_the_profile_fit_the_terminal(width: int | None, columns: int) -> None:
    found = _columns((layer("conv2d_123.tmp_0"), layer("/features/denseblock1/conv1/Conv")), width)
    assert len(found) == columns
    cells = [cell(layer("x")) for _, cell in found]
    assert ("118,013,952" in cells) == (width in (None, 200))
    assert ("118M" in cells) == (width not in (None, 200))
    assert (found == FULL) == (width in (None, 200))
    assert (found == NARROW) == (columns == 10)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"), (999, "999"), (1000, "1.0k"), (99_949, "99.9k"), (99_950, "100k"),
        (999_499, "999k"), (999_500, "1.0M"), (118_013_952, "118M"), (3_400_000_000, "3.4G"),
    ],
)  # fmt: skip
def test_short_numbers(number: int, text: str) -> None:
    assert short(number) == text


def test_a_terminal_of_80_columns(here: Path) -> None:
    """In a pseudo terminal: nothing is wider, nothing wraps, progress leaves no trace."""
    import pty

    name = "/features/denseblock1/denselayer1/conv1/Conv_output_0"
    script = (
        "from knightlite.cli.terminal import print_table, talking\n"
        "with talking() as talk:\n"
        "    talk.say('[bold]said[/bold]')\n"
        "    talk.advance('frames', 1, 2)\n"
        "    talk.warn('once')\n"
        "    talk.warn('once')\n"
        f"print_table('T', ('layer', 'n'), [({name!r}, '1' * 40)], shrink=0)\n"
        f"print_table('T', ('n', 'text'), [('1', {name!r} * 3)])\n"
    )
    leader, follower = pty.openpty()
    environment = {**os.environ, "COLUMNS": "80", "LINES": "24", "TERM": "xterm"}
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=follower, stderr=follower, env=environment
    ) as process:
        os.close(follower)
        seen = b""
        while True:
            try:
                piece = os.read(leader, 4096)
            except OSError:  # Linux says so where the other end is closed
                break
            if not piece:
                break
            seen += piece
        os.close(leader)
    assert process.returncode == 0
    text = seen.decode()
    assert "[bold]said[/bold]" in text
    assert text.count("Warning: once") == 1
    lines = [line for line in text.replace("\r", "").split("\n") if "\x1b" not in line]
    assert max(len(line) for line in lines) <= 80
    assert any(
        line.rstrip() == f"{name[:19]}…{name[-19:]} {'1' * 40}" for line in lines
    )  # to the last column
    assert text.replace("\r", "").replace("\n", "").replace(" ", "").count(name[-13:]) >= 4


@pytest.mark.parametrize("width", [40, 60, 80])
def test_numbers_are_whole_in_every_width(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What has no room follows below, beside the names again; names lose their middle."""
    monkeypatch.setattr(terminal, "terminal_width", lambda: width)
    monkeypatch.setenv("COLUMNS", str(width))
    layers = (layer("/features/denseblock1/denselayer1/conv1/Conv_output_0"),)
    columns = _columns(layers, width)
    rows = [[cell(item) for _, cell in columns] for item in layers]
    print_table("T", [title for title, _ in columns], rows, shrink=0)
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert max(map(len, lines)) <= width
    found = [line.split() for line in lines if "…" in line]
    assert len(found) == {40: 3, 60: 2, 80: 1}[width]
    assert [word for words in found for word in words[1:]] == " ".join(rows[0][1:]).split()
    assert all(words[0][0] == "/" and words[0][-2:] == "_0" for words in found)


def test_a_log_hears_of_long_stages_only() -> None:
    """One line in 30 seconds, with how much is done of how much, and none of what is quick."""
    said: list[str] = []
    now = [0.0]
    advance = terminal._lines(said.append, lambda: now[0])
    for seconds, done in ((0, 1), (10, 2), (29, 3), (31, 4), (45, 5), (61.5, 6)):
        now[0] = seconds
        advance("float model", done, 10)
        advance("quick", done, None) if seconds == 45 else None
    assert said == ["float model: 4 of 10 after 31 s", "float model: 6 of 10 after 62 s"]
