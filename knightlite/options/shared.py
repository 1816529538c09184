"""Options that several commands have: which model, which data, which chip, where files go.

What a command says otherwise it says where its record has one (``like(DATA, help=...)``).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from knightlite.options.checks import existing, known_chip, within
from knightlite.options.fields import REQUIRED, Names, Option
from knightlite.options.kinds import (
    ARRAYS,
    FILE,
    FOLDER,
    FUNCTION,
    NAME,
    SCRIPT_FILE,
    SHAPES,
    SWITCH,
    TEXT,
    WHOLE,
    one_of,
    whole,
)

INFER_AUTO = "infer_auto"
EXPORTERS = ("auto", "torchscript", "dynamo")
MAX_SEED = (1 << 32) - 1

CHIP = Option(kind=TEXT, check=known_chip)
NUMPY, NATIVE = "numpy", "native"
ENGINES = (NUMPY, NATIVE)
ENGINE = Option(
    flags=("--engine",),
    kind=one_of(ENGINES),
    help="What runs compiled networks: the simulator, numpy, or the runtime in C, native, which is "
    "built on first use; both make the same bytes.",
    default=NUMPY,
    doc='what runs compiled networks: the simulator, "numpy", or the runtime in C, "native", which '
    "is built on first use; both make the same bytes.",
)

# ------------------------------------------------------------------ the model

MODEL = Option(
    flags=("-m", "--model"),
    kind=FILE,
    help="Model: .pdmodel, .json (Paddle 3), .onnx; or the script's function that builds it.",
    default=REQUIRED,
    doc="a ``.pdmodel``, ``.json`` (Paddle 3) or ``.onnx`` file; or the function of ``script`` "
    "that builds the network.",
)
WEIGHT = Option(
    flags=("-w", "--weight"),
    kind=FILE,
    help="Weights: .pdiparams [default: beside the model]; .pdparams or .pth for a model function.",
    doc="of a Paddle model; default: the ``.pdiparams`` beside it. ``.pdparams`` or ``.pth`` for "
    "a model function.",
)
FRAMEWORK = Option(
    flags=("-f", "--framework"),
    help="onnx, paddle or pytorch [default: by the model's suffix].",
    doc='"onnx", "paddle" or "pytorch"; default: by the model\'s suffix.',
)
SCRIPT = Option(
    flags=("-uds", "--user-defined-script"),
    kind=SCRIPT_FILE,
    argument="script",
    check=existing("user script", "name it with -uds FILE"),
)
INPUT_SHAPES = Option(
    flags=("-is", "--input-shapes"),
    kind=SHAPES,
    help="Shape of an input with dynamic axes, one per input: -is 1 3 48 192.",
    default=(),
    metavar="SHAPE",
    doc="one per input, for inputs with dynamic axes.",
)
GENERAL_PROCESS = Option(
    flags=("-gp", "--general-process"),
    kind=SWITCH,
    help="Run unsupported operators on the host, in the middle of the network too.",
    default=False,
)
NPU_PICKS = Option(
    flags=("--npu-picks",),
    kind=SWITCH,
    help="An ArgMax or ArgMin that ends the network runs on the NPU, not on the host: fewer bytes, "
    "but no scores that tell how good the quantization is.",
    default=False,
    doc="an ArgMax or ArgMin that ends the network runs on the NPU, not on the host: fewer bytes, "
    "but no scores that tell how good the quantization is.",
)
OPEN_LOOPS = Option(
    flags=("--unfixloop",),
    kind=SWITCH,
    default=False,
)
PADDLE_PYTHON = Option(
    flags=("--paddle-python",),
    help="Python with Paddle, for .json and .pdparams [default: $KNIGHTLITE_PADDLE_PYTHON, or "
    "this one].",
    metavar="PATH",
    doc="the Python that Paddle lives in, for ``.json`` and ``.pdparams``; default: the "
    "environment variable KNIGHTLITE_PADDLE_PYTHON, or this one.",
)
TORCH_PYTHON = Option(
    flags=("--torch-python",),
    help="Python with torch, for -f pytorch [default: $KNIGHTLITE_TORCH_PYTHON, or this one].",
    metavar="PATH",
    doc="the same for torch; default: KNIGHTLITE_TORCH_PYTHON, or this one.",
)
SCRIPT_PYTHON = Option(
    flags=("--script-python",),
    help="Python that the script runs in [default: $KNIGHTLITE_SCRIPT_PYTHON; else this one, or "
    "torch's or Paddle's where they have more of what the script imports].",
    metavar="PATH",
    doc="the Python that the script runs in; default: KNIGHTLITE_SCRIPT_PYTHON, else this one, or "
    "that of torch or Paddle where it has more of what the script imports.",
)
TRUST_CHECKPOINT = Option(
    flags=("--trust-checkpoint",),
    kind=SWITCH,
    help="Load checkpoints with pickled objects too: they can run any code.",
    default=False,
    doc="load checkpoints of torch with pickled objects too, which can run any code.",
)
TORCH_EXPORTER = Option(
    flags=("--torch-exporter",),
    kind=one_of(EXPORTERS),
    help="torch's older or newer ONNX exporter; auto: the older one, else the newer one.",
    default="auto",
    said="The exporter of torch",
    doc='"auto", "torchscript" or "dynamo".',
)

# ------------------------------------------------------------------ the data

FUNCTION_NAME = Option(
    flags=("-if", "--infer-func"),
    kind=FUNCTION,
    help="Registered function of the script.",
    argument="infer",
    doc="with a script a name; else an infer function itself, called as a script's is.",
)
DATA = Option(flags=("-d", "--data"), kind=FOLDER)
BATCHES = Option(kind=ARRAYS, argument="data")
RECIPE = Option(flags=("--recipe",), kind=NAME, completes=Names.RECIPES)
LABELS = Option(
    flags=("--labels",),
    kind=FILE,
    help="Folder names of the classes in the order of the scores, one a line or as idx:name "
    "[default: the folders, sorted].",
    doc="file with the names of the class folders in the order of the scores, one a line or as "
    "idx:name; default: the folders, sorted.",
)
METRIC = Option(
    flags=("--metric",),
    metavar="METRIC",
    help="The data's own measure: FILE.py:NAME, a function or class of yours; or f1, hmean or "
    "coco_map and the function that makes boxes of outputs, as f1:FILE.py:NAME.",
    doc="the data's own measure: ``FILE.py:NAME``, a function or class; or ``f1``, ``hmean`` or "
    "``coco_map`` and the function that makes boxes of outputs, as ``f1:FILE.py:NAME``.",
)
ANNOTATIONS = Option(
    flags=("--annotations",),
    kind=FILE,
    help="What --metric compares with: for the ready ones a file in COCO's format.",
    doc="what ``metric`` compares with: for the ready ones a file in COCO's format.",
)
BATCH_SIZE = Option(
    flags=("-bs", "--batch-size"),
    kind=WHOLE,
    help="Pictures per forward call.",
    default=1,
    doc="pictures per call, where ``data`` does not come in batches.",
)
PICTURES = 100  # of a folder that calibrate, where nobody says how many
ITERATION = Option(flags=("-i", "--iteration"), kind=WHOLE)
SEED = Option(
    flags=("--seed",),
    kind=WHOLE,
    help="Seed of the choice of pictures.",
    default=0,
    check=within(0, MAX_SEED, "the seed"),
    doc="of the choice of pictures in a folder.",
)

WORKERS = Option(
    flags=("-j", "--workers"),
    kind=whole(),
    help="Processes [default: one per processor].",
    check=within(1, None, "workers"),
    doc="processes. More than one need a program whose main module may be imported "
    '(``if __name__ == "__main__":``).',
    unsaid=1,
)

# ------------------------------------------------------------------ files of the stages

QUANTIZED = Option(
    flags=("--onnx",),
    kind=FILE,
    help="Quantized model [default: what quant left here].",
    python=False,
)
CFG_FILE = Option(
    flags=("-cfg", "--config"),
    kind=FILE,
    help="X_r.cfg [default: beside --weight, or what compile left here].",
    python=False,
)
WEIGHT_FILE = Option(
    flags=("-w", "--weight"),
    kind=FILE,
    help="X_r.weight [default: beside --config, or what compile left here].",
    python=False,
)
TSMODEL = Option(
    flags=("-m", "--model"),
    kind=FILE,
    help="X_r.tsmodel, instead of the two files.",
    python=False,
)
OUT_DIR = Option(
    flags=("-s", "--outpath", "--save-dir"),
    kind=FILE,
    help="Where the files go [default: here].",
    default=Path(),
    python=False,
)

# ------------------------------------------------------------------ what is printed

HTML = Option(
    flags=("--html",),
    kind=FILE,
    help="Also write a page: what limits the network, what helps, every layer and plots.",
    metavar="FILE",
    python=False,
)
SHOWN = Option(kind=SWITCH, default=False, python=False)
AS_JSON = replace(SHOWN, flags=("--json",), help="Print the result as JSON on stdout.")
