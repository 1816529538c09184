"""The frames that ``sim`` runs: raw data or a picture, as the integers that the network reads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from knightlite import limits, workspace
from knightlite.container import Description, StoredTensor
from knightlite.errors import DataError, UsageError
from knightlite.options.simulate import SimulateOptions
from knightlite.preprocess import SUFFIXES as PICTURES
from knightlite.preprocess import is_picture
from knightlite.talk import Talk

if TYPE_CHECKING:
    from knightlite.preprocess import Recipe

Array = NDArray[Any]


def found_input(options: SimulateOptions, talk: Talk) -> str:
    """The input argument, with bare file names that are absent here taken from the manifest."""
    from knightlite.sim.inputs import input_paths

    space = workspace.open_workspace(options.directory)
    recorded = {Path(item.path).name for run in space.records for item in run.files.values()}
    parts = []
    for path in input_paths(options.input):
        if not path.exists() and str(path) in recorded:
            path, sentence = workspace.resolve(space, path)
            talk.say(sentence)
        parts.append(str(path))
    return ":".join(parts)


def frames_of(
    options: SimulateOptions, meta: Description, talk: Talk
) -> tuple[Iterator[dict[str, Array]], int]:
    """The frames to run as input integers, and how many they are."""
    from knightlite.sim import inputs

    if is_picture(Path(options.input)):
        if options.layout is not None:
            raise UsageError(
                f"the recipe decides the layout of picture {options.input}: -fmt is unused."
            )
        if options.frame_count is not None and options.frame_count > 1:
            talk.say(f"{options.frame_count} frames are asked for, a picture is one.")
        _warn_of_another_recipe(options.recipe, meta, talk)
        return iter([_picture(options, meta)]), 1
    if options.recipe is not None:
        raise UsageError(
            f"--recipe prepares a picture, but {options.input} does not end in one of "
            f"{', '.join(PICTURES)}."
        )
    layout = options.layout or meta.input_layout
    said = "as asked" if options.layout else "as stored in the .cfg; Knight's default is nhwc"
    talk.say(f"input layout: {layout} ({said})")
    unread = set(meta.declared_inputs) - {entry.name for entry in meta.inputs}
    if unread and len(inputs.input_paths(options.input)) == len(meta.declared_inputs):
        talk.say(f"nothing reads the network input {', '.join(sorted(unread))}: it is ignored")
    found = inputs.read(
        options.input,
        meta.inputs,
        layout,
        options.frame_count,
        options.frame_step,
        meta.usual_frames,
        meta.declared_inputs,
    )
    talk.say(f"input holds {found.available} frame(s) of {found.kind}")
    step, run = options.frame_step, len(found.numbers)
    every = f", every {step}. of {found.available}" if step > 1 else ""
    if run < found.asked:
        talk.say(f"{found.asked} frames are asked for, {run} run{every}.")
    elif every:
        talk.say(f"{run} frame(s) run{every} (-fs {step}).")
    elif found.remaining:
        talk.say(f"{run} frame(s) run, {found.remaining} remain; -fc N runs more of them.")
    return iter(found), len(found.numbers)


def _picture(options: SimulateOptions, meta: Description) -> dict[str, Array]:
    """A picture as input integers, through the recipe in the binary or the one asked for."""
    from knightlite.sim.host import quantize

    entry = meta.inputs[0]
    return {entry.name: quantize(picture(Path(options.input), meta, options.recipe), entry)}


def _warn_of_another_recipe(named: str | None, meta: Description, talk: Talk) -> None:
    """That the recipe is not the one in the ``.cfg``."""
    if None not in (named, meta.recipe) and recipe_of(meta, named).text != meta.recipe:
        talk.warn(
            "the recipe is not the one that the model was quantized with. Hint: without --recipe "
            "that one is taken"
        )


def recipe_of(meta: Description, named: str | None) -> Recipe:
    """The recipe of that name or file as the network takes it; None: the one in the ``.cfg``.

    UsageError where there is none.
    """
    from knightlite.preprocess import load_recipe, parse_recipe

    if named is not None:
        recipe = load_recipe(named)  # in integers the network does the rest itself
        return recipe.raw() if _reads_pixels(meta.inputs[0]) else recipe
    if meta.recipe is not None:
        return parse_recipe(meta.recipe, "of the .cfg", "the .cfg")
    raise UsageError(
        "the network was quantized without a recipe, so a picture cannot be prepared.",
        "name one with --recipe, or give a raw file",
    )


def _reads_pixels(entry: StoredTensor) -> bool:
    """True for an input in integers, which the network normalizes itself."""
    return entry.type == "u8" and entry.scale == 1


def picture(
    source: Path | bytes | Array,
    meta: Description,
    named: str | None,
    most_pixels: int = limits.PICTURE_PIXELS,
) -> Array:
    """A picture as the only input of a .cfg reads it, float32 [1, C, H, W].

    ``source``: a file, its bytes, or pixels. ``named``: a recipe; None takes the one in the .cfg,
    UsageError where it has none. ``most_pixels``: that a file may ask for.
    """
    from knightlite.preprocess import prepare_picture

    if len(meta.inputs) != 1:
        raise DataError(f"a picture feeds one input, but the network has {len(meta.inputs)}.")
    values: Array = prepare_picture(
        source, recipe_of(meta, named), meta.inputs[0].shape, most_pixels
    )
    return values[None]
