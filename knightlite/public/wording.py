"""Sentences written for the command line, said to a Python program: options as its arguments."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import replace

from knightlite.errors import KnightliteError
from knightlite.options import Option, options_of
from knightlite.options.commands import RECORDS
from knightlite.options.kinds import Form

FUNCTIONS: Mapping[str, str] = {"quant": "quantize", "eval": "evaluate"}  # others are called alike
CALLABLE = ("quant", "compile", "profile", "eval", "compare", "diagnose")
COMMAND = re.compile(r"`knightlite ([a-z_]+)( [^`]*)?`")
FLAG = re.compile(r"(?<![\w`-])(--?[a-z][a-z-]*)(?:/--[a-z-]+)?(?:[ =]([\w.%]+))?")
PLACEHOLDER = re.compile(r"[A-Z]+|[0-9][0-9.%]*")


def reword(error: KnightliteError, options: Mapping[str, Option]) -> None:
    """Let an error speak of arguments instead of options, in place: a program may have caught it.

    ``options``: of the function that was called, by field.
    """
    error.sentence = in_python(error.sentence, options)
    error.hint = in_python(error.hint, options)
    error.args = (error.sentence,)
    error.findings = tuple(
        replace(
            item, sentence=in_python(item.sentence, options), hint=in_python(item.hint, options)
        )
        for item in error.findings
    )


def in_python(text: str, options: Mapping[str, Option]) -> str:
    """``text`` with the flags of the options as keyword arguments, and commands as calls."""
    known = {flag: item for item in options.values() for flag in item.flags}
    parts, at = [], 0
    for found in COMMAND.finditer(text):
        parts.append(_with_arguments(text[at : found.start()], known))
        parts.append(_call(found[1], found[2] or "") or found[0])
        at = found.end()
    return "".join([*parts, _with_arguments(text[at:], known)])


def _with_arguments(text: str, known: Mapping[str, Option]) -> str:
    def argument(found: re.Match[str]) -> str:
        item = known.get(found[1])
        if item is None:
            return found[0]
        value = found[2]
        if item.kind.form is Form.SWITCH:
            return f"{item.parameter}=True" + ("" if value is None else f" {value}")
        if value is None:
            return item.parameter
        if value in item.kind.words:
            return f'{item.parameter}="{value}"'
        taken = PLACEHOLDER.fullmatch(value) is not None
        return f"{item.parameter}={value}" if taken else f"{item.parameter} {value}"

    for flag, item in known.items():  # "batch size (-bs)": the argument's own name already
        spoken = item.parameter.replace("_", " ")
        text = text.replace(f"{spoken} ({flag})", item.parameter)
    return FLAG.sub(argument, text)


def _call(command: str, rest: str) -> str:
    """A command as a call; "" where Python has no such function."""
    if command not in CALLABLE:
        return ""
    known = {flag: item for item in options_of(RECORDS[command]).values() for flag in item.flags}
    given: dict[str, list[str]] = {}
    name = ""
    for word in shlex.split(rest):
        if word in known or word == "--chip":
            name = known[word].parameter if word in known else "chip"
            given.setdefault(name, [])
        elif name:
            given[name].append(word)
    arguments = ", ".join(f"{name}={_value(words)}" for name, words in given.items())
    return f"`knightlite.{FUNCTIONS.get(command, command)}({arguments})`"


def _value(words: list[str]) -> str:
    values = list(_values(words)) or ["True"]
    return values[0] if len(values) == 1 else f"({', '.join(values)})"


def _values(words: list[str]) -> Iterator[str]:
    for word in words:
        yield word if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", word) else f'"{word}"'
