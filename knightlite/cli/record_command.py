"""A click command whose options are those of a record (``knightlite.options``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from knightlite.cli.completion import completion
from knightlite.cli.repeated import OnceCommand, OnceOption
from knightlite.cli.terminal import say
from knightlite.errors import nearest
from knightlite.options import Option, options_of
from knightlite.options.checks import known_chip_or_all
from knightlite.options.kinds import Form, Kind, Several

if TYPE_CHECKING:
    Choice = click.Choice[str]
else:
    Choice = click.Choice  # of click 8.1, which cannot be subscripted

if TYPE_CHECKING:
    PathType = click.Path[Path]
else:
    PathType = click.Path


class FilePath(PathType):
    """A path; an empty text is none, as a shell variable that is not set gives it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path; click.BadParameter."""
        if value == "":
            self.fail("the path is empty: is a variable of the shell not set?", param, ctx)
        return super().convert(value, param, ctx)


FORMS: Mapping[Form, Any] = {
    Form.TEXT: click.STRING,
    Form.FILE: FilePath(path_type=Path),
    Form.WHOLE: click.INT,
    Form.REAL: click.FLOAT,
    Form.SWITCH: click.BOOL,
}


class OneOf(Choice):
    """One of the words; what is none of them is told which one it is near to."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The word; click.BadParameter."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            near = nearest(str(value), self.choices)
            if not near:
                raise
            sentence = f"{error.message.rstrip('.')}: {near}"
            raise click.BadParameter(sentence, ctx, param) from None


class RecordOption(OnceOption):
    """An option of click's that knows the record's."""

    def __init__(self, *args: Any, option: Option, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.option = option


def record_command(
    record: type,
    *,
    epilog: str,
    cls: type[OnceCommand] = OnceCommand,
    before: Sequence[click.Parameter] = (),
    **settings: Any,
) -> Callable[[Callable[[Any], int | None]], click.Command]:
    """Make a command of a function of the record; its docstring is the command's help.

    ``before``: parameters of the command line alone, which the record does not get. ``settings``
    are those of ``cls``. A record that has a ``chip`` gets the one that the command group, or a
    run-config file, names.
    """

    def make(function: Callable[[Any], int | None]) -> click.Command:
        def called(**values: Any) -> int | None:
            context = click.get_current_context()
            chip = {"chip": context.obj} if "chip" in known else {}
            if not chip:
                _tell_unused(context.find_root().params.get("chip") or ())
            return function(record(**values, **chip))

        typed = [parameter(item) for item in known.values() if item.flags or item.position]
        return cls(
            name=function.__name__,
            callback=called,
            help=function.__doc__,
            epilog=epilog,
            params=[*before, *typed],
            **settings,
        )

    known = options_of(record)
    return make


def _tell_unused(chips: Sequence[str]) -> None:
    """That a chip changes nothing in a command that takes none; UsageError where it is none."""
    for name in chips[:1]:
        known_chip_or_all(name)
        say(f"--chip {name} changes nothing here.")


def parameter(item: Option) -> click.Parameter:
    """An option as click parses it."""
    kind = item.kind
    shared: dict[str, Any] = {
        "type": type_of(kind),
        "required": item.required,
        "metavar": item.metavar,
        "callback": reading(item),
        "shell_complete": None if item.completes is None else completion(item.completes),
    }
    if item.position:
        return click.Argument([item.name], nargs=-1 if kind.multiple else 1, **shared)
    if not item.required and item.default not in (None, ()):
        shared["default"] = kind.write(item.default)
    return RecordOption(
        (*item.flags, item.name),
        option=item,
        help=item.helped,
        is_flag=True if kind.form is Form.SWITCH else None,  # False: a value may be left out
        multiple=kind.multiple,
        once=not kind.multiple or kind.several is Several.JOINED,
        show_default=item.shows_default,
        **shared,
    )


def type_of(kind: Kind) -> Any:
    """What click makes of one value: a type of its own, or a function of a text."""
    if kind.item is not None:
        return _item(kind.item)
    if kind.words:
        return OneOf(kind.words)
    low, high = kind.low, kind.high
    if low is None and high is None:
        return FORMS[kind.form]
    if kind.form is Form.REAL:
        return click.FloatRange(low, high)
    return click.IntRange(None if low is None else int(low), None if high is None else int(high))


def _item(read: Callable[[str], Any]) -> Callable[[str], Any]:
    def text(value: str) -> Any:  # its name is the placeholder in --help
        try:
            return read(value)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    return text


def _refuse_flag(context: click.Context, value: Any) -> None:
    """click.BadParameter where the next option was taken for the value of this one."""
    text = str(value) if isinstance(value, (str, Path)) else ""
    known = {flag for other in context.command.params for flag in other.opts}
    if text.startswith("-") and text in known:
        raise click.BadParameter(f"'{text}' is an option: a value is missing before it.")


def reading(item: Option) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """What the record holds of what click found; what is wrong with it is a sentence of click's."""

    def read(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
        _refuse_flag(context, value)
        try:
            return item.default if value is None else item.kind.read(value)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    return read
