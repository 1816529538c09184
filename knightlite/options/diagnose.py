"""What ``diagnose`` and ``knightlite.diagnose`` can be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from knightlite.options import shared
from knightlite.options.checks import Check, annotations_of_a_metric, forward_calls
from knightlite.options.fields import like, option
from knightlite.options.kinds import FILE, whole

if TYPE_CHECKING:
    from collections.abc import Iterable

    from knightlite.quantize.data import Batch, InferFunction

SUSPECTS = 8
LAYERS = 10  # rows of the ranked table
PICTURES = 100  # at most, where nobody says how many


def _calls(options: DiagnoseOptions) -> None:
    forward_calls((1 if options.iteration is None else options.iteration,), options.batch_size)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagnoseOptions:
    """What ``diagnose`` is asked for.

    ``model``: the float model; ``quantized``: its X_quantize.onnx; None: what ``quant`` left. Data
    as for ``quant``; none: those of ``quant``. ``iteration``: forward calls; None: as many as
    ``quant`` made, else all pictures of a folder, at most PICTURES pictures either way.
    ``suspects``: how many places are tried; ``number``: rows of the printed table; ``html``: a page
    to write. ``directory``: where the manifest is kept.
    """

    RULES: ClassVar[tuple[Check, ...]] = (_calls, annotations_of_a_metric)

    quantized: Path | None = option(
        "-q",
        "--quantized",
        kind=FILE,
        help="X_quantize.onnx [default: what quant left here].",
        python=False,
    )
    model: Path | None = like(
        shared.MODEL,
        help="The float model [default: the one that quant left].",
        default=None,
        python=False,
    )
    weight: Path | None = like(
        shared.WEIGHT, help="Its weights, of Paddle.", doc="of a Paddle model."
    )
    framework: str | None = like(
        shared.FRAMEWORK,
        help="onnx or paddle [default: by the model's suffix].",
        doc='"onnx" or "paddle"; default: by the model\'s suffix.',
    )
    script: Path | None = like(
        shared.SCRIPT,
        help="Knight user script that feeds the data.",
        doc="a Knight user script, with ``infer`` the name it registers.",
    )
    function: str | InferFunction | None = like(
        shared.FUNCTION_NAME, doc="with a script a name; else an infer function itself."
    )
    data: str | None = like(
        shared.DATA,
        help="Picture folder, or the script's data [default: quant's].",
        doc="what is run, as for ``quantize``; with labels the preprocessing is judged too.",
    )
    batches: Iterable[Batch] | None = like(shared.BATCHES)
    recipe: str | None = like(
        shared.RECIPE,
        help="How pictures become inputs [default: the quantized model's].",
        doc="of the pictures of a folder; default: the one that the model was quantized with.",
    )
    script_python: str | None = like(shared.SCRIPT_PYTHON)
    labels: Path | None = like(shared.LABELS)
    batch_size: int = like(shared.BATCH_SIZE)
    iteration: int | None = like(
        shared.ITERATION,
        kind=whole(1),
        help="Forward calls [default: quant's, else all pictures; at most 100 pictures].",
        doc="forward calls; default: all batches of ``data``, else 1.",
    )
    input_shapes: tuple[tuple[int, ...], ...] = like(shared.INPUT_SHAPES)
    seed: int = like(shared.SEED)
    suspects: int = option(
        "--suspects",
        kind=whole(1),
        help="Places that are tried: each costs a run of the network.",
        default=SUSPECTS,
        doc="places that are tried.",
    )
    number: int = option(
        "-sn",
        "--show-number",
        kind=whole(1),
        help="Rows of the table of layers.",
        default=LAYERS,
        python=False,
    )
    html: Path | None = option(
        "--html",
        kind=FILE,
        help="Also write a page with plots (needs matplotlib).",
        metavar="FILE",
        doc="a page to write; needs matplotlib.",
    )
    metric: str | None = like(shared.METRIC)
    annotations: Path | None = like(shared.ANNOTATIONS)
    as_json: bool = like(shared.AS_JSON)
    directory: Path = Path()
