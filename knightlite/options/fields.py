"""One option, declared once: command line, run-config keys, Python and checks derive from it.

What a command can be asked for is a frozen dataclass; a field made with :func:`option` or
:func:`like` is an option, any other is for callers in the program only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from typing import Any

from knightlite.errors import UsageError, together
from knightlite.options.checks import Check, among, within
from knightlite.options.kinds import TEXT, Form, Kind


class Default(Enum):
    """What stands for a default."""

    NONE = "the option must be given"
    RECORDS = "the same as the record's"


REQUIRED = Default.NONE


class Names(Enum):
    """Names that a shell can offer."""

    CHIPS = "chips that ship"
    RECIPES = "recipes that ship"
    LAYERS = "layers of the network that quant left here"
    TENSORS = "what its layers make"


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """What is known of an option; of a record's, ``name`` is the field.

    ``flags``: its names on the command line, the long ones being the keys of run-config files; none
    for what the command group takes. ``position``: it has no flag there, but a place. ``help`` and
    ``metavar`` as ``--help`` shows them, ``unlike``: what the same flag is in another command.
    ``check``: what its kind does not say of a value; ``said`` is its name in sentences, by default
    that of Python in words.
    In Python it is an ``argument`` (by default its long flag) with ``doc`` (by default the help)
    and the default ``unsaid`` (by default the record's), unless ``python`` is False; ``also``
    names functions beside the command's own that take it. ``completes``: what a shell offers for
    it, where that is neither a word of its kind nor a file. ``knights``: the default where Knight's
    words are used, if that is another.
    """

    flags: tuple[str, ...] = ()
    kind: Kind = TEXT
    help: str = ""
    unlike: str = ""
    name: str = ""
    default: Any = None
    metavar: str | None = None
    position: bool = False
    check: Check | None = None
    said: str = ""
    python: bool = True
    argument: str = ""
    doc: str = ""
    unsaid: Any = Default.RECORDS
    also: tuple[str, ...] = ()
    completes: Names | None = None
    knights: Any = Default.RECORDS

    @property
    def required(self) -> bool:
        """Whether it must be given."""
        return self.default is REQUIRED

    @property
    def keys(self) -> tuple[str, ...]:
        """Its keys in run-config files."""
        return tuple(flag[2:] for flag in self.flags if flag.startswith("--"))

    @property
    def parameter(self) -> str:
        """Its name in Python."""
        return self.argument or next(iter(self.keys), self.name).replace("-", "_")

    @property
    def parameter_default(self) -> Any:
        """Its default in Python."""
        return self.default if self.unsaid is Default.RECORDS else self.unsaid

    @property
    def helped(self) -> str:
        """The help of the command line, and what the same flag is elsewhere."""
        other = f" ({self.unlike[:1].upper()}{self.unlike[1:]}.)" if self.unlike else ""
        return self.help + other

    @property
    def documentation(self) -> str:
        """What Python's documentation says of it."""
        return self.doc or self.help[:1].lower() + self.help[1:]

    @property
    def shows_default(self) -> bool:
        """Whether ``--help`` is to add the default to what it says already."""
        plain = self.kind.several is None and self.kind.form not in (Form.FILE, Form.SWITCH)
        known = self.default not in (None, "") and not self.required
        return plain and known and self.kind.shown and "[default" not in self.help

    @property
    def called(self) -> str:
        """Its name in sentences."""
        return self.said or self.parameter.replace("_", " ")

    def taken(self, value: Any) -> Any:
        """What the record holds of an argument of Python; UsageError for what it cannot be."""
        try:
            return self.kind.take(value)
        except (TypeError, ValueError, KeyError):
            raise UsageError(f"{self.called} must be {self.kind.wanted}, not {value!r}.") from None

    def refuse(self, value: Any) -> None:
        """UsageError for a value that the option cannot have; None is not asked for."""
        if value is None:
            return
        called = self.called
        if self.kind.words:
            among(self.kind.known, called)(value)
        within(self.kind.low, self.kind.high, called)(value)
        if self.check is not None:
            self.check(value)


def option(*flags: str, **known: Any) -> Any:
    """A field that is an option with these flags; ``known``: the fields of :class:`Option`."""
    return _field(Option(flags=flags, **known))


def like(usual: Option, **differently: Any) -> Any:
    """A field that is a usual option, with what this command says differently."""
    return _field(replace(usual, **differently))


def _field(item: Option) -> Any:
    known: dict[str, Any] = {} if item.required else {"default": item.default}
    return dataclasses.field(**known, metadata={"option": item})


def options_of(record: type) -> Mapping[str, Option]:
    """The options of a record by field, in order."""
    return {
        item.name: replace(item.metadata["option"], name=item.name)
        for item in dataclasses.fields(record)
        if "option" in item.metadata
    }


def check(asked: Any) -> None:
    """UsageError for a record that asks for what cannot be: each option alone, then the rules.

    What is wrong with several options is said at once. The rules are the functions in ``RULES`` of
    its class, if it has any: what must hold between options.
    """
    together(
        *(
            partial(item.refuse, getattr(asked, name))
            for name, item in options_of(type(asked)).items()
        )
    )
    for rule in getattr(type(asked), "RULES", ()):
        rule(asked)
