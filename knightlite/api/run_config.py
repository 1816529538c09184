"""Run-config files: JSON with a section per command, whose keys are the long names of its options.

The command line beats the file; paths are relative to the current folder, as Knight takes them.
What is wrong with a file is said all at once. Which keys a section may have is the caller's
knowledge: the options are declared with the commands.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from knightlite.errors import (
    Finding,
    UnsupportedError,
    UsageError,
    findings_error,
    nearest,
    suggestion,
    unreadable,
)
from knightlite.reading import json_value, read_text

COMMAND_LINE = "the command line"
EXAMPLE = 'as in {"quant": {"model": "X.pdmodel", "iteration": 100}, "compile": {}}'
SECTIONS = ("quant", "compile", "run", "profiling", "compare", "build")
TOP_SWITCHES = ("disable-compare", "disable-model-check")  # keys of build, also beside the sections
OPEN_LOOPS = "unfixloop"  # of compile, and so of quant
VALUE, SWITCH, LIST, SHAPES, JSON = "value", "switch", "list", "shapes", "json"


@dataclass(frozen=True, slots=True)
class Key:
    """What a key stands for: the parameter it sets, and how its value is written.

    ``kind``: one value, a switch, several values, shapes (a list of numbers is one), or any JSON.

    ``later``: what it would do where that is not done yet; ``done``: values that ask for what is
    done anyway.
    """

    parameter: str
    kind: str = VALUE
    later: str = ""
    done: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunConfig:
    """A file's sections, with what the command line puts in their place.

    ``typed``: (section, key) of that.
    """

    where: str = COMMAND_LINE
    chip: str | None = None
    sections: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    typed: frozenset[tuple[str, str]] = frozenset()

    def chip_of(self, section: str) -> str | None:
        """The chip a section names, else the file."""
        own = self.sections.get(section, {}).get("chip")
        return own if isinstance(own, str) else self.chip


def read(path: str | Path) -> RunConfig:
    """Read a file; UsageError with everything that is wrong with its form."""
    try:
        data = json_value(read_text(path))
    except OSError as error:
        raise unreadable("run-config file", path, error) from error
    except ValueError as error:  # JSON's, and UTF-8's
        raise UsageError(f"run-config file {path} is not valid JSON: {error}.", EXAMPLE) from error
    if not isinstance(data, dict):
        raise UsageError(f"run-config file {path} must hold an object with sections.", EXAMPLE)
    found = []
    for name, value in data.items():
        if name == "chip":
            if not isinstance(value, str):
                found.append(Finding(name, "the chip must be a name."))
        elif name in SECTIONS:
            if not isinstance(value, dict):
                found.append(Finding(name, "a section must be an object of options."))
        elif name not in TOP_SWITCHES:
            sentence = f"unknown section, not one of {', '.join(SECTIONS)}."
            found.append(Finding(name, sentence, nearest(name, [*SECTIONS, *TOP_SWITCHES])))
    _refuse(found, str(path))
    sections = {name: data[name] for name in SECTIONS if name in data}
    for name in TOP_SWITCHES:
        if name in data:
            sections["build"] = {name: data[name], **sections.get("build", {})}
    return RunConfig(str(path), data.get("chip"), sections)


def with_overrides(config: RunConfig, overrides: Iterable[tuple[str, str, object]]) -> RunConfig:
    """The config with (section, key, value) put in place of what the file says."""
    sections = {name: dict(values) for name, values in config.sections.items()}
    typed = set(config.typed)
    for section, key, value in overrides:
        if section not in SECTIONS:
            raise UsageError(
                f"--{section}.{key} names no section of a run-config file.",
                suggestion(section, SECTIONS),
            )
        sections.setdefault(section, {})[key] = value
        typed.add((section, key))
    if "quant" in sections:  # compile wants it of the model that quant makes
        opened = sections.get("compile", {}).get(OPEN_LOOPS)
        if opened is not None:
            sections["quant"].setdefault(OPEN_LOOPS, opened)
    return replace(config, sections=sections, typed=frozenset(typed))


def parameters(
    config: RunConfig, section: str, known: Mapping[str, Key]
) -> dict[str, str | bool | list[str]]:
    """What a section sets, by parameter; UsageError or UnsupportedError with all findings."""
    wrong: list[Finding] = []
    later: list[Finding] = []
    found: dict[str, str | bool | list[str]] = {}
    for name, value in config.sections.get(section, {}).items():
        where = f"{section}.{name}"
        if (section, name) in config.typed:
            where = f"--{where}"
        if name == "chip":
            if not isinstance(value, str):
                wrong.append(Finding(where, "the chip must be a name."))
        elif name not in known:
            hint = nearest(name, known)
            wrong.append(Finding(where, f"{section} has no option of this name.", hint))
        elif value in (None, "", "None") or value == []:
            continue  # as good as not there
        elif known[name].later:
            if value is not False and str(value) not in known[name].done:
                later.append(Finding(where, f"not supported yet: {known[name].later}."))
        else:
            try:
                found[known[name].parameter] = _converted(known[name].kind, value)
            except ValueError as error:
                wrong.append(Finding(where, f"{error}."))
    both = wrong + later
    typed = sum(item.where.startswith("--") for item in both)
    places = [config.where] * (typed < len(both)) + [COMMAND_LINE] * (typed > 0)
    where = " and ".join(dict.fromkeys(places))
    _refuse(both, where, UsageError if wrong else UnsupportedError)
    return found


def _refuse(
    findings: list[Finding], where: str, kind: type[UsageError | UnsupportedError] = UsageError
) -> None:
    if findings:
        summary = f"{len(findings)} key(s) of {where} cannot be used: {findings[0]}"
        hint = "the keys are the long names of the command's options, which its --help lists"
        raise findings_error(kind, summary, findings if len(findings) > 1 else (), hint)


def _value(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(f"must be one text or number, not {json.dumps(value)}")
    return str(value)


def _switch(value: object) -> bool:
    known = {"true": True, "1": True, "false": False, "0": False}
    text = str(value).lower()
    if text not in known:
        raise ValueError(f"must be true or false, not {json.dumps(value)}")
    return known[text]


def _list(value: object) -> list[str]:
    """Several values, each as a text; null in a list is the word None."""
    if not isinstance(value, list):
        return [_value(value)]
    return [text for item in value for text in _list("None" if item is None else item)]


def _shapes(value: object) -> list[str]:
    """Several shapes: texts, or lists of numbers; one list of numbers is one shape."""
    if not isinstance(value, list):
        return [_value(value)]
    if value and not any(isinstance(item, (list, str)) for item in value):
        return [",".join(map(_value, value))]
    return [text for item in value for text in _shapes(item)]


def _converted(kind: str, value: object) -> str | bool | list[str]:
    if kind == SWITCH:
        return _switch(value)
    if kind == JSON:
        return value if isinstance(value, str) else json.dumps(value)
    if kind == SHAPES:
        return _shapes(value)
    return _list(value) if kind == LIST else _value(value)
