"""Where the first model of an evaluation answers about as chance does: said, with what to try."""

from __future__ import annotations

from collections.abc import Sequence

from knightlite import workspace
from knightlite.api.evaluation.stored_frames import holds_frames
from knightlite.evaluation import chance_told
from knightlite.options.evaluate import EvaluateOptions
from knightlite.talk import Talk

Other = tuple[str, float | None, float | None]
"""A model's name, the dB that it keeps of the first one's scores, percent of the same answers."""

PICTURES = (
    "--labels FILE names the class folders in the order of the scores, --recipe NAME takes another "
    "preprocessing"
)
FRAMES = (
    "--labels FILE.npy has the place of each frame's class among the scores; frames are prepared "
    "as for the training before they are stored"
)
KEPT_DB = 3.0  # of the scores: noise of two thirds of them
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


def warn_of_strangers(first: str, others: Sequence[Other], talk: Talk) -> None:
    """Of models that keep next to nothing of the first one's scores: is it the same network?"""
    for model, sqnr_db, agreed in others:
        if sqnr_db is not None and sqnr_db < KEPT_DB:
            same = "" if agreed is None else f" and {agreed:.0f} % of its best classes"
            talk.warn(
                f"{model} keeps {sqnr_db:.1f} dB of the scores of {first}{same}: it is another "
                "network, or one that was trained on pictures prepared otherwise, or nearly all is "
                "lost. Hint: compare forms of one network, fed as that one was trained"
            )


def _hint(options: EvaluateOptions) -> str:
    """What this data can be asked with, and what is at hand here."""
    hint = FRAMES if holds_frames(options.folder) else PICTURES
    records = workspace.open_workspace(options.directory).records
    quants = [run.options.get("source") for run in records if run.stage == "quant"]
    latest = quants[-1] if quants else None
    if isinstance(latest, dict) and (latest.get("data") or latest.get("script")):
        hint += "; `knightlite diagnose` tries some on the data of quant"
    return hint
