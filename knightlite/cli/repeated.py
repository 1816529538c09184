"""An option that takes one value, given more often: for all commands it is said which counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import click
from click.core import ParameterSource

from knightlite.cli.terminal import talking


class OnceOption(click.Option):
    """``once``: what is given again stands for what was there, also where that were several."""

    def __init__(self, *args: Any, once: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.once = once

    def consume_value(
        self, ctx: click.Context, opts: Mapping[str, Any]
    ) -> tuple[Any, ParameterSource]:
        """Of several on the command line the last one."""
        value, source = super().consume_value(ctx, opts)
        if self.once and self.multiple and source is ParameterSource.COMMANDLINE:
            value = value[-1:]
        return value, source


class OnceCommand(click.Command):
    """A command that says where an option stands twice and only the last value counts."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does, which drops the others in silence."""
        values, _, order = self.make_parser(ctx).parse_args([*args])
        rest = super().parse_args(ctx, args)
        if not ctx.resilient_parsing:
            _tell(values, order)
        return rest


def _tell(values: Mapping[str, Any], order: Sequence[click.Parameter]) -> None:
    """``values``: the last one of each; ``order``: one parameter for each time it stands there."""
    for param, times in Counter(order).items():
        if times < 2 or not isinstance(param, click.Option) or param.is_flag:
            continue
        value = values[str(param.name)]
        if param.multiple and isinstance(param, OnceOption) and param.once:
            tell_again(param.opts[0], times, "last", str(value[-1]))
        elif not param.multiple:
            tell_again(param.opts[0], times, "last", str(value))


def tell_again(flag: str, times: int, which: str, value: str) -> None:
    """Which value of an option counts that was given several times."""
    with talking() as talk:
        talk.warn(f"{flag} is given {times} times and counts once: the {which} is taken, {value}.")
