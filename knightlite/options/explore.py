"""What ``explore`` and ``knightlite.explore`` can be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from knightlite.errors import UsageError
from knightlite.options import shared
from knightlite.options.checks import Check, within
from knightlite.options.fields import REQUIRED, Names, like, option
from knightlite.options.kinds import FILE, REAL, WORDS, Form, Kind, Several
from knightlite.options.texts import fact_values, whole_numbers

RESULT = Path("explore.json")
LEVELS, WIDTHS = (0, 1, 2), (8, 16)
MODELS = Kind(
    form=Form.FILE,
    several=Several.SPREAD,
    read=tuple,
    python="Sequence[str | Path]",
    take=lambda paths: tuple(map(Path, (paths,) if isinstance(paths, (str, Path)) else paths)),
    wanted="a path, or several",
)
FACTS = Kind(
    several=Several.REPEATED,
    item=fact_values,
    read=tuple,
    python="Mapping[str, Sequence[int]]",
    take=lambda facts: tuple((name, tuple(values)) for name, values in facts.items()),
    wanted="a dictionary of lists",
)


def _some_of(known: tuple[int, ...]) -> Kind:
    """Several of a few numbers, each once."""

    def read(texts: tuple[str, ...]) -> tuple[int, ...]:
        found = whole_numbers(texts)
        for number in found:
            if number not in known:
                raise ValueError(f"{number} is none of {', '.join(map(str, known))}.")
        return found

    def take(values: object) -> tuple[int, ...]:
        several = values if isinstance(values, (list, tuple)) else (values,)
        return read(tuple(map(str, several)))

    return Kind(
        several=Several.JOINED,
        read=read,
        write=lambda numbers: numbers,
        python="int | Sequence[int]",
        take=take,
        wanted=f"one of {', '.join(map(str, known))}, or several",
    )


def _pictures_with_recipe(options: ExploreOptions) -> None:
    if (options.data is None) != (options.recipe is None):
        given, missing = ("-d", "--recipe") if options.recipe is None else ("--recipe", "-d")
        raise UsageError(
            f"{given} tells nothing without {missing}: accuracy takes both.",
            "-d names a folder of pictures, --recipe how they become inputs",
        )
    if options.data is None and options.iteration is not None:
        raise UsageError("-i tells nothing without -d and --recipe: there are no pictures.")


def _chips_named_once(options: ExploreOptions) -> None:
    if options.chip is not None and options.chips:
        raise UsageError(
            f"--chip {options.chip} and --chips {' '.join(options.chips)} both say which chips.",
            "name all of them with --chips",
        )


def _facts_once(options: ExploreOptions) -> None:
    names = [name for name, _ in options.facts]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(
                f"--set {name} is given {names.count(name)} times.",
                f"all its values go in one: --set {name}=8,16,32",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExploreOptions:
    """What ``explore`` is asked for.

    ``models``: float ones, or quantized ones, which keep their widths. ``chips``: names or files;
    none: one of every family that ships. ``facts``: (fact, values), each chip in all combinations
    of them. ``data`` and ``recipe``: pictures that tell accuracy. ``rate``: frames a second that a
    chip is looked for. ``workers`` None: one per processor. ``result``: the file of all points,
    from which the same call goes on. ``page``: of plots.
    """

    RULES: ClassVar[tuple[Check, ...]] = (_chips_named_once, _pictures_with_recipe, _facts_once)

    chip: str | None = like(shared.CHIP, doc="one chip, instead of ``chips``.")
    models: tuple[Path, ...] = option(
        "-m",
        "--model",
        kind=MODELS,
        help="Models, as check takes them, or X_quantize.onnx; may be repeated.",
        default=REQUIRED,
        argument="models",
        metavar="MODEL...",
        doc="float models, files as ``check`` takes them, or ``X_quantize.onnx``.",
    )
    chips: tuple[str, ...] = option(
        "--chips",
        kind=WORDS,
        help="Chip names or chip files [default: one of every family that ships].",
        default=(),
        metavar="CHIP...",
        completes=Names.CHIPS,
        doc="chip names or chip files; default: one of every family that ships.",
    )
    facts: tuple[tuple[str, tuple[int, ...]], ...] = option(
        "--set",
        kind=FACTS,
        help="Each chip also with these values of a fact of it; of several facts all combinations.",
        default=(),
        metavar="FACT=VALUE,VALUE",
        argument="facts",
        doc='figures of a chip to vary, such as {"fspm_bytes": [262144, 524288]}; of several facts '
        "all combinations.",
        unsaid=None,
    )
    levels: tuple[int, ...] = option(
        "--opt-group",
        kind=_some_of(LEVELS),
        help="Schedule levels, as compile has them; several are tried [default: 1].",
        default=(1,),
        metavar="LEVEL...",
        argument="levels",
        doc="schedule levels, as ``compile`` has them.",
        unsaid=1,
    )
    widths: tuple[int, ...] = option(
        "-b",
        "--bit-width",
        kind=_some_of(WIDTHS),
        help="Bits of tensors and weights of float models; several are tried [default: 8].",
        default=(8,),
        metavar="BITS...",
        argument="widths",
        doc="bits of tensors and weights of float models, 8 or 16.",
        unsaid=8,
    )
    input_shapes: tuple[tuple[int, ...], ...] = like(shared.INPUT_SHAPES)
    data: str | None = like(
        shared.DATA,
        help="Pictures that tell accuracy: float models are quantized with them in each width.",
        doc="folder of pictures that tell accuracy, with ``recipe``: float models are quantized "
        "with them in each width.",
    )
    recipe: str | None = like(
        shared.RECIPE,
        help="How pictures become inputs: a name of calibration/ or a TOML file.",
        doc="how the pictures become inputs: a name of calibration/ or a TOML file.",
    )
    iteration: int | None = like(
        shared.ITERATION,
        help="Pictures to take [default: 100, or all there are].",
        check=within(1, None, "the number of pictures"),
        doc="pictures to take; default: 100, or all there are.",
    )
    rate: float | None = option(
        "--fps",
        kind=REAL,
        help="Name for each model the smallest chip that runs so many frames a second.",
        check=within(1e-6, None, "frames a second"),
        argument="fps",
        doc="frames a second: the result names for each model the smallest chip that runs them.",
    )
    workers: int | None = like(shared.WORKERS)
    result: Path = option(
        "-o",
        "--output",
        kind=FILE,
        help=f"Where the points are kept; the same command goes on from there [default: {RESULT}].",
        default=RESULT,
        python=False,
    )
    page: Path | None = option(
        "--html",
        kind=FILE,
        help="Also write a page with plots: time beside bytes on chip, multiply-accumulates, dB.",
        metavar="FILE",
        argument="html",
        doc="a page with plots to write.",
    )
    as_json: bool = like(shared.AS_JSON)
