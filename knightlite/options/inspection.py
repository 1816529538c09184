"""What the commands that look at models, files and chips can be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from knightlite.layouts import LAYOUTS
from knightlite.options import shared
from knightlite.options.checks import known_chip_or_all
from knightlite.options.fields import REQUIRED, Names, like, option
from knightlite.options.kinds import FILE, FILES, TEXTS, Kind, one_of, whole

KEEP = Kind(words=("0", "1"), read=lambda word: word == "1", write=lambda keep: str(int(keep)))


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOptions:
    """What ``check`` is asked for, as :class:`~knightlite.options.quantize.QuantizeOptions`."""

    model: Path = like(shared.MODEL)
    chip: str | None = like(shared.CHIP, check=known_chip_or_all)
    weight: Path | None = like(shared.WEIGHT)
    framework: str | None = like(shared.FRAMEWORK)
    script: Path | None = like(
        shared.SCRIPT, help="User script with the function that builds the network."
    )
    input_shapes: tuple[tuple[int, ...], ...] = like(shared.INPUT_SHAPES)
    general_process: bool = like(shared.GENERAL_PROCESS)
    npu_picks: bool = like(shared.NPU_PICKS)
    paddle_python: str | None = like(shared.PADDLE_PYTHON)
    torch_python: str | None = like(shared.TORCH_PYTHON)
    script_python: str | None = like(shared.SCRIPT_PYTHON)
    torch_exporter: str = like(shared.TORCH_EXPORTER)
    trust_checkpoint: bool = like(shared.TRUST_CHECKPOINT)
    as_json: bool = like(shared.AS_JSON)


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectOptions:
    """What ``inspect`` is asked for; ``file`` None: what ``compile`` left last."""

    file: Path | None = option(kind=FILE, position=True)
    as_json: bool = like(shared.AS_JSON, help="Print the metadata as JSON on stdout.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChipsOptions:
    """What ``chips`` is asked for; ``name`` None: all chips."""

    name: str | None = option(position=True, completes=Names.CHIPS)
    ops: bool = like(
        shared.SHOWN, flags=("--ops",), help="List the operators that the chip runs instead."
    )
    as_json: bool = like(shared.AS_JSON)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfoOptions:
    """What ``model_info`` is asked for; ``model`` None: what ``quant`` or ``compile`` left last."""

    model: Path | None = like(
        shared.MODEL,
        help="X_quantize.onnx, X_r.cfg or X_r.tsmodel [default: what quant or compile left last].",
        default=None,
    )
    dequant_scale: bool = like(
        shared.SHOWN,
        flags=("-ds", "--dequant-scale"),
        help="Show outputs and their scales only.",
    )
    inputs_too: bool = like(
        shared.SHOWN, flags=("-qi",), help="With -ds: the scales of the inputs too."
    )
    as_json: bool = like(shared.AS_JSON)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowSimResultOptions:
    """What ``show_sim_result`` is asked for; ``index`` None: a list of all.

    ``sim_data``: a folder, or text forms that become arrays in ``save_dir``.
    """

    sim_data: tuple[Path, ...] = option(
        "-sd",
        "--sim-data",
        "--sim-dir",
        kind=FILES,
        help="Where sim left its results [default: where it did last]; or result-X_p.txt, which "
        "--save-dir keeps as result-X_p.npy.",
        default=(),
    )
    index: int | None = option(
        "-i", "--index", kind=whole(0), help="Print the values of this result."
    )
    layout: str = option(
        "-fmt",
        "--format",
        kind=one_of(("nchw", "nhwc")),
        help="Channel by channel, or pixel by pixel.",
        default="nchw",
    )
    save_dir: Path | None = option(
        "-s",
        "--save-dir",
        kind=FILE,
        help="Also write the list there, as sim_results.json; of a file the array.",
    )
    as_json: bool = like(shared.AS_JSON)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelModifierOptions:
    """What ``model_modifier`` is asked for."""

    model: Path = like(shared.MODEL, help="An .onnx model, float or quantized.")
    name: str | None = option(
        "--submodel-name", help="What the part is called [default: X_sub].", metavar="NAME"
    )
    inputs: tuple[str, ...] = option(
        "--input-names",
        kind=TEXTS,
        help="Where the part begins: names of values [default: the model's inputs].",
        default=(),
    )
    outputs: tuple[str, ...] = option(
        "--output-names",
        kind=TEXTS,
        help="Where the part ends [default: the model's outputs].",
        default=(),
    )
    save_dir: Path = like(shared.OUT_DIR)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCheckOptions:
    """What ``model_check`` is asked for."""

    quant_dir: Path | None = option(
        "-qo",
        "--quant-output",
        kind=FILE,
        help="Where quant left its files, for the sample of inputs/ [default: the known input].",
    )
    compile_dir: Path = option(
        "-co",
        "--compile-output",
        kind=FILE,
        help="Where compile left its files [default: here].",
        default=Path(),
    )
    layout: str | None = option(
        "-fmt",
        "--format",
        kind=one_of(LAYOUTS),
        help="Layout of raw input [default: as stored in the .cfg].",
    )
    keep: bool = option(
        "-r",
        "--results",
        kind=KEEP,
        help="1: leave the simulator's results beside the compiled network.",
        default=False,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Npy2BinOptions:
    """What ``npy2bin`` is asked for."""

    source: Path = option(
        "-i",
        "--input",
        kind=FILE,
        help="Array of numpy.save; its layout stays as it is.",
        default=REQUIRED,
    )
    target: Path = option(
        "-o", "--output", kind=FILE, help="Raw file for sim --input.", default=REQUIRED
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptPathOptions:
    """What ``script-path`` is asked for; ``python`` None: the folder alone."""

    python: str | None = option(
        "--python",
        help="Let this Python find the folder from now on, by a file in its site-packages.",
        metavar="PATH",
    )
