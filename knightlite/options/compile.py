"""What ``compile``, ``explain``, ``build`` and ``knightlite.compile`` can be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from knightlite.errors import UsageError
from knightlite.layouts import COMPILED_LAYOUTS
from knightlite.options import shared
from knightlite.options.fields import Names, Option, like, option
from knightlite.options.kinds import REPEATED, SWITCH, Kind, one_of, real, whole

SPARSE = Option(
    flags=("--sparse",),
    kind=SWITCH,
    help="Skip blocks of weights that are all zero.",
    default=False,
    doc="skip blocks of a convolution's weights that are all zero.",
)
REUSE = Kind(words=("0", "1", "2"), read=int, write=str, python="int")

OPT_GROUP = Option(
    flags=("--opt-group",),
    kind=REUSE,
    help="Schedule. 0: layer after layer through DDR, as the vendor's compiler; 1: tensors "
    "stay on chip, layers are walked together, constants go ahead; 2: a search from there "
    "[default: 1; of Knight's words (Knight, rne-compile) 0].",
    default=1,
    knights=0,
    doc="schedule: 0 layer after layer through DDR, as the vendor's compiler; 1 with tensors "
    "that stay on chip, layers walked together and constants ahead; 2: a search from there.",
)


def _storable(text: str) -> None:
    """That a ``.cfg`` can keep the text."""
    from knightlite.container.description import MAX_RES_VERSION

    if len(text) > MAX_RES_VERSION:
        raise UsageError(
            f"the resource version must have at most {MAX_RES_VERSION} characters, not {len(text)}."
        )
    if not text.isprintable():
        raise UsageError(f"the resource version must be printable text, not {text!a}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileOptions:
    """What ``compile`` is asked for.

    ``onnx`` None: what ``quant`` left. ``chip`` None: the one that the model was quantized for.
    ``outputs``: inner tensors that the network delivers too. ``first_layer``, ``last_layer``: the
    part between them, None for all. ``opt_ddr`` 0: features share no addresses; 1 and 2: they do.
    ``evaluations``, ``search_seconds``: how long a schedule is searched for, where it is.
    ``sparse``: blocks of zeros are skipped. ``open_loops``: states stay from frame to frame.
    ``explain_memory``: the result says what lies in each
    memory at its fullest. ``res_version``: a text of the user's. ``input_order``: layout of raw
    input files, None for that of the model. ``input_indep``, ``output_indep``: they lie outside the
    network's memory. ``onceload_m``, ``onceload_w``: offsets in MSPM and WSPM from which constants
    stay there; -1: none do. ``directory``: where the manifest is kept.
    """

    onnx: Path | None = like(shared.QUANTIZED)
    chip: str | None = like(
        shared.CHIP, doc="name or chip file; default: the one the model was quantized for."
    )
    out_dir: Path = like(shared.OUT_DIR)
    outputs: tuple[str, ...] = option(
        "--output",
        kind=REPEATED,
        help="Deliver this inner tensor too; may be repeated.",
        default=(),
        metavar="BLOB",
        completes=Names.TENSORS,
        argument="outputs",
        doc="inner tensors that are delivered too.",
    )
    first_layer: str | None = option(
        "-sln",
        "--start-layer-name",
        help="Leave out what is before.",
        metavar="LAYER",
        completes=Names.LAYERS,
        doc="a layer; what is before it is left out.",
    )
    last_layer: str | None = option(
        "-eln",
        "--end-layer-name",
        help="Leave out what is behind.",
        metavar="LAYER",
        completes=Names.LAYERS,
        doc="a layer; what is behind it is left out.",
    )
    opt_group: int = like(OPT_GROUP)
    evaluations: int | None = option(
        "--evaluations",
        kind=whole(0),
        help="With --opt-group 2: changes of a schedule to try in all [default: 240].",
        doc="with ``opt_group`` 2: changes of a schedule to try in all; default: 240.",
    )
    search_seconds: float | None = option(
        "--search-seconds",
        kind=real(0),
        help="With --opt-group 2: stop then, and say after how many changes.",
        doc="with ``opt_group`` 2: stop then; ``figures`` say after how many changes.",
    )
    opt_ddr: int = option(
        "--opt-ddr",
        kind=REUSE,
        help="0: no two tensors share DDR; 1: they do; 2: as 1.",
        default=1,
        doc="0: no two tensors share DDR; 1: they do; 2: as 1.",
    )
    sparse: bool = like(SPARSE)
    open_loops: bool = like(
        shared.OPEN_LOOPS,
        help="Keep the states of recurrent layers from one frame to the next: a frame is a step of "
        "a sequence of any length, which sim -fc says. Of a model that quant --unfixloop left.",
        doc="keep the states of recurrent layers from one frame to the next, each a step of a "
        "sequence of any length; of a model quantized with ``unfixloop``.",
    )
    res_version: str = option(
        "--res-version",
        help="Text of yours to keep in the .cfg.",
        default="1.0",
        check=_storable,
        doc="a text of yours to keep in the ``.cfg``.",
    )
    input_order: str | None = option(
        "--input-order",
        kind=one_of(COMPILED_LAYOUTS),
        help="Layout that sim takes raw files to have [default: nchw, the model's].",
        said="the input order",
        doc='layout that ``sim`` takes raw files to have, "nchw" or "nhwc"; default: the model\'s.',
    )
    input_indep: bool = option(
        "--input-indep",
        kind=SWITCH,
        help="Inputs lie outside the network's memory: the program that runs it says where.",
        default=False,
        doc="inputs lie outside the network's memory, where who runs it says.",
    )
    output_indep: bool = option(
        "--output-indep",
        kind=SWITCH,
        help="The same of outputs.",
        default=False,
        doc="the same of outputs.",
    )
    onceload_m: int = option(
        "--onceload-m",
        kind=whole(-1),
        help="Parameters and tables stay in MSPM from this byte on, loaded once; -1: they are "
        "loaded in every frame.",
        default=-1,
        metavar="N",
        doc="parameters and tables stay in MSPM from this byte on, loaded once; -1: they do not.",
    )
    onceload_w: int = option(
        "--onceload-w",
        kind=whole(-1),
        help="The same of weights, in WSPM.",
        default=-1,
        metavar="N",
        doc="the same of weights, in WSPM.",
    )
    explain_memory: bool = option(
        "--explain-memory",
        kind=SWITCH,
        help="Name what lies in each memory where it is fullest.",
        default=False,
        doc="name what lies in each memory where it is fullest (``memory`` of the result).",
    )
    as_json: bool = like(shared.AS_JSON)
    directory: Path = Path()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainOptions:
    """What ``explain`` is asked for; ``node`` None: all. The schedule's options: ``compile``'s."""

    node: str | None = option(position=True, completes=Names.LAYERS)
    chip: str | None = like(shared.CHIP)
    onnx: Path | None = like(shared.QUANTIZED)
    sparse: bool = like(SPARSE, help="Say which blocks of zeros are skipped.")
    opt_group: int = like(OPT_GROUP)
    as_json: bool = like(shared.AS_JSON)
    directory: Path = Path()


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions:
    """What ``build`` is asked for, beside what its stages are."""

    disable_compare: bool = like(
        shared.SHOWN,
        flags=("--disable-compare",),
        help="Do not compare float, quantized and chip.",
    )
    disable_model_check: bool = like(
        shared.SHOWN,
        flags=("--disable-model-check",),
        help="Do not compare the binary with its golden model.",
    )
    html: Path | None = like(
        shared.HTML, help="Also profile, and write the page of it, as profile --html does."
    )
