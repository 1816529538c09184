"""What ``quant`` is asked for, and what no model could be quantized with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from knightlite.errors import UsageError

if TYPE_CHECKING:
    from knightlite.quantize.data import Batch, InferFunction

MAX_BATCH = 4096
RUN_MODES = ("quant", "auto_quant", "infer", "convert", "compare")
INFER_AUTO = "infer_auto"
ALL_METHODS = "all"


@dataclass(frozen=True, slots=True)
class QuantizeOptions:
    """What ``quant`` is asked for; names as Knight's options.

    ``data`` with ``recipe`` reads pictures; ``script`` with ``function`` runs a user script on
    ``data``; with neither, what is made up (infer_auto). ``input_shapes`` is one shape per input.
    From Python, ``batches`` are arrays as the network reads them, and ``function`` may be the infer
    function itself.
    With the run mode auto_quant, ``mix_ratio`` of the convolutions may have 16 bits, chosen by
    ``mix_strategy``; ``mix_budget`` instead says what 16 bits may cost on the chip, in percent of
    cycles ("5") or their number ("20000cycles"). ``generate_template`` adds ``{model}.json``,
    which ``mix_config`` reads.
    Where ``methods`` or ``iterations`` are given they stand for ``method`` and ``iteration``, and
    every combination is run; "all" is every method, "auto" mse and for every tensor another one
    where that gains. ``percent`` is the share of percentile.
    ``model`` is a file, or the name of a function of ``script`` that builds the network;
    ``paddle_python``, ``torch_python``, ``torch_exporter`` are those of ``frontend.Conversion``.
    ``input_types``: per input uint8, int8, int16 where it is fed with integers; ``mean`` and
    ``std`` of the first input become part of the network. ``output_names`` cut it.
    ``ir_batch``: frames that ``sim`` is to run. ``input_configs``: JSON text, see
    ``api.input_configs``. ``cache``: a file that keeps what the first pass over the data learns.
    ``dump``: the values of every layer in ``save_dir/dump``. ``generate_scales`` leaves
    X_scales.json, ``load_scales`` is such a file to take scales from.
    """

    model: Path
    chip: str
    weight: Path | None = None
    framework: str | None = None
    script: Path | None = None
    function: str | InferFunction = INFER_AUTO
    data: str | None = None
    recipe: str | None = None
    save_dir: Path = Path()
    batch_size: int = 1
    iteration: int = 1
    method: str | None = None  # None: as the effort has it
    methods: tuple[str, ...] = ()
    iterations: tuple[int, ...] = ()
    percent: float = 0.99999
    equalize: bool = True
    input_shapes: tuple[tuple[int, ...], ...] = ()
    run_mode: str = "quant"
    seed: int = 0
    batches: Iterable[Batch] | None = None
    general_process: bool = False
    effort: str = "normal"
    bias_correction: str | None = None  # None: as the effort has it
    rounding: str | None = None
    bit_width: int = 8
    generate_template: bool = False
    mix_config: Path | None = None
    mix_ratio: float = 0.5
    mix_strategy: str = "HAWQ"
    mix_budget: str | None = None
    directory: Path = field(default=Path())  # where the manifest is kept
    paddle_python: str | None = None
    torch_python: str | None = None
    torch_exporter: str = "auto"
    input_types: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    output_names: tuple[str, ...] = ()
    generate_scales: bool = False
    load_scales: Path | None = None
    lut_len: int = 10
    cache: Path | None = None
    dump: bool = False
    input_configs: str = ""
    ir_batch: int = 1


def combinations(options: QuantizeOptions) -> tuple[tuple[str, int], ...]:
    """Every (method, iteration) that is asked for, "all" written out, each once.

    Where no method is asked for, it is the effort's.
    """
    from knightlite.quantize.ranges import METHODS
    from knightlite.quantize.settings import EFFORTS, method_for

    default = method_for(options.effort if options.effort in EFFORTS else "normal")

    methods = [
        name
        for item in options.methods or (options.method or default,)
        for name in (METHODS if item == ALL_METHODS else (item,))
    ]
    iterations = options.iterations or (options.iteration,)
    pairs = ((name, count) for name in methods for count in iterations)
    return tuple(dict.fromkeys(pairs))


def check_options(options: QuantizeOptions) -> None:
    """UsageError or UnsupportedError for options that no model could be quantized with."""
    from knightlite import chip
    from knightlite.quantize.ranges import method_of
    from knightlite.quantize.settings import (
        AUTO_METHOD,
        BIAS_CORRECTIONS,
        DEFAULT_METHOD,
        EFFORTS,
        ROUNDINGS,
    )

    if options.run_mode not in RUN_MODES:
        raise UsageError(f"run mode must be one of {', '.join(RUN_MODES)}, not {options.run_mode}.")
    pairs = combinations(options)
    for method, iteration in pairs:
        method_of(DEFAULT_METHOD if method == AUTO_METHOD else method, options.percent)
        if iteration < 1:
            raise UsageError(
                f"iteration (-i) must be at least 1 and batch size (-bs) from 1 to {MAX_BATCH}, "
                f"not {iteration} and {options.batch_size}."
            )
    if len(pairs) > 1 and options.run_mode in ("infer", "convert"):
        raise UsageError(
            f"run mode {options.run_mode} takes one value of -qm and of -i, not several."
        )
    for name, value, known in (
        ("effort", options.effort, tuple(EFFORTS)),
        ("bias correction", options.bias_correction, (None, *BIAS_CORRECTIONS)),
        ("rounding", options.rounding, (None, *ROUNDINGS)),
    ):
        if value not in known:
            words = ", ".join(word for word in known if word)
            raise UsageError(f"{name} must be one of {words}, not {value}.")
    if options.bit_width not in (8, 16):
        raise UsageError(f"the bit width (-b) must be 8 or 16, not {options.bit_width}.")
    if options.mix_config is not None and options.bit_width == 16:
        raise UsageError(
            "-mc mixes 16 bits into a network of 8, but -b 16 gives all of it 16.", "leave out -b"
        )
    if options.run_mode == "auto_quant" and (options.bit_width == 16 or options.mix_config):
        raise UsageError(
            "-r auto_quant chooses the operators of 16 bits itself.", "leave out -b 16 and -mc"
        )
    if options.mix_budget is not None:
        _check_budget(options)
    if options.mix_config is not None and options.generate_template:
        raise UsageError("-gt writes the template that -mc reads.", "give one of them at a time")
    if not 1 <= options.ir_batch <= MAX_BATCH:
        raise UsageError(
            f"the batch of the model (-ib) must be from 1 to {MAX_BATCH}, not {options.ir_batch}."
        )
    if not 8 <= options.lut_len <= 12:
        raise UsageError(f"the length of tables (-ll) must be from 8 to 12, not {options.lut_len}.")
    if options.load_scales is not None and options.mix_config is not None:
        raise UsageError("both -lsj and -mc decide which tensors have 16 bits.", "leave one out")
    if options.load_scales is not None and options.generate_scales:
        raise UsageError("scales are either written (-gsj) or read (-lsj), not both at once.")
    if not 0 <= options.seed < 1 << 32:
        raise UsageError(f"the seed must be from 0 to {(1 << 32) - 1}, not {options.seed}.")
    chip.find(options.chip)


def _check_budget(options: QuantizeOptions) -> None:
    """Errors for a budget that cannot be kept whatever the model."""
    from knightlite.api.quantization.cycles import clock_of, parse_budget
    from knightlite.quantize.mixed import check_budget

    assert options.mix_budget is not None
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
    check_budget(parse_budget(options.mix_budget), clock_of(options.chip))
