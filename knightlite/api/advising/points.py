"""Programs that are compiled to see what they save: another level, chip, width or input size."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from knightlite.api.advising.source import Source, without
from knightlite.api.models.binary import Binary
from knightlite.api.models.stage_files import COMPILE_FILES

if TYPE_CHECKING:
    from knightlite.chip import ChipFamily

SMALLER = 0.75  # of the height and the width of an input, in whole STEPs
STEP = 32  # pixels: what networks halve five times
OWN = (  # options of compile that a trial has its own of, or none
    "-s", "--outpath", "--save-dir", "--opt-group", "--evaluations", "--search-seconds",
    "--explain-memory", "--json",
)  # fmt: skip
WIDTHS = (  # options of quant that say which bits
    "-b", "--bit-width", "-mc", "--mix-config", "--mix-budget", "-amr", "--auto-mix-ratio", "-ams",
    "--auto-mix-strategy", "-r", "--run-mode", "-lsj", "--load-scale-json",
)  # fmt: skip
SIZES = ("-is", "--input-shapes")
DATA_FREE = ("-i", "1", "--effort", "low")  # scales decide no time


@dataclass(frozen=True, slots=True)
class Trial:
    """A point before it is compiled.

    ``shown``: the commands that a person types for it; ``run``: those that are run, the last of
    which compiles; ``cfg``: what that leaves, in its folder.
    """

    kind: str
    sentence: str
    short: str
    shown: tuple[str, ...]
    run: tuple[tuple[str, ...], ...]
    cfg: str


@dataclass(frozen=True, slots=True)
class _Asked:
    """How the program was compiled: what trials change one thing of."""

    binary: Binary
    source: Source
    model: Path
    directory: Path

    @property
    def more(self) -> list[str]:
        """Options of ``compile`` that are kept."""
        compiled = self.source.compiled
        words = compiled.options.get("more") if compiled is not None else None
        return without(map(str, words), OWN) if isinstance(words, list) else []

    @property
    def chip(self) -> str:
        """The chip's name, or where its file is."""
        name = self.binary.program.meta.chip
        path = self.directory / name
        return str(path.resolve()) if path.is_file() else name

    @property
    def level(self) -> int:
        return self.binary.program.meta.schedule_level


def trials(
    binary: Binary, source: Source, directory: Path, chips: Sequence[ChipFamily], assumes: bool
) -> tuple[list[Trial], list[str]]:
    """What is compiled, and what is not and why, a sentence each; ``source`` has a model.

    ``chips``: that may be compared; ``assumes``: figures of the chip are assumed, so others say
    nothing.
    """
    assert source.path is not None
    asked = _Asked(binary, source, source.path, directory)
    remarks: list[str] = []
    made = [*_levels(asked), *_widths(asked, remarks), *_sizes(asked, remarks)]
    if assumes:
        remarks.append("Other chips: not tried, figures of this one are assumed")
    else:
        made += _chips(asked, chips)
    return made, remarks


def _compiled(
    asked: _Asked, kind: str, sentence: str, short: str, level: int, chip: str | None = None
) -> Trial:
    """A trial of the same quantized model."""
    more = (*asked.more, "--opt-group", str(level))
    words = ("--chip", chip or asked.chip, "compile", "--onnx", str(asked.model), *more)
    cfg = COMPILE_FILES["cfg"].format(asked.model.stem)
    return Trial(kind, sentence, short, (_typed(words),), (words,), cfg)


def _typed(words: Sequence[str]) -> str:
    return shlex.join(("knightlite", *words))


def _levels(asked: _Asked) -> Iterator[Trial]:
    from knightlite.schedule import LEVELS

    told = {1: "tensors stay on chip, layers are walked together", 2: "a search from level 1"}
    for level in range(asked.level + 1, len(LEVELS)):
        sentence = f"Compile at schedule level {level}: {told.get(level, 'the next level')}"
        yield _compiled(asked, "level", sentence, f"compile --opt-group {level}", level)


def _chips(asked: _Asked, chips: Sequence[ChipFamily]) -> Iterator[Trial]:
    """Of every other family of which something is public."""
    own = asked.binary.program.meta.chip_digest
    for family in chips:
        modelled = {item.source for item in family.provenance.values()} == {"modelled"}
        if family.digest != own and not modelled:
            name = family.names[0]
            sentence = f"Compile for {name}: {family.description}"
            yield _compiled(asked, "chip", sentence, f"--chip {name} compile", asked.level, name)


# ------------------------------------------------------------------ quantized anew


def _again(
    asked: _Asked,
    remarks: list[str],
    what: str,
    change: Callable[[list[str]], list[str]],
) -> tuple[tuple[str, ...], tuple[str, ...], str] | None:
    """The command of ``quant`` with a change, as it is typed and as it is run, and what it leaves.

    None where the float model is not at hand, which ``remarks`` take.
    """
    run = asked.source.quantized
    source = None if run is None else run.sources.get("model")
    if run is None or source is None:
        remarks.append(f"{what}: not tried, no record says from which float model it is")
        return None
    model = asked.directory / source.path
    if not model.is_file():
        remarks.append(f"{what}: not tried, {model}, the float model, is gone")
        return None
    words = run.options.get("more")
    more = change(without(map(str, words), ("-s", "--save-dir")) if isinstance(words, list) else [])
    named = _data(run.options.get("source"))
    typed = ("--chip", asked.chip, "quant", "-m", str(model), *named, *more)
    keeps = _kept(more)
    weight = run.sources.get("weight")
    beside = () if weight is None else ("-w", str((asked.directory / weight.path).resolve()))
    ran = (
        "--chip", asked.chip, "quant", "-m", str(model.resolve()), *beside, *keeps, *DATA_FREE,
        "-s", "quantized",
    )  # fmt: skip
    name = Path(run.files["onnx"].path).name
    return typed, ran, name


KEPT = frozenset(  # options of quant that decide which network it is
    (
        "-f", "--framework", "-b", "--bit-width", "-mc", "--mix-config", "-is", "--input-shapes",
        "-gp", "--general-process", "-qid", "--quantize-input-dtype", "--mean", "--std", "-on",
        "--output-name", "--paddle-python", "--torch-python", "-ll", "--lut-len", "--wide-tensors",
    )
)  # fmt: skip


def _kept(words: Sequence[str]) -> list[str]:
    flags = {word for word in words if word.startswith("-")}
    return without(words, flags - KEPT)


def _data(source: Any) -> list[str]:
    """The options that name quant's data again."""
    from knightlite.workspace import DATA_OPTIONS

    if not isinstance(source, dict):
        return []
    known = {option: source.get(key) for key, option in DATA_OPTIONS.items()}
    return [str(word) for pair in known.items() if pair[1] is not None for word in pair]


def _requantized(
    asked: _Asked, kind: str, sentence: str, short: str,
    quant: tuple[tuple[str, ...], tuple[str, ...], str],
) -> Trial:  # fmt: skip
    typed, ran, name = quant
    more = (*asked.more, "--opt-group", str(asked.level))
    begin = ("--chip", asked.chip, "compile", "--onnx")
    shown = (_typed(typed), _typed((*begin, name, *more)))
    stem = name.removesuffix(".onnx")
    run = (ran, (*begin, f"quantized/{name}", *more))
    return Trial(kind, sentence, short, shown, run, COMPILE_FILES["cfg"].format(stem))


def _widths(asked: _Asked, remarks: list[str]) -> Iterator[Trial]:
    """8 bits, where quant was asked for more."""
    run = asked.source.quantized
    words = run.options.get("more") if run is not None else None
    if isinstance(words, list) and not set(WIDTHS) & set(words):
        remarks.append(
            "Narrower tensors: not tried, quant was asked for 8 bits already; its report says what "
            "has 16 all the same (quant --wide-tensors off)"
        )
        return
    quant = _again(asked, remarks, "Narrower tensors", lambda words: without(words, WIDTHS))
    if quant is not None:
        wide = sum(tensor.type == "s16" for tensor in asked.binary.program.meta.tensors)
        sentence = f"Quantize to 8 bits: {wide} tensors have 16 (look at accuracy with compare)"
        yield _requantized(asked, "width", sentence, "quant to 8 bits", quant)


def _sizes(asked: _Asked, remarks: list[str]) -> Iterator[Trial]:
    """Three quarters of height and width, where the model leaves them open."""
    meta = asked.binary.program.meta
    run = asked.source.quantized
    words = run.options.get("more") if run is not None else None
    if not isinstance(words, list) or not set(SIZES) & set(words):
        remarks.append("Another input size: not tried, it was not chosen with -is")
        return
    shapes = []
    for tensor in meta.inputs:
        *front, height, width = tensor.shape
        shapes.append((*front, _smaller(height), _smaller(width)))
    if all(tuple(tensor.shape) == shape for tensor, shape in zip(meta.inputs, shapes, strict=True)):
        remarks.append(f"Another input size: not tried, it is less than {2 * STEP} pixels")
        return
    told = [word for shape in shapes for word in ("-is", *map(str, shape))]
    quant = _again(
        asked, remarks, "Another input size", lambda words: [*without(words, SIZES), *told]
    )
    if quant is not None:
        sizes = ", ".join(f"{shape[-2]} x {shape[-1]}" for shape in shapes)
        sentence = f"Take a smaller input, {sizes} pixels (look at accuracy with eval)"
        yield _requantized(asked, "size", sentence, f"quant {' '.join(told)}", quant)


def _smaller(size: int) -> int:
    return max(STEP, int(size * SMALLER) // STEP * STEP) if size >= 2 * STEP else size
