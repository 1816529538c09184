"""The frames that ``sim`` runs: raw data or a picture, as the integers that the network reads."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from knightlite import limits, workspace
from knightlite.api.simulation.fed import another_recipe, looked_at, preparation, range_of, remark
from knightlite.api.simulation.order import order_remark
from knightlite.container import Description, StoredTensor
from knightlite.errors import DataError, KnightliteError, UsageError, not_there
from knightlite.options.simulate import SimulateOptions
from knightlite.preprocess import SUFFIXES as PICTURES
from knightlite.preprocess import is_picture, turned_remark
from knightlite.talk import Talk

if TYPE_CHECKING:
    from knightlite.preprocess import Recipe

Array = NDArray[Any]


def found_input(options: SimulateOptions, meta: Description, talk: Talk) -> str:
    """The input argument, with bare file names that are absent here taken from the manifest.

    Those that were left beside the quantized model of this network come first.
    """
    from knightlite.sim.inputs import input_paths

    space = workspace.open_workspace(options.directory)
    outputs = {Path(item.path).name for item in _outputs(space)}
    recorded = {Path(item.path).name for run in space.records for item in run.files.values()}
    parts = []
    for path in input_paths(options.input):
        if not path.exists() and str(path) in recorded:
            path, sentence = workspace.resolve(space, path, with_sha256=meta.model_sha256)
            talk.say(sentence)
        elif not path.exists() and (there := workspace.left_elsewhere(space, path.name)):
            raise UsageError(f"input file {path} does not exist.", there)
        elif not path.exists() and not is_picture(path):
            hint = "quant leaves a sample as inputs/NAME.bin"
            raise not_there("input file", path, hint, fits=lambda item: item.name not in outputs)
        parts.append(str(path))
    return ":".join(parts)


def _outputs(space: workspace.Workspace) -> Iterator[workspace.Produced]:
    """The files that stages left of what networks deliver."""
    for run in space.records:
        for key, item in run.files.items():
            if run.stage == "sim" or key == "known_output":
                yield item


def require_no_folder(options: SimulateOptions, network: Path, meta: Description) -> None:
    """UsageError where the input is a folder, which ``eval`` runs; ``network``: its file."""
    from knightlite.preprocess import list_pictures

    path = Path(options.input)
    if not path.is_dir():
        return
    hint = "name a file inside it"
    with suppress(KnightliteError):
        found = list_pictures(path)
        words = ["knightlite", "eval", str(network), "--data", str(path)]
        words += ["--recipe", options.recipe or "NAME"] if meta.recipe is None else []
        hint = (
            f"`{shlex.join(words)}` runs all its pictures; or name one, as {found.samples[0].path}"
        )
    raise UsageError(f"input {path} is a folder, and sim runs what a file holds.", hint)


def frames_of(
    options: SimulateOptions, meta: Description, talk: Talk
) -> tuple[Iterator[dict[str, Array]], int, tuple[str, ...]]:
    """The frames to run as input integers, how many they are, and what is odd about them."""
    from knightlite.sim import inputs
    from knightlite.sim.host import quantize

    if is_picture(Path(options.input)):
        if options.layout is not None:
            raise UsageError(
                f"the recipe decides the layout of picture {options.input}: -fmt is unused."
            )
        if options.frame_count is not None and options.frame_count > 1:
            talk.say(f"{options.frame_count} frames are asked for, a picture is one.")
        _warn_of_another_recipe(options.recipe, meta, talk)
        values = picture(Path(options.input), meta, options.recipe)
        entry = meta.inputs[0]
        odd = [turned_remark(Path(options.input)) or None, remark([values], range_of(entry, meta))]
        told = _warned(odd, talk)
        return iter([{entry.name: quantize(values, entry)}]), 1, told
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
        preparation(meta.recipe),
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
    places, raw = looked_at(run), layout if _is_raw(options.input) else None
    remarks: list[str | None] = []
    for item in meta.inputs:
        stored = [*found.stored(item.name, places)]
        if stored[0].dtype.kind == "f":
            remarks.append(remark(stored, range_of(item, meta), len(meta.inputs) == 1))
        remarks.append(order_remark(stored, item.name, raw))
    return iter(found), run, _warned(remarks, talk)


def _is_raw(argument: str) -> bool:
    """Whether files without a shape are named, whose order only ``-fmt`` says."""
    return not argument.endswith(".npy")


def _warned(remarks: Sequence[str | None], talk: Talk) -> tuple[str, ...]:
    """Those that there are, which are said."""
    told = tuple(item for item in remarks if item is not None)
    for sentence in told:
        talk.warn(sentence)
    return told


def _warn_of_another_recipe(named: str | None, meta: Description, talk: Talk) -> None:
    """That the recipe is not the one in the ``.cfg``."""
    if None not in (named, meta.recipe):
        _warned([another_recipe(recipe_of(meta, named).text, meta.recipe)], talk)


def recipe_of(meta: Description, named: str | None) -> Recipe:
    """The recipe of that name or file as the network takes it; None: the one in the ``.cfg``.

    UsageError where there is none.
    """
    from knightlite.preprocess import load_recipe, parse_recipe

    if named is not None:
        recipe = load_recipe(named)  # in integers the network does the rest itself
        return recipe.raw() if _reads_pixels(meta.inputs[0]) else recipe
    if meta.recipe is not None:
        return parse_recipe(meta.recipe, "the recipe of the .cfg", "the .cfg")
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
    stored = None if named is None or meta.recipe is None else recipe_of(meta, None)
    values: Array = prepare_picture(
        source, recipe_of(meta, named), meta.inputs[0].shape, most_pixels, stored
    )
    return values[None]
