"""What no model could be quantized with: checks of single options, and rules between several."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from knightlite.errors import UsageError, not_there
from knightlite.options.checks import MAX_BATCH as MAX_BATCH
from knightlite.options.checks import Check, forward_calls
from knightlite.quantize.choices import AUTO_METHOD, DEFAULT_METHOD, method_for

RUN_MODES = ("quant", "auto_quant", "infer", "convert", "compare")
QUANTIZING = ("quant", "auto_quant")
ALL_METHODS = "all"

# ------------------------------------------------------------------ single options


def known_methods(methods: Sequence[str]) -> None:
    """That every one is a method, or stands for some."""
    from knightlite.quantize.ranges import method_of

    for method in methods:
        if method not in (AUTO_METHOD, ALL_METHODS):
            method_of(method)


def usable_percent(percent: float) -> None:
    """That percentile could take the share, whether it is asked for or not."""
    from knightlite.quantize.ranges import method_of

    method_of(DEFAULT_METHOD, percent)


def not_a_number(function: object) -> None:
    """That the function is not meant as sim's -if."""
    if isinstance(function, str) and function.isdigit():
        raise UsageError(
            f"the infer function (-if) must be the name of a function, not {function}.",
            "in sim, -if writes the input integers; quant has nothing like it",
        )


# ------------------------------------------------------------------ between options


class Asked(Protocol):
    """What the rules read of the record that names them, ``options.quantize.QuantizeOptions``."""

    methods: tuple[str, ...]
    iterations: tuple[int, ...]
    effort: str
    batch_size: int
    data: str | None
    recipe: str | None
    run_mode: str
    bit_width: int
    mix_config: Path | None
    mix_budget: str | None
    generate_template: bool
    generate_scales: bool
    load_scales: Path | None
    cache: Path | None
    dump: bool


def combinations(
    methods: Sequence[str], iterations: Sequence[int], effort: str
) -> tuple[tuple[str, int], ...]:
    """Every (method, iteration) that is asked for, "all" written out, each once.

    Where no method is asked for, it is the effort's.
    """
    from knightlite.quantize.ranges import METHODS

    names = [
        name
        for item in methods or (method_for(effort),)
        for name in (METHODS if item == ALL_METHODS else (item,))
    ]
    pairs = ((name, count) for name in names for count in iterations or (1,))
    return tuple(dict.fromkeys(pairs))


def _forward_calls(options: Asked) -> None:
    forward_calls(options.iterations or (1,), options.batch_size)


def _folder_of_pictures(options: Asked) -> None:
    """A folder is named where a recipe prepares its pictures; sim's -d names a tensor."""
    if options.data is not None and options.recipe is not None and not Path(options.data).exists():
        raise not_there(
            "picture folder",
            options.data,
            "-d of quant names the pictures (-d of sim is a tensor to write)",
            folder=True,
        )


def _one_combination(options: Asked) -> None:
    """Where one is all that can be run."""
    several = len(combinations(options.methods, options.iterations, options.effort)) > 1
    if several and options.run_mode in ("infer", "convert"):
        raise UsageError(
            f"run mode {options.run_mode} takes one value of -qm and of -i, not several."
        )
    written = options.dump or options.cache is not None
    if several and written and options.run_mode in QUANTIZING:
        raise UsageError(
            "-du and -cd belong to one run, but several range methods or iterations are asked for.",
            "leave them out, or name one method (-qm) and one iteration (-i)",
        )


def _one_source_of_widths(options: Asked) -> None:
    """Which tensors have 16 bits is said once."""
    wide, mixed = options.bit_width == 16, options.mix_config is not None
    if mixed and wide:
        raise UsageError(
            "-mc mixes 16 bits into a network of 8, but -b 16 gives all of it 16.", "leave out -b"
        )
    if options.run_mode == "auto_quant" and (wide or mixed):
        raise UsageError(
            "-r auto_quant chooses the operators of 16 bits itself.", "leave out -b 16 and -mc"
        )
    if options.mix_budget is not None:
        _no_other_mix(options)
    if mixed and options.generate_template:
        raise UsageError("-gt writes the template that -mc reads.", "give one of them at a time")
    if mixed and options.load_scales is not None:
        raise UsageError("both -lsj and -mc decide which tensors have 16 bits.", "leave one out")


def _no_other_mix(options: Asked) -> None:
    for other, name in (
        (options.run_mode != "quant", f"-r {options.run_mode}"),
        (options.bit_width == 16, "-b 16"),
        (options.mix_config is not None, "-mc"),
        (options.load_scales is not None, "-lsj"),
    ):
        if other:
            raise UsageError(
                f"--mix-budget chooses the operators of 16 bits itself, but {name} is asked for "
                "too.",
                "leave one of them out",
            )


def _scales_one_way(options: Asked) -> None:
    if options.load_scales is not None and options.generate_scales:
        raise UsageError("scales are either written (-gsj) or read (-lsj), not both at once.")


RULES: tuple[Check, ...] = (
    _forward_calls,
    _folder_of_pictures,
    _one_combination,
    _one_source_of_widths,
    _scales_one_way,
)
