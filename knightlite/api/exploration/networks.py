"""The models of an exploration: read once each, in the types that each width gives them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from knightlite import workspace
from knightlite.api.exploration.points import told
from knightlite.api.exploration.records import Accuracy, Network
from knightlite.errors import KnightliteError
from knightlite.options.command_line import command_line
from knightlite.options.explore import ExploreOptions
from knightlite.options.quantize import QuantizeOptions
from knightlite.options.shared import PICTURES
from knightlite.talk import Talk

if TYPE_CHECKING:
    from knightlite.ir import Graph


@dataclass(frozen=True, slots=True)
class Source:
    """A model that was asked for: its file as ``found``, its float or its quantized graph.

    Both graphs are None where it is not read, which ``error`` tells, or no chip runs it.
    """

    network: Network
    float_graph: Graph | None = None
    quantized: Graph | None = None
    error: KnightliteError | None = None

    @property
    def reason(self) -> str:
        """Why it has no graph."""
        return self.network.refused or ""


def read_source(path: Path, options: ExploreOptions, talk: Talk) -> Source:
    """A model, or the sentence that says why it cannot be explored."""
    from knightlite.frontend import load_quantized, survey
    from knightlite.frontend.model_files import files_beside
    from knightlite.frontend.model_kind import ModelKind, kind_of_file

    network = Network(file=str(path))
    try:
        if path.suffix.lower() == ".onnx" and kind_of_file(path) is ModelKind.QDQ:
            graph = load_quantized(path)
            return Source(replace(network, sha256=_digest([path], ())), quantized=graph)
        found = survey(path, input_shapes=list(options.input_shapes) or None)
        digest = _digest([path, *files_beside(path)], options.input_shapes)
    except KnightliteError as error:
        return Source(replace(network, refused=told(error)), error=error)
    network = replace(network, sha256=digest, macs=found.npu_macs)
    if found.graph is None:
        more = f" ({len(found.errors)} such places)" if len(found.errors) > 1 else ""
        return Source(replace(network, refused=f"{found.errors[0]}{more}"))
    for finding in found.findings:
        talk.warn(f"{path}: {finding}")
    return Source(network, float_graph=found.graph)


def _digest(files: list[Path], shapes: tuple[tuple[int, ...], ...]) -> str:
    """Of what a model is read from."""
    parts = [workspace.sha256_of(file) for file in files]
    return hashlib.sha256(repr((parts, shapes)).encode()).hexdigest()


# ------------------------------------------------------------------ types


def in_width(graph: Graph, bits: int) -> Graph:
    """A float graph in the types of the default quantization; scales are not known.

    UnsupportedError where scales decide whether it runs at all.
    """
    from knightlite.errors import UnsupportedError
    from knightlite.ops import constraint_findings
    from knightlite.quantize.scales import with_unit_scales
    from knightlite.quantize.settings import settings_for

    found = with_unit_scales(graph, settings_for("normal", bit_width=bits))
    wrong = constraint_findings(found)
    if wrong:
        raise UnsupportedError(
            f"whether it runs is known after quantizing only: {wrong[0]}",
            "give pictures with -d and --recipe",
        )
    return found


# ------------------------------------------------------------------ accuracy


def data_digest(options: ExploreOptions) -> str | None:
    """Of the recipe and of the pictures that are taken; None where none are. Errors: as quant."""
    from knightlite.preprocess import load_recipe, sample_pictures

    if options.data is None or options.recipe is None:
        return None
    recipe = load_recipe(options.recipe)
    _, samples = sample_pictures(options.data, _count(options), QuantizeOptions(model=Path()).seed)
    parts = [recipe.text, *(workspace.sha256_of(sample.path) for sample in samples)]
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _count(options: ExploreOptions) -> int:
    return PICTURES if options.iteration is None else options.iteration


def quantized(
    path: Path, bits: int, chip: str, data: str, options: ExploreOptions, talk: Talk
) -> tuple[Accuracy, Graph | None]:
    """What a model keeps in a width, and its graph; None where it cannot be quantized."""
    from knightlite.api.quantization import quantize_all
    from knightlite.frontend import load_quantized

    empty = Accuracy(bits=16 if bits == 16 else 8, data=data)
    asked = QuantizeOptions(
        model=path,
        chip=chip,
        data=options.data,
        recipe=options.recipe,
        iterations=() if options.iteration is None else (options.iteration,),
        bit_width=bits,
        input_shapes=options.input_shapes,
    )
    try:
        made, _ = quantize_all(asked, _naming(path, bits, asked, talk), save=False)
        graph = load_quantized(Path(made.file_name), made.onnx)
    except KnightliteError as error:
        return replace(empty, refused=told(error)), None
    outputs = list(_outputs(made.report["outputs"]))
    kept, name = min(outputs, default=(None, None))
    pictures = int(made.report["compared"])
    return replace(empty, sqnr_db=kept, output=name, pictures=pictures), graph


def _outputs(entries: list[dict[str, object]]) -> Iterator[tuple[float, str]]:
    for entry in entries:
        if entry["sqnr_db"] is not None:
            yield float(str(entry["sqnr_db"])), str(entry["name"])


def _naming(path: Path, bits: int, asked: QuantizeOptions, talk: Talk) -> Talk:
    """What ``quant`` warns of, with its network; before it, that its files are not left."""
    said: list[str] = []

    def warn(sentence: str) -> None:
        if not said:
            talk.say(
                f"{path} at {bits} bits: explore leaves neither the quantized model nor its "
                f"report, which the next warning may name; `{command_line('quant', asked)}` does."
            )
        said.append(sentence)
        talk.warn(f"{path} at {bits} bits: {sentence}")

    return Talk(warn=warn)
