"""What a shell offers for a half-typed value; click asks for it (``_KNIGHTLITE_COMPLETE``)."""

from __future__ import annotations

from collections.abc import Callable

import click
from click.shell_completion import CompletionItem

from knightlite.errors import KnightliteError
from knightlite.options import Names

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]
FILES = (Names.CHIPS, Names.RECIPES)  # a file of the user's may stand for one


def completion(what: Names) -> Complete:
    """The function that click wants of a parameter."""

    def complete(
        ctx: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from knightlite.api.names import known_names

        try:
            known = known_names(what)
        except KnightliteError:  # no network is here: nothing to offer, and nobody to tell
            known = ()
        typed = incomplete.casefold()
        found = [CompletionItem(name) for name in known if name.casefold().startswith(typed)]
        if found or what not in FILES:
            return found
        return [CompletionItem(incomplete, type="file")]

    return complete
