"""Options of other commands, and what they are called here."""

from __future__ import annotations

import pytest

from knightlite.cli.counterparts import ENDINGS, NOTHING, OPTIONS, counterpart, flag_of
from knightlite.cli.program import COMMANDS, group


def flags_of(command: str) -> set[str]:
    found = group.get_command(None, command)  # type: ignore[arg-type]
    assert found is not None
    return {flag for item in found.params for flag in (*item.opts, *item.secondary_opts)}


@pytest.mark.parametrize("command", sorted({*OPTIONS, *NOTHING}))
def test_a_counterpart_is_an_option_of_the_command(command: str) -> None:
    """And what is typed in its place is an option of some other command."""
    flags = flags_of(command)
    elsewhere = {flag for name in COMMANDS if name != command for flag in flags_of(name)}
    for others, here in OPTIONS.get(command, {}).items():
        assert not here.startswith("-") or here.split()[0] in flags
        assert set(others) - flags
        assert set(others) <= elsewhere | flags
    others, _ = NOTHING.get(command, ((), ""))
    assert not set(others) & flags


def test_hints() -> None:
    assert (
        counterpart("eval", "knightlite eval", "-cfg")
        == "here it is as in `knightlite eval MODEL`;"
    )
    assert counterpart("compare", "knightlite compare", "-q") == (
        "here it is as in `knightlite compare --config FILE`;"
    )
    for command in ("compile", "sim"):
        assert counterpart(command, f"knightlite {command}", "-o") == (
            f"here it is as in `knightlite {command} --outpath DIR`;"
        )
    assert counterpart("eval", "knightlite eval", "--framework") == (
        "--framework belongs to `knightlite quant`, `knightlite diagnose`, `knightlite check`, ...;"
    )
    assert counterpart("eval", "knightlite eval", "--nothing-has-it") == ""
    assert flag_of("a/x_r.cfg", flags_of("sim")) == "--config"
    assert flag_of("x_r.weight", flags_of("profile")) == "--weight"
    assert flag_of("x.onnx", flags_of("diagnose")) == "--quantized"
    assert flag_of("x.onnx", flags_of("quant")) == "--model"
    assert flag_of("x.cfg", flags_of("quant")) == flag_of("x.png", flags_of("sim")) == ""
    assert {flag for flags in ENDINGS.values() for flag in flags} <= {
        flag for name in COMMANDS for flag in flags_of(name)
    }
