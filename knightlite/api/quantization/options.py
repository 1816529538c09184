"""What ``quant`` is asked for, checked, and with what was left open filled in."""

from __future__ import annotations

from dataclasses import replace

from knightlite.api.chips.settings import chip_or_default
from knightlite.errors import KnightliteError, together
from knightlite.options import check
from knightlite.options.quantize import QuantizeOptions
from knightlite.options.quantize_rules import QUANTIZING
from knightlite.options.shared import INFER_AUTO, PICTURES
from knightlite.talk import SILENT, Talk


def completed(options: QuantizeOptions, talk: Talk = SILENT) -> QuantizeOptions:
    """The options as the work takes them: with a chip, and with batches that can be read twice.

    Where nobody says how many pictures of a folder are to be taken, ``PICTURES`` are, or all.

    Every way to quantize comes through here, once. UsageError or UnsupportedError for options that
    no model could be quantized with.
    """
    if options.batches is not None:
        from knightlite.api.quantization.batches import batches_of

        asked = options.iterations or (None,)
        batches, calls = batches_of(options.batches, options.batch_size, asked)
        options = replace(options, batches=batches, iterations=calls)
    together(lambda: _require_model(options), lambda: check(options))
    told = talk if options.run_mode in QUANTIZING else SILENT
    options = replace(options, chip=chip_or_default(options.chip, told))
    options = _with_pictures(options, talk)
    if options.mix_budget is not None:
        _check_budget(options.mix_budget, options.target)
    return options


def _require_model(options: QuantizeOptions) -> None:
    """UsageError where the model's file is not there; of what ``quant`` left a name is enough."""
    from knightlite.frontend.model_files import require_there

    if options.run_mode != "infer":
        require_there(options.model)


def _with_pictures(options: QuantizeOptions, talk: Talk) -> QuantizeOptions:
    """A script keeps Knight's default, one call: it may take more than a picture in one."""
    from knightlite.preprocess import list_pictures

    scripted = options.function != INFER_AUTO or options.batches is not None
    if options.iterations or scripted or options.data is None or options.recipe is None:
        return options
    try:
        there = len(list_pictures(options.data).samples)
    except KnightliteError:
        return options  # said with the rest of what is wrong, where the folder is read
    taken = min(there, PICTURES)
    if options.run_mode != "convert":
        told = f"all {there} pictures of {options.data} are taken; -i N takes fewer"
        if taken < there:
            told = f"{taken} of the {there} pictures of {options.data} are taken; -i N takes more"
        talk.say(told)
    return replace(options, iterations=(-(-taken // options.batch_size),))


def _check_budget(text: str, chip: str) -> None:
    """Errors for a budget that cannot be kept whatever the model."""
    from knightlite.api.quantization.cycles import clock_of, parse_budget
    from knightlite.quantize.mixed import check_budget

    check_budget(parse_budget(text), clock_of(chip))
