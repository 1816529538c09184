"""The options that name a compiled network: ``sim``, ``profile`` and ``compare`` share them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., Any])


def pair_options(function: Function) -> Function:
    """``-w`` and ``-cfg``: the two files that compile left."""
    config = click.option(
        "-cfg",
        "--config",
        "cfg",
        type=click.Path(path_type=Path),
        help="X_r.cfg [default: what compile left here].",
    )
    weight = click.option(
        "-w",
        "--weight",
        type=click.Path(path_type=Path),
        help="X_r.weight [default: what compile left here].",
    )
    return weight(config(function))


def binary_options(function: Function) -> Function:
    """``-m``, the two files in one, before :func:`pair_options`."""
    model = click.option(
        "-m",
        "--model",
        type=click.Path(path_type=Path),
        help="X_r.tsmodel, instead of the two files.",
    )
    return model(pair_options(function))
