"""What an option of another command is called here, and which option a file without one is of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import PurePath

from knightlite.options import Option, options_of
from knightlite.options.kinds import Form

NAMED = 3  # commands that have an option
_MODEL = ("-m", "--model", "--onnx", "-cfg", "--config")
_COUNT = ("-i", "--iteration", "-n", "--count")
_INPUT = ("--input", "-d", "--data")
_QUANTIZED = ("-q", "--quantized")
_PLACE = ("-o", "--output")

# command -> options of other commands -> the option that does it here
OPTIONS: Mapping[str, Mapping[tuple[str, ...], str]] = {
    "quant": {("--onnx",): "--model FILE", ("--input",): "--data DIR", _COUNT: "--iteration N"},
    "compile": {_MODEL: "--onnx FILE", _QUANTIZED: "--onnx FILE", _PLACE: "--outpath DIR"},
    "sim": {
        ("--onnx",): "--config FILE",
        _INPUT: "--input FILE",
        _COUNT: "--frame-count N",
        _PLACE: "--outpath DIR",
    },
    "eval": {_MODEL: "MODEL", ("--input",): "--data DIR", _COUNT: "--count N"},
    "compare": {("-m", "--model", "--onnx", *_QUANTIZED): "--config FILE"},
    "diagnose": {
        ("--onnx",): "--quantized FILE",
        ("--input",): "--data DIR",
        _COUNT: "--iteration N",
    },
    "check": {("--onnx",): "--model FILE"},
    "explore": {("--onnx",): "--model FILE", ("--input",): "--data DIR", _COUNT: "--iteration N"},
    "serve": {_MODEL: "NETWORK"},
    "inspect": {(*_MODEL, "-w", "--weight"): "FILE"},
    "explain": {_MODEL: "--onnx FILE"},
    "deploy": {("--onnx",): "--config FILE"},
}  # fmt: skip

# command -> options that nothing here does, and why
NOTHING: Mapping[str, tuple[tuple[str, ...], str]] = {
    "profile": (
        (*_INPUT, "-i", "--recipe", "--labels"),
        "profile takes no input: cycles do not depend on its numbers;",
    ),
}

# how files end -> the options that name such a file, the first that a command has
ENDINGS: Mapping[str, tuple[str, ...]] = {
    ".cfg": ("--config",),
    ".weight": ("--weight",),
    ".tsmodel": ("--model",),
    ".onnx": ("--onnx", "--quantized", "--model"),
}


def counterpart(command: str, path: str, option: str) -> str:
    """What is meant by an option that ``command`` has not, as a hint's part; "" where unknown.

    ``path``: the command as typed, with the program's name.
    """
    options, why = NOTHING.get(command, ((), ""))
    if option in options:
        return why
    for others, here in OPTIONS.get(command, {}).items():
        if option in others:
            return f"here it is as in `{path} {here}`;"
    return _called_otherwise(command, path, option) or _of_others(command, option)


def _called_otherwise(command: str, path: str, option: str) -> str:
    """A place without an option, or an option that has another name of such a one elsewhere."""
    from knightlite.options.commands import RECORDS  # all of them, for a wrong word only

    own = [*options_of(RECORDS[command]).values()] if command in RECORDS else []
    for item in own:
        if item.position and option.lstrip("-").replace("-", "_") == item.name:
            return f"here it stands without an option, as in `{path} {item.name.upper()}`;"
    alike = Counter(
        f"`{path} {item.flags[0]} {value_of(item)}`"
        for record in RECORDS.values()
        for other in options_of(record).values()
        if option in other.flags
        for item in own
        if not {*item.flags}.isdisjoint(other.flags)
    )
    likely = " or ".join(example for example, _ in alike.most_common(2))
    return f"here it is as in {likely};" if likely else ""


def _of_others(command: str, option: str) -> str:
    """Which commands have it, as a hint's part; "" where none has."""
    from knightlite.options.commands import RECORDS

    names = [
        name
        for name, record in RECORDS.items()
        if name != command and any(option in item.flags for item in options_of(record).values())
    ]
    if not names:
        return ""
    more = ", ..." if len(names) > NAMED else ""
    listed = ", ".join(f"`knightlite {name}`" for name in names[:NAMED])
    return f"{option} belongs to {listed}{more};"


def value_of(item: Option) -> str:
    """What stands behind an option in an example; "" for a switch."""
    if item.kind.form is Form.SWITCH:
        return ""
    return item.metavar or ("FILE" if item.kind.form is Form.FILE else "VALUE")


def flag_of(file: str, flags: Collection[str]) -> str:
    """The one of a command's flags that names a file of that ending; "" where none is known."""
    wanted = ENDINGS.get(PurePath(file).suffix, ())
    return next((flag for flag in wanted if flag in flags), "")
