"""A command that takes Knight's whole vocabulary: run-config files, and words without effect."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import click

from knightlite.api import run_config
from knightlite.api.run_config import JSON, LIST, SHAPES, SWITCH, VALUE, Key, RunConfig
from knightlite.cli.record_command import RecordOption
from knightlite.cli.repeated import OnceCommand, tell_again
from knightlite.cli.terminal import LOG_LEVEL, say
from knightlite.cli.vocabulary import ACCEPTED, ALIASES, KNIGHT, LATER, Word
from knightlite.options import Default
from knightlite.options.kinds import Several

# command -> its section in a run-config file
SECTION = {
    "quant": "quant",
    "compile": "compile",
    "sim": "run",
    "profile": "profiling",
    "compare": "compare",
    "build": "build",
}
RUN_CONFIG = ("-rc", "--run-config")
Override = tuple[str, str, object]


class KnightCommand(OnceCommand):
    """``word``: the command's name in the vocabulary, whatever it was called by."""

    def __init__(self, *args: Any, word: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.word = word
        self.params += [_run_config_option(), _log_level_option()]
        self.params += [_hidden(word) for word in ACCEPTED[self.word]]
        self.params += [_hidden(word) for word in LATER[self.word] if word.done]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Options that are not on the command line take what the run-config file says."""
        if is_knights(ctx):
            ctx.default_map = {**self.knights_defaults(), **(ctx.default_map or {})}
        config, rest = split_config(args)
        config = config or ctx.meta.get("run-config")  # that of build, where it runs this command
        if config is not None:
            section = SECTION[self.word]
            values = run_config.parameters(config, section, dict(self.keys()))
            ctx.default_map = {**(ctx.default_map or {}), **values}
            if ctx.obj is None and self.word != "build":  # its stages may name chips of their own
                ctx.obj = config.chip_of(section)
            ctx.meta["run-config"] = config
        try:
            return super().parse_args(ctx, [*rest])  # click empties its list
        except click.UsageError as error:
            stray = [item for before, item in pairwise(("", *rest)) if _is_stray(before, item)]
            if config is not None or not stray:
                raise
            text = f"{stray[0]} stands without an option: a run-config file is named with "
            raise click.UsageError(f"{text}--run-config {stray[0]}.", ctx) from error

    def knights_defaults(self) -> dict[str, str]:
        """The defaults that are others where Knight's words are used, as typed."""
        options = [item.option for item in self.params if isinstance(item, RecordOption)]
        return {
            item.name: item.kind.write(item.knights)
            for item in options
            if item.knights is not Default.RECORDS
        }

    def keys(self) -> Iterator[tuple[str, Key]]:
        """The keys of the command's section: long names of options, and words for later."""
        for option in self.params:
            if isinstance(option, click.Option) and "--run-config" not in option.opts:
                kind = _kind(option)
                for name in option.opts:
                    if name.startswith("--"):
                        yield name[2:], Key(str(option.name), kind)
        for word in LATER[self.word]:
            for name in word.names:
                if name.startswith("--") and not word.values:
                    yield name[2:], Key("", VALUE, word.remark, word.done)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The options, then those that change nothing, then those for later."""
        super().format_options(ctx, formatter)
        for title, words in (
            ("Accepted, without effect", ACCEPTED[self.word]),
            ("Not yet", LATER[self.word]),
        ):
            rows = [(_listed(word), word.remark) for word in words]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def is_knights(ctx: click.Context) -> bool:
    """Whether a command was called by Knight's name, or a word of Knight's program."""
    return ctx.find_root().info_name == KNIGHT or ctx.info_name in ALIASES


def _kind(option: click.Option) -> str:
    """How a key for this option is written."""
    if isinstance(option, RecordOption):
        if option.option.kind.json:
            return JSON
        if option.option.kind.several is Several.SHAPE:
            return SHAPES
    return SWITCH if option.is_flag else LIST if option.multiple else VALUE


def _is_stray(before: str, item: str) -> bool:
    return item.endswith(".json") and not before.startswith("-")


def _listed(word: Word) -> str:
    names = ", ".join(word.names)
    return f"{names} {word.value}" if word.value else names


def split_config(args: Sequence[str]) -> tuple[RunConfig | None, list[str]]:
    """The run-config file with the ``--section.option`` words in place, and the other arguments."""
    paths: list[str] = []
    overrides: list[Override] = []
    rest: list[str] = []
    items = list(args)
    while items:
        item = items.pop(0)
        name, equals, value = item.partition("=")
        if item == "--":
            rest += [item, *items]
            break
        if name in RUN_CONFIG:
            if not equals and not items:
                raise click.UsageError("Option '--run-config' requires an argument.")
            paths.append(value if equals else items.pop(0))
        elif name.startswith("--") and "." in name:
            section, _, key = name[2:].partition(".")
            overrides.append((section, key, value if equals else _values(items)))
        else:
            rest.append(item)
    if not paths and not overrides:
        return None, rest
    if len(paths) > 1:
        tell_again(RUN_CONFIG[-1], len(paths), "last", paths[-1])
    given = Counter((section, key) for section, key, _ in overrides)
    for (section, key), times in given.items():
        if times > 1:
            last = [value for *place, value in overrides if place == [section, key]][-1]
            tell_again(f"--{section}.{key}", times, "last", str(last))
    config = run_config.read(paths[-1]) if paths else RunConfig()
    return run_config.with_overrides(config, overrides), rest


def _values(items: list[str]) -> object:
    """What follows an override up to the next option: nothing is True, several are a list."""
    found = []
    while items and (not items[0].startswith("-") or items[0][1:].replace(".", "").isdecimal()):
        found.append(items.pop(0))
    if not found:
        return True
    return found[0] if len(found) == 1 else " ".join(found)


def _run_config_option() -> click.Option:
    return click.Option(
        RUN_CONFIG,
        metavar="FILE",
        expose_value=False,
        help="Take options that are not given here from a section of this JSON file; "
        "--SECTION.OPTION VALUE changes one.",
    )


def _log_level_option() -> click.Option:
    def keep(ctx: click.Context, option: click.Parameter, value: int | None) -> None:
        if value is not None:
            ctx.meta[LOG_LEVEL] = value

    return click.Option(
        ("-l", "--log-level"),
        type=click.IntRange(0, 3),
        expose_value=False,
        callback=keep,
        is_eager=True,
        help="Talk: 0 and 1 all, 2 warnings and errors, 3 errors only [default: all].",
    )


def _hidden(word: Word) -> click.Option:
    """An option that is read and changes nothing, which is said; -b 8 need not be said."""

    def tell(ctx: click.Context, option: click.Parameter, value: object) -> None:
        if value not in (None, False, *word.done):
            say(f"{word.names[-1]} changes nothing here: {word.remark}.")

    return click.Option(
        word.names,
        is_flag=not word.value,
        default=None if word.value else False,
        hidden=True,
        expose_value=False,
        callback=tell,
    )
