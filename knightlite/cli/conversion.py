"""The options of ``quant`` and ``check`` that say how a model of another framework is converted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def conversion_options(command: Command) -> Command:
    """Add ``--paddle-python``, ``--torch-python`` and ``--torch-exporter``."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


_OPTIONS = (
    click.option(
        "--paddle-python",
        metavar="PATH",
        help="Python with Paddle, for .json and .pdparams [default: $KNIGHTLITE_PADDLE_PYTHON, "
        "or this one].",
    ),
    click.option(
        "--torch-python",
        metavar="PATH",
        help="Python with torch, for -f pytorch [default: $KNIGHTLITE_TORCH_PYTHON, or this one].",
    ),
    click.option(
        "--torch-exporter",
        type=click.Choice(["auto", "torchscript", "dynamo"]),
        default="auto",
        show_default=True,
        help="torch's older or newer ONNX exporter; auto: the older one, else the newer one.",
    ),
)
