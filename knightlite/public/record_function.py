"""A function of Python whose arguments are the options of a record (``knightlite.options``)."""

from __future__ import annotations

import inspect
import re
import textwrap
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from inspect import Parameter, Signature
from typing import Any, TypeVar

from knightlite.errors import KnightliteError, UsageError, suggestion
from knightlite.options import Option, options_of
from knightlite.public.wording import in_python, reword
from knightlite.talk import Talk

Result = TypeVar("Result")
GIVEN = 2  # parameters of a function's body that its caller does not see: asked, talk
WIDTH = 96  # of documentation; a stub indents it by 4


def record_function(
    record: type, *, whole: bool = True
) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """Make a function of a body that gets ``asked``, which makes the record, ``talk``, and its own.

    The function's arguments are the body's own, by their names, and the record's options in Python,
    or without ``whole`` those which name the function in ``also``. Its documentation is the body's,
    with a line for each. ``asked`` takes the fields that the body knows better. What ``talk`` is
    warned of is a ``UserWarning`` at the line that called.
    """

    def make(body: Callable[..., Result]) -> Callable[..., Result]:
        name = body.__name__
        options = {
            field: item
            for field, item in options_of(record).items()
            if (item.python if whole else name in item.also)
        }
        signature = signature_of(body, options)

        def called(*positional: Any, **named: Any) -> Result:
            for key in named.keys() - signature.parameters.keys():
                raise _unknown(name, key, signature, options)
            try:
                bound = signature.bind(*positional, **named)
            except TypeError as error:
                raise TypeError(f"{name}() {error}") from None
            bound.apply_defaults()
            given = bound.arguments
            remarks: list[str] = []
            talk = Talk(warn=remarks.append)
            try:
                asked = partial(record, **_fields(options, given))
                result = body(asked, talk, **{key: given[key] for key in _own(body)})
            except KnightliteError as error:
                reword(error, options)
                raise
            for sentence in remarks:
                warnings.warn(in_python(sentence, options), UserWarning, stacklevel=2)
            return result

        called.__name__, called.__qualname__, called.__module__ = name, name, body.__module__
        called.__doc__ = documentation_of(body, signature, options)
        called.__signature__ = signature  # type: ignore[attr-defined]  # inspect looks for it
        return called

    return make


def _unknown(
    name: str, key: str, signature: Signature, options: Mapping[str, Option]
) -> UsageError:
    """The error for an argument that there is not; long names of options lead to theirs."""
    flags = {
        flag.strip("-").replace("-", "_"): item for item in options.values() for flag in item.flags
    }
    where = f"help(knightlite.{name}) lists them"
    hint = suggestion(key, signature.parameters, where)
    if key in flags:
        hint = f"did you mean {flags[key].parameter}? {where}"
    return UsageError(f"{name}() has no argument {key}.", hint)


def signature_of(body: Callable[..., Any], options: Mapping[str, Option]) -> Signature:
    """The body's own parameters, those of options that must be given, then those named only."""
    found = _own(body)
    for item in options.values():
        default = Parameter.empty if item.required else item.parameter_default
        kind = Parameter.POSITIONAL_OR_KEYWORD if item.required else Parameter.KEYWORD_ONLY
        optional = " | None" if default is None else ""
        parameter = Parameter(
            item.parameter, kind, default=default, annotation=f"{item.kind.python}{optional}"
        )
        found.setdefault(item.parameter, parameter)
    last = [name for name, item in _own(body).items() if item.kind is Parameter.KEYWORD_ONLY]
    for name in last:
        found[name] = found.pop(name)
    ordered = sorted(found.values(), key=lambda item: item.kind)
    return Signature(ordered, return_annotation=inspect.signature(body).return_annotation)


def documentation_of(
    body: Callable[..., Any], signature: Signature, options: Mapping[str, Option]
) -> str:
    """The body's documentation, with a line for each parameter."""
    text, _, own = inspect.cleandoc(body.__doc__ or "").partition("\n\nArgs:\n")
    lines = dict(_documented(own))
    for item in options.values():
        lines.setdefault(item.parameter, item.documentation)
    wrapped = (
        textwrap.fill(
            f"{name}: {lines[name]}",
            WIDTH,
            initial_indent=" " * 4,
            subsequent_indent=" " * 8,
            break_on_hyphens=False,
        )
        for name in signature.parameters
    )
    return "\n".join([text, "", "Args:", *wrapped])


def _documented(own: str) -> Iterator[tuple[str, str]]:
    """(parameter, what is said of it) of the lines under ``Args:``."""
    for entry in re.split(r"\n(?=    \S)", own):
        name, _, text = entry.strip().partition(": ")
        yield name, " ".join(text.split())


def _own(body: Callable[..., Any]) -> dict[str, Parameter]:
    return dict(list(inspect.signature(body).parameters.items())[GIVEN:])


def _fields(options: Mapping[str, Option], given: Mapping[str, Any]) -> dict[str, Any]:
    """The record's fields that were given; None is as good as not there."""
    return {
        field: item.taken(given[item.parameter])
        for field, item in options.items()
        if given[item.parameter] is not None
    }
