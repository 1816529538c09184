"""What ``quant`` is asked for, checked, and with what was left open filled in."""

from __future__ import annotations

from dataclasses import replace

from knightlite.api.chips.settings import default_chip
from knightlite.options import check
from knightlite.options.quantize import QuantizeOptions


def completed(options: QuantizeOptions) -> QuantizeOptions:
    """The options as the work takes them: with a chip, and with batches that can be read twice.

    Every way to quantize comes through here, once. UsageError or UnsupportedError for options that
    no model could be quantized with.
    """
    if options.batches is not None:
        from knightlite.api.quantization.batches import batches_of

        asked = options.iterations or (None,)
        batches, calls = batches_of(options.batches, options.batch_size, asked)
        options = replace(options, batches=batches, iterations=calls)
    check(options)
    options = replace(options, chip=options.chip or default_chip())
    if options.mix_budget is not None:
        _check_budget(options.mix_budget, options.target)
    return options


def _check_budget(text: str, chip: str) -> None:
    """Errors for a budget that cannot be kept whatever the model."""
    from knightlite.api.quantization.cycles import clock_of, parse_budget
    from knightlite.quantize.mixed import check_budget

    check_budget(parse_budget(text), clock_of(chip))
