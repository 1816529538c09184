"""Where the first model of an evaluation answers about as chance does: said, with what to try."""

from __future__ import annotations

from knightlite import workspace
from knightlite.api.evaluation.stored_frames import holds_frames
from knightlite.evaluation import chance_told
from knightlite.options.evaluate import EvaluateOptions
from knightlite.talk import Talk

PICTURES = (
    "--labels FILE names the class folders in the order of the scores, --recipe NAME takes another "
    "preprocessing"
)
FRAMES = (
    "--labels FILE.npy has the place of each frame's class among the scores; frames are prepared "
    "as for the training before they are stored"
)
SHARDS = "look at --labels and --recipe of the commands that counted the shards"


def warn_of_chance(
    model: str,
    top1: float,
    labelled: int,
    classes: int,
    options: EvaluateOptions | None,
    talk: Talk,
) -> None:
    """That the first model, which the others are compared with, answers about as chance does.

    ``top1``: percent of the ``labelled`` pictures. ``options``: what was asked; None: of shards.
    """
    told = chance_told(top1 / 100, classes, labelled, model)
    if told is not None:
        talk.warn(f"{told} Hint: {SHARDS if options is None else _hint(options)}")


def _hint(options: EvaluateOptions) -> str:
    """What this data can be asked with, and what is at hand here."""
    hint = FRAMES if holds_frames(options.folder) else PICTURES
    records = workspace.open_workspace(options.directory).records
    quants = [run.options.get("source") for run in records if run.stage == "quant"]
    latest = quants[-1] if quants else None
    if isinstance(latest, dict) and (latest.get("data") or latest.get("script")):
        hint += "; `knightlite diagnose` tries some on the data of quant"
    return hint
