"""Arguments as Knight writes them: ``-is 1 3 48 192`` has as many values as the shape has axes."""

from __future__ import annotations

from collections.abc import Sequence

import click

SHAPE_OPTIONS = ("-is", "--input-shapes")
Shape = tuple[int, ...]


def join_shapes(arguments: Sequence[str]) -> list[str]:
    """``-is 1 3 48 192`` as ``-is 1,3,48,192``, which an option with one value can take."""
    joined: list[str] = []
    items = list(arguments)
    position = 0
    while position < len(items):
        joined.append(items[position])
        position += 1
        if joined[-1] not in SHAPE_OPTIONS:
            continue
        numbers = []
        while position < len(items) and _is_integer(items[position]):
            numbers.append(items[position])
            position += 1
        if numbers:
            joined.append(",".join(numbers))
    return joined


def _is_integer(text: str) -> bool:
    return text.lstrip("-").isdigit()


class ShapeType(click.ParamType):
    """A shape: integers separated by commas, spaces or x."""

    name = "shape"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Shape:
        """The shape as a tuple."""
        if isinstance(value, tuple):
            return value
        text = str(value).replace("x", ",").replace(" ", ",")
        try:
            return tuple(int(item) for item in text.split(",") if item)
        except ValueError:
            self.fail(f"{value} must be integers such as 1,3,48,192", param, ctx)
