"""The pictures that a quantized model was calibrated on, by the manifest, and those met again."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from knightlite import workspace
from knightlite.errors import KnightliteError

COUNTS = ("iteration", "batch_size", "seed")


def calibration_pictures(space: workspace.Workspace, record: workspace.Record) -> list[Path]:
    """The pictures of a quant run in the order in which they were fed, as its folder has them now.

    None where it was fed otherwise, or the folder is not there any more.
    """
    from knightlite.preprocess import sample_pictures

    source = record.options.get("source")
    if not isinstance(source, dict) or source.get("script") is not None:
        return []
    folder = source.get("data")
    counts = [item for item in map(source.get, COUNTS) if isinstance(item, int)]
    if not isinstance(folder, str) or len(counts) < len(COUNTS):
        return []
    iteration, batch_size, seed = counts
    try:
        _, samples = sample_pictures(space.directory / folder, iteration * batch_size, seed)
    except (KnightliteError, OSError, ValueError):
        return []
    return [sample.path for sample in samples]


def quant_run(space: workspace.Workspace, digests: Iterable[str]) -> workspace.Record | None:
    """The last quant run that left a quantized model with one of these hashes."""
    wanted = {*digests}
    for run in reversed(space.records):
        if run.stage == "quant" and "onnx" in run.files and run.files["onnx"].sha256 in wanted:
            return run
    return None


def met_again(known: Iterable[Path], pictures: Iterable[Path]) -> int:
    """How many of the pictures hold what a known one does, wherever they lie.

    What cannot be read holds nothing: those who read it say so.
    """
    sizes: dict[int, list[Path]] = {}
    hashes: dict[int, set[str]] = {}
    count = 0
    with suppress(OSError):
        for path in known:
            sizes.setdefault(path.stat().st_size, []).append(path)
    for path in pictures if sizes else ():
        with suppress(OSError):
            size = path.stat().st_size
            if size in sizes and size not in hashes:
                hashes[size] = {workspace.sha256_of(item) for item in sizes[size]}
            count += size in sizes and workspace.sha256_of(path) in hashes[size]
    return count


def met_again_told(count: int, of: int, name: str) -> str:
    """That pictures are those of the calibration; "" where none is."""
    if not count:
        return ""
    which = "the picture is" if of == 1 else "all pictures are"
    which = which if count == of else f"{count} of the {of} pictures are"
    return (
        f"{which} among those that {name} was calibrated on: on others it may keep less. Hint: "
        "name pictures that quant has not seen"
    )
