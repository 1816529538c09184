"""What ``quant`` and ``knightlite.quantize`` can be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from knightlite.options import quantize_rules as rules
from knightlite.options import shared
from knightlite.options.checks import Check, within
from knightlite.options.fields import like, option
from knightlite.options.kinds import (
    BITS,
    BUDGET,
    COUNTS,
    FILE,
    JSON_LIST,
    NUMBERS,
    ON_OFF,
    REAL,
    SWITCH,
    TEXTS,
    WHOLE,
    WORDS,
    one_of,
    real,
)
from knightlite.options.shared import INFER_AUTO
from knightlite.quantize.choices import (
    BIAS_CORRECTIONS,
    DEFAULT_PERCENT,
    EFFORTS,
    ROUNDINGS,
    STRATEGIES,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from knightlite.quantize.data import Batch, InferFunction

FLOAT_MODEL = ("convert", "infer")  # functions of Python that take a float model
RUNS = ("infer", "compare_layers")  # functions that take data


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizeOptions:
    """What ``quant`` is asked for.

    ``chip`` None: the default one. ``data`` with ``recipe`` reads pictures; ``script`` with
    ``function`` runs a user script on ``data``; with neither, what is made up (infer_auto). From
    Python, ``batches`` are arrays as the network reads them, or batches of them, and ``function``
    may be the infer function itself.
    Every combination of ``methods`` and ``iterations`` is run; "all" is every method, "auto" mse
    and for every tensor another one where that gains; none of them: as the effort has it, and all
    ``batches``, else 1. ``model`` is a file, or the name of a function of ``script`` that builds
    the network. ``input_configs``: JSON text, see ``api.quantization.input_configs``.
    ``directory``: where the manifest is kept.
    """

    RULES: ClassVar[tuple[Check, ...]] = rules.RULES

    model: Path = like(shared.MODEL, also=("convert",))
    chip: str | None = like(
        shared.CHIP,
        doc="name or chip file; default: that of the commands (``--default-chip``), TX5368AV200.",
    )
    weight: Path | None = like(shared.WEIGHT, also=FLOAT_MODEL)
    framework: str | None = like(shared.FRAMEWORK, also=FLOAT_MODEL)
    script: Path | None = like(
        shared.SCRIPT,
        help="Knight user script; runs unmodified. It may also build the network.",
        doc="a Knight user script, with ``infer`` the name it registers; ``data`` becomes "
        "``executor.dataset``.",
        also=("convert", *RUNS),
    )
    function: str | InferFunction = like(
        shared.FUNCTION_NAME,
        help="Registered function of the script; infer_auto feeds what is made up without data.",
        unlike="in sim, -if writes the input integers",
        check=rules.not_a_number,
        default=INFER_AUTO,
        unsaid=None,
        also=RUNS,
    )
    save_dir: Path = option(
        "-s",
        "--save-dir",
        kind=FILE,
        help="Where the files go [default: here].",
        default=Path(),
        python=False,
    )
    data: str | None = like(
        shared.DATA,
        help="Picture folder (with --recipe), or the script's data.",
        unlike="in sim, -d names a tensor to write",
        doc="what calibrates the ranges. A folder of pictures, together with ``recipe``. An array "
        "of pictures [N, C, H, W] as the network reads them, or one per input by name. An "
        "iterable of batches: an array, or one per input in order or by name, each [n, ...]. "
        "None: random data, with a warning.",
        also=RUNS,
    )
    batches: Iterable[Batch] | None = like(shared.BATCHES, also=RUNS)
    recipe: str | None = like(
        shared.RECIPE,
        help="How pictures become inputs: a name of calibration/ or a TOML file.",
        doc="how the pictures of a folder become arrays: a name of calibration/ or a TOML file.",
        also=RUNS,
    )
    labels: Path | None = like(shared.LABELS, also=RUNS)
    batch_size: int = like(shared.BATCH_SIZE, also=RUNS)
    iterations: tuple[int, ...] = like(
        shared.ITERATION,
        kind=COUNTS,
        help="Number of forward calls; several are tried one by one [default: 100 pictures "
        "of a folder, or all there are; 1 where a script runs].",
        unlike="in sim, -i is the input",
        default=(),
        metavar="N...",
        doc="forward calls; default: all batches of ``data``, 100 pictures of a folder or all "
        "there are, else 1. Several are tried.",
        unsaid=None,
        also=RUNS,
    )
    methods: tuple[str, ...] = option(
        "-qm",
        "--quant-mode",
        kind=WORDS,
        help="Range method: mse, min_max, kl, kl_v2, percentile, octav; auto is mse, and for "
        "single tensors another one where their readers then err less; several, or all of them "
        "but auto with all, are tried one by one [default: mse; auto at high effort].",
        default=(),
        metavar="METHOD...",
        check=rules.known_methods,
        argument="method",
        doc='how ranges are chosen: "mse" (default), "min_max", "kl", "kl_v2", "percentile", '
        '"octav", or "auto" per tensor (default at high effort); several, or "all" but "auto", '
        "are tried and the best is returned, see ``combinations``.",
        unsaid=None,
    )
    percent: float = option(
        "-per",
        "--percent",
        kind=REAL,
        help="percentile: the share of magnitudes inside the range.",
        default=DEFAULT_PERCENT,
        check=rules.usable_percent,
        doc='the share of magnitudes inside the range of "percentile".',
    )
    equalize: bool | None = option(
        "--equalization",
        kind=ON_OFF,
        help="Bring channels that share a scale to like ranges where that gains [default: as the "
        "effort has it].",
        doc="bring channels that share a scale to like ranges where that gains; default: as the "
        "effort has it.",
    )
    output_scales: bool | None = option(
        "--output-scales",
        kind=ON_OFF,
        help="Make scales of -qm mse finer or coarser where the network's outputs keep more so "
        "[default: as the effort has it].",
        doc="make scales of the method mse finer or coarser where the network's outputs keep more; "
        "default: as the effort has it.",
    )
    effort: str = option(
        "--effort",
        kind=one_of(EFFORTS),
        help="What to try for accuracy: low, ranges and fast bias correction; high may take "
        "minutes, and up to 10 % of cycles for 16 bits where 8 keep less than 30 dB.",
        default="normal",
        doc='what to try for accuracy: "low" (ranges, fast bias correction), "normal" or "high" '
        "(may take minutes).",
    )
    bias_correction: str | None = option(
        "--bias-correction",
        kind=one_of(BIAS_CORRECTIONS),
        help="Against mean errors [default: as the effort has it].",
        doc='"off", "fast" or "sequential"; default: as the effort has it.',
    )
    rounding: str | None = option(
        "--rounding",
        kind=one_of(ROUNDINGS),
        help="Of weights: adaptive fits them to the layer's inputs [default: as the effort has "
        "it].",
        doc='of weights, "nearest" or "adaptive"; default: as the effort has it.',
    )
    bit_width: int = option(
        "-b",
        "--bit-width",
        kind=BITS,
        help="Bits of tensors and weights; at 8 some tensors have 16 (--wide-tensors).",
        default=8,
        said="the bit width (-b)",
        doc="8 or 16.",
    )
    wide_tensors: bool = option(
        "--wide-tensors",
        kind=ON_OFF,
        help="At -b 8 give 16 bits where one rounding more costs much: to what only tables read, "
        "what norms and recurrent layers compute on the way, what goes into a residual Add. off "
        "leaves only what is delivered.",
        default=True,
        doc="at 8 bits give 16 where one rounding more costs much: to what only tables read, what "
        "norms and recurrent layers compute on the way, what goes into a residual Add.",
    )
    generate_template: bool = option(
        "-gt",
        "--generate-template",
        kind=SWITCH,
        help="Also write {model}.json, which -mc reads.",
        default=False,
        doc="also make ``mix_template``, the text of a mix configuration.",
    )
    mix_config: Path | None = option(
        "-mc",
        "--mix-config",
        kind=FILE,
        help="JSON that gives operators 16 bits.",
        doc="such a file, which gives operators 16 bits.",
    )
    input_shapes: tuple[tuple[int, ...], ...] = like(shared.INPUT_SHAPES, also=FLOAT_MODEL)
    run_mode: str = option(
        "-r",
        "--run-mode",
        kind=one_of(rules.RUN_MODES),
        unlike="a recipe is named with --recipe",
        help="quant; auto_quant: some operators at 16 bits, found by measuring; infer: run the "
        "model only; convert: write the float ONNX only; compare: every layer of the float model "
        "beside the quantized one that is there.",
        default="quant",
        doc='"quant", or "auto_quant": some operators at 16 bits, found by measuring.',
    )
    mix_ratio: float = option(
        "-amr",
        "--auto-mix-ratio",
        kind=real(0, 1),
        help="auto_quant: share of the convolutions that may have 16 bits.",
        default=0.5,
        said="the share of operators at 16 bits",
    )
    mix_strategy: str = option(
        "-ams",
        "--auto-mix-strategy",
        kind=one_of(STRATEGIES),
        help="auto_quant: the most sensitive first, both ends first, from the input on.",
        default=STRATEGIES[0],
        said="the strategy",
        doc='auto_quant: "HAWQ", "IOhigh" or "initial".',
    )
    mix_budget: str | None = option(
        "--mix-budget",
        kind=BUDGET,
        help="Give 16 bits where they help most, for at most P percent of extra predicted cycles: "
        "5, 2.5%, or 20000cycles. Not with auto_quant.",
        metavar="P",
        doc="give 16 bits where they help most, for at most so many percent of extra predicted "
        'cycles: 5, "2.5%" or "20000cycles".',
    )
    general_process: bool = like(shared.GENERAL_PROCESS, also=("convert",))
    npu_picks: bool = like(shared.NPU_PICKS, also=("convert",))
    open_loops: bool = like(
        shared.OPEN_LOOPS,
        help="Read LSTM, GRU and RNN as one step, whose states stay for the next: for sequences "
        "of any length. The data are sequences as before.",
        doc="read LSTM, GRU and RNN as one step, whose states stay for the next; the data are "
        "sequences as before.",
    )
    input_types: tuple[str, ...] = option(
        "-qid",
        "--quantize-input-dtype",
        kind=TEXTS,
        help="Per input uint8, int8 or int16: it is fed with integers; float32 or None: real "
        "numbers.",
        default=(),
        metavar="TYPE",
        argument="input_types",
        doc='per input "uint8", "int8" or "int16": it is fed with integers; "float32".',
    )
    mean: tuple[float, ...] = option(
        "--mean",
        kind=NUMBERS,
        help="The network subtracts this from its first input: one number, or one per channel.",
        default=(),
        metavar="NUMBERS",
        doc="what the network subtracts from its first input, one number or one per channel.",
        also=("convert",),
    )
    std: tuple[float, ...] = option(
        "--std",
        kind=NUMBERS,
        help="The network divides its first input by this.",
        default=(),
        metavar="NUMBERS",
        doc="what it divides it by.",
        also=("convert",),
    )
    output_names: tuple[str, ...] = option(
        "-on",
        "--output-name",
        kind=TEXTS,
        help="Cut the network at these tensors: -on A B.",
        default=(),
        metavar="NAME",
        argument="output_names",
        doc="cut the network at these tensors.",
        also=("convert",),
    )
    generate_scales: bool = option(
        "-gsj",
        "--generate-scale-json",
        kind=SWITCH,
        help="Also write types and scales of all tensors to X_scales.json.",
        default=False,
        doc="also make ``scales``, the text of a scale file.",
    )
    load_scales: Path | None = option(
        "-lsj",
        "--load-scale-json",
        kind=FILE,
        help="Take types and scales from such a file; tensors it leaves out are calibrated.",
        metavar="FILE",
        argument="scales",
        doc="a scale file (``generate_scale_json`` makes one) to take types and scales from.",
    )
    lut_len: int | None = option(
        "-ll",
        "--lut-len",
        kind=WHOLE,
        help="Tables of 16-bit tensors have 2^N intervals, N from 8 to 12 [default: 10, and 11 "
        "where lines between so few entries are too coarse].",
        check=within(8, 12, "the length of tables (-ll)"),
        doc="tables of 16-bit tensors have 2^lut_len intervals, 8 to 12; default: 10, and 11 where "
        "lines between so few entries are too coarse.",
    )
    input_configs: str = option(
        "--input-configs",
        kind=JSON_LIST,
        help="Type, mean, std and data of each input: a list, as in run-config files.",
        default="",
        metavar="JSON",
        doc="type, mean, std and data of each input, as in run-config files.",
        unsaid=(),
    )
    ir_batch: int = option(
        "-ib",
        "--ir-batch",
        kind=WHOLE,
        help="Frames that sim runs of its input, one after the other; the model takes any batch.",
        default=1,
        check=within(1, rules.MAX_BATCH, "the batch of the model (-ib)"),
        doc="frames that ``sim`` runs of its input; the model takes any batch.",
    )
    cache: Path | None = option(
        "-cd",
        "--cache-distribution",
        kind=FILE,
        help="Keep what the first pass over the data learns, and read it where FILE is there.",
        metavar="FILE",
        doc="a file that keeps what the first pass over the data learns, and stands for that pass "
        "where it is there.",
    )
    dump: bool = option(
        "-du",
        "--dump",
        kind=SWITCH,
        help="Also write the values of every layer, float and fixed, to dump/.",
        default=False,
        doc="also write the values of every layer, float and fixed, to ``save_dir``/dump.",
    )
    paddle_python: str | None = like(shared.PADDLE_PYTHON, also=("convert",))
    torch_python: str | None = like(shared.TORCH_PYTHON, also=("convert",))
    script_python: str | None = like(
        shared.SCRIPT_PYTHON, also=("convert", "infer", "compare_layers")
    )
    torch_exporter: str = like(shared.TORCH_EXPORTER, also=("convert",))
    trust_checkpoint: bool = like(
        shared.TRUST_CHECKPOINT, also=("convert", "infer", "compare_layers")
    )
    seed: int = like(shared.SEED, also=("infer", "compare_layers"))
    as_json: bool = like(shared.AS_JSON)
    directory: Path = Path()

    @property
    def calls(self) -> int:
        """Forward calls of the largest of ``iterations``."""
        return max(self.iterations, default=1)

    @property
    def combinations(self) -> tuple[tuple[str, int], ...]:
        """Every (method, iteration) that is run, each once."""
        return rules.combinations(self.methods, self.iterations, self.effort)

    @property
    def target(self) -> str:
        """The chip, where it is known which."""
        assert self.chip is not None
        return self.chip
