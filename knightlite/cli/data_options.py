"""Options that say which model and which data: declared once, for all commands that have them.

What a command says otherwise (where its default comes from) it gives as click's keywords.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from knightlite.cli.arguments import shape

Command = TypeVar("Command", bound=Callable[..., Any])

# parameter -> its names and click's keywords
_OPTIONS: Mapping[str, tuple[tuple[str, ...], Mapping[str, Any]]] = {
    "model": (
        ("-m", "--model"),
        {
            "type": click.Path(path_type=Path),
            "help": "Model: .pdmodel, .json (Paddle 3), .onnx; or the script's function that "
            "builds it.",
        },
    ),
    "weight": (
        ("-w", "--weight"),
        {
            "type": click.Path(path_type=Path),
            "help": "Weights: .pdiparams [default: beside the model]; .pdparams or .pth for a "
            "model function.",
        },
    ),
    "framework": (
        ("-f", "--framework"),
        {"help": "onnx, paddle or pytorch [default: by the model's suffix]."},
    ),
    "script": (("-uds", "--user-defined-script"), {"type": click.Path(path_type=Path)}),
    "function": (("-if", "--infer-func"), {"help": "Registered function of the script."}),
    "data": (("-d", "--data"), {}),
    "recipe": (("--recipe",), {}),
    "batch_size": (
        ("-bs", "--batch-size"),
        {"default": 1, "show_default": True, "help": "Pictures per forward call."},
    ),
    "iteration": (("-i", "--iteration"), {}),
    "input_shapes": (
        ("-is", "--input-shapes"),
        {
            "metavar": "SHAPE",
            "type": shape,
            "multiple": True,
            "help": "Shape of an input with dynamic axes, one per input: -is 1 3 48 192.",
        },
    ),
    "seed": (
        ("--seed",),
        {"default": 0, "show_default": True, "help": "Seed of the choice of pictures."},
    ),
}


def data_option(parameter: str, **keywords: Any) -> Callable[[Command], Command]:
    """The option of that parameter, with what this command says otherwise."""
    names, usual = _OPTIONS[parameter]
    return click.option(*names, parameter, **{**usual, **keywords})
