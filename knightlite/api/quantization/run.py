"""``quant``: a float model and pictures to ``X_quantize.onnx``, its report and sample inputs."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from knightlite import atomic_write, limits, workspace
from knightlite.api.comparison.differences import Comparison
from knightlite.api.comparison.dump import FOLDER, dump_folder
from knightlite.api.comparison.layers import inspect_layers
from knightlite.api.models.notes import notes_of
from knightlite.api.models.quantized import QuantizedModel
from knightlite.api.models.stage_files import QUANT_FILES
from knightlite.api.quantization.beside_ranges import BesideRanges, warn_of_another_recipe
from knightlite.api.quantization.calibration_data import workload
from knightlite.api.quantization.conversion import conversion_of
from knightlite.api.quantization.converting import FloatModel, Run, float_model
from knightlite.api.quantization.in_memory import load_float, quantize_models, warn_of_chance
from knightlite.api.quantization.options import completed
from knightlite.errors import UsageError, unreadable
from knightlite.options.command_line import option_words
from knightlite.options.quantize import QuantizeOptions
from knightlite.options.quantize_rules import QUANTIZING
from knightlite.options.shared import INFER_AUTO
from knightlite.reading import read_bytes
from knightlite.talk import SILENT, Talk

if TYPE_CHECKING:
    from knightlite.atomic_write import FileSet
    from knightlite.evaluation import Paired
    from knightlite.ir import Graph
    from knightlite.quantize.statistics import DistributionCache


@dataclass(frozen=True, slots=True)
class QuantizeOutcome:
    """What ``quant`` made: files by key, the report, metrics in the workload's unit (or None)."""

    files: Mapping[str, Path]
    report: Mapping[str, Any]
    float_metric: float | None
    quantized_metric: float | None
    loss_percent: float | None
    pictures: int
    seconds: float
    layers: tuple[Comparison, ...] = ()
    combinations: tuple[Mapping[str, Any], ...] = ()  # the best first

    @property
    def gain(self) -> str | None:
        """What the quantized model wins, with its interval; None where the metric is no top-1."""
        return gain_of(self.report)

    @property
    def compared(self) -> Paired | None:
        """The quantized model beside the float one; None where the metric is no top-1."""
        return paired_of(self.report)


def gain_of(report: Mapping[str, Any]) -> str | None:
    """The pictures lost and won of a report, as words; None where they are not known."""
    found = paired_of(report)
    return None if found is None else found.gain


def paired_of(report: Mapping[str, Any]) -> Paired | None:
    """The pictures lost and won of a report; None where they are not known."""
    from knightlite.evaluation import Paired

    metric = report.get("metric", {})
    if metric.get("lost") is None:
        return None
    return Paired(report["compared"], metric["lost"], metric["won"])


def quantize(options: QuantizeOptions, talk: Talk = SILENT) -> QuantizeOutcome:
    """Run the stage. Errors: see ``knightlite.errors``; no file is left where one is raised."""
    options = completed(options, talk)
    with _folder_for_script(options):
        return _run(options, talk)


def _folder_for_script(options: QuantizeOptions) -> contextlib.AbstractContextManager[None]:
    """``save_dir`` is there while a user script runs: scripts write pictures and inputs into it."""
    if options.script is None:
        return contextlib.nullcontext()
    return atomic_write.folder(options.save_dir)


def _run(options: QuantizeOptions, talk: Talk) -> QuantizeOutcome:
    """What ``run_mode`` asks for, of options that are ``completed``."""
    if options.run_mode == "infer":
        return _infer(options, talk)
    workspace.require_usable(options.directory, options.save_dir)
    if options.run_mode in QUANTIZING:
        sources = workspace.hashed(options.directory, _source_files(options))
        made, paths = _quantized(options, talk, save=True)
        _record(options, made, paths, sources, talk)
        return QuantizeOutcome(
            paths,
            made.report,
            made.float_metric,
            made.quantized_metric,
            made.loss_percent,
            made.pictures,
            made.seconds,
            combinations=made.combinations,
        )
    talk.say("Quant Start")
    if options.run_mode == "convert":
        return _convert(options, float_model(options, talk), talk)
    return _compare_layers(options, talk)


def quantize_all(
    options: QuantizeOptions, talk: Talk = SILENT, *, save: bool = True
) -> tuple[QuantizedModel, dict[str, Path]]:
    """The best of the combinations that are asked for, and where its files are by key.

    ``save``: into ``save_dir``; without it the cache is the only file. No manifest is kept. Errors:
    see ``knightlite.errors``; no file is left where one is raised.
    """
    options = completed(options, talk)
    with _folder_for_script(options):
        return _quantized(options, talk, save)


def _quantized(
    options: QuantizeOptions, talk: Talk, save: bool
) -> tuple[QuantizedModel, dict[str, Path]]:
    """The same of options that are ``completed``."""
    talk.say("Quant Start")
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(dump_folder(options.save_dir)) if options.dump else None
        cache = _read_cache(options)
        files = stack.enter_context(atomic_write.file_set())
        made = _best(options, files if save else None, talk, cache, folder)
        paths = made.add_to(files, options.save_dir) if save else {}
        if cache is not None and options.cache is not None and cache.made is not None:
            files.write_bytes(options.cache, cache.made)
            paths["cache"] = options.cache
    if folder is not None:
        talk.say(f"Dump : {options.save_dir / FOLDER}")
    return made, paths


def _source_files(options: QuantizeOptions) -> dict[str, Path]:
    """What the quantized model is made from, but for its data: a record names these files."""
    from knightlite.frontend.model_files import files_beside

    named = {
        "model": options.model,
        "weight": options.weight,
        "script": options.script,
        "recipe": None if options.recipe is None else Path(options.recipe),
        "scales": options.load_scales,
        "mix": options.mix_config,
    }
    found = {key: path for key, path in named.items() if path is not None}
    return found | {f"model_{path.name}": path for path in files_beside(options.model)}


def _record(
    options: QuantizeOptions,
    made: QuantizedModel,
    paths: Mapping[str, Path],
    sources: Mapping[str, workspace.Produced],
    talk: Talk,
) -> None:
    from knightlite.inference import kernels

    workspace.record(
        options.directory,
        "quant",
        options.target,
        {
            "model": str(options.model),
            "method": made.report["method"],
            "data": made.report["workload"],
            "source": _source(options),
            "more": option_words(options, NAMED_APART),
        },
        paths,
        sources,
        kernels=kernels(),
        warn=talk.warn,
    )


NAMED_APART = frozenset(
    ("model", "script", "function", "data", "recipe", "labels", "iterations", "chip", "as_json")
)
"""Fields of the options that a record names by itself."""


def _source(options: QuantizeOptions) -> dict[str, Any]:
    """What names the pictures again, as the options say it; arrays of Python are not named."""
    function = options.function if isinstance(options.function, str) else INFER_AUTO
    named = function != INFER_AUTO
    return {
        "script": None if options.script is None else str(options.script),
        "script_python": _script_python(options, function) if named else None,
        "function": function if named else None,
        "data": options.data,
        "recipe": options.recipe,
        "labels": None if options.labels is None else str(options.labels),
        "batch_size": options.batch_size,
        "iteration": options.calls,
        "seed": options.seed,
    }


def _script_python(options: QuantizeOptions, function: str) -> str | None:
    """The interpreter that the infer function ran in, where that is another one."""
    from knightlite.frontend.script_process import script_process

    if options.script is None:
        return None
    elsewhere = script_process(function, conversion_of(options, SILENT))
    return None if elsewhere is None else elsewhere.python


def _read_cache(options: QuantizeOptions) -> DistributionCache | None:
    """The cache file as it is before the run."""
    from knightlite.quantize.statistics import DistributionCache

    if options.cache is None:
        return None
    atomic_write.require_folder(options.cache.parent)  # it is written after all the work
    try:
        data = read_bytes(options.cache, limits.CACHE_BYTES) if options.cache.exists() else None
    except OSError as error:
        raise unreadable("distribution cache", options.cache, error) from error
    return DistributionCache(str(options.cache), data)


def _best(
    options: QuantizeOptions,
    files: FileSet | None,
    talk: Talk,
    cache: DistributionCache | None,
    dump: Path | None,
) -> QuantizedModel:
    """The combination with the least loss, and where there are several one row of each, sorted.

    Each one's files go into a sub-folder of its own, such as kl_it_5 (None: no files). Without a
    metric, and where losses are equal, the better SQNR at the outputs decides.
    """
    rows: list[tuple[tuple[float, float], Mapping[str, Any]]] = []
    best: QuantizedModel | None = None
    several = len(options.combinations) > 1
    for method, iteration, made in quantize_models(options, talk, cache=cache, dump=dump):
        loss = made.loss_percent
        known = [item["sqnr_db"] for item in made.report["outputs"] if item["sqnr_db"] is not None]
        decibels = float(np.mean(known)) if known else np.inf
        folder = options.save_dir / f"{method}_it_{iteration}"
        row = {
            "method": method,
            "iteration": iteration,
            "quantization_loss": loss,
            "quantized_metric": made.quantized_metric,
            "sqnr_db": round(decibels, 2) if known else None,
            "gain": gain_of(made.report),
            "folder": None if files is None else str(folder),
        }
        key = (np.inf if loss is None else loss, -decibels)
        if best is None or key < min(item for item, _ in rows):
            best = made
        rows.append((key, row))
        if several and files is not None:
            made.add_to(files, folder)
            talk.say(f"{method}, {iteration} iteration(s): {folder}")
    assert best is not None
    ordered = sorted(rows, key=lambda item: item[0])
    return replace(best, combinations=tuple(row for _, row in ordered)) if several else best


def _kept_float(options: QuantizeOptions, quantized: Path) -> Graph | None:
    """The float model that quant left with the quantized one: its channels may be equalized."""
    from knightlite.frontend import load

    space = workspace.open_workspace(options.directory)
    for item in reversed(space.records):
        onnx, kept = item.files.get("onnx"), item.files.get("float_onnx")
        if item.stage != "quant" or onnx is None:
            continue
        if (space.directory / onnx.path).resolve() == quantized.resolve():
            return None if kept is None else load(space.directory / kept.path)
    return None


def _compare_layers(options: QuantizeOptions, talk: Talk) -> QuantizeOutcome:
    """Float model beside the quantized one that ``quant`` left in the same folder."""
    graph = load_float(options, talk)
    path = options.save_dir / QUANT_FILES["onnx"].format(graph.name)
    if not path.is_file():
        raise UsageError(
            f"{path} does not exist: -r compare runs it beside {options.model}.",
            "quantize the model first, with the same options and without -r compare",
        )
    rows, metric = compare_files(options, graph, path, talk, _kept_float(options, path))
    return QuantizeOutcome({}, {}, None, metric, None, 0, 0.0, rows)


def compare_files(
    options: QuantizeOptions, graph: Graph, path: Path, talk: Talk, kept: Graph | None = None
) -> tuple[tuple[Comparison, ...], float | None]:
    """Every layer of ``graph``, or ``kept``, beside that of the quantized model; its metric.

    ``kept``: the equalized form of ``graph``, which was quantized.
    """
    from knightlite.frontend import load_quantized

    quantized = load_quantized(path)
    if set(quantized.inputs) != set(graph.inputs):
        raise UsageError(f"{path} is not made from {options.model}: other inputs.")
    notes = notes_of(path)
    work, text = workload(options, graph, talk)
    warn_of_another_recipe(text, notes, talk, "name the one that quant had")
    talk.say(f"data: {work.description}")
    work = BesideRanges(work, quantized, notes, options.calls * options.batch_size, talk)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(dump_folder(options.save_dir)) if options.dump else None
        return inspect_layers(kept or graph, quantized, work, folder)


def _convert(options: QuantizeOptions, model: FloatModel, talk: Talk) -> QuantizeOutcome:
    target = options.save_dir / QUANT_FILES["float_onnx"].format(model.graph.name)
    if target.resolve() == options.model.resolve():
        raise UsageError(
            f"converting {options.model} would overwrite it.", "name another folder with -s DIR"
        )
    with atomic_write.file_set() as files:
        files.write_bytes(target, model.write())
    talk.say(f"Converted Model : {target}")
    return QuantizeOutcome({"float_onnx": target}, {}, None, None, None, 0, 0.0)


def _infer(options: QuantizeOptions, talk: Talk) -> QuantizeOutcome:
    """Run a float or quantized model over the data and report its metric."""
    from knightlite.frontend import load_quantized
    from knightlite.inference import Runner, quantized_network

    quantized, notes = _quantized_model(options, talk), None
    if quantized is not None:
        if options.input_types or options.mean or options.std or options.output_names:
            raise UsageError(
                f"{options.model} is quantized already: -qid, --mean, --std and -on are for the "
                "float model.",
                "leave them out",
            )
        notes = notes_of(quantized)
        graph = load_quantized(quantized)
        if notes is not None:
            graph = replace(graph, declared_inputs=notes.declared_inputs)
        run: Run = Runner(quantized_network(graph)).run
    else:
        model = float_model(options, talk)
        graph, run = model.graph, model.open()
    work, text = workload(options, graph, talk, None if notes is None else notes.recipe)
    warn_of_another_recipe(text, notes, talk)
    talk.say(f"data: {work.description}")
    if quantized is not None:
        work = BesideRanges(work, graph, notes, options.calls * options.batch_size, talk)
    pictures = 0

    def forward(inputs: tuple[Any, ...]) -> list[Any]:
        nonlocal pictures
        found = run(tuple(np.asarray(item, np.float32) for item in inputs))
        pictures += inputs[0].shape[0]
        talk.advance("infer", pictures, options.calls * options.batch_size)
        return [found[name] for name in graph.outputs]

    metric = work.run(forward)
    if quantized is None:
        warn_of_chance(graph, work, metric, pictures, talk)
    exact, fixed = (metric, None) if quantized is None else (None, metric)
    return QuantizeOutcome({}, {}, exact, fixed, None, pictures, 0.0)


def _quantized_model(options: QuantizeOptions, talk: Talk) -> Path | None:
    """The model's file where it is a quantized one, here or recorded; None for any other."""
    from knightlite.frontend.model_kind import ModelKind, kind_of_file

    if options.model.suffix.lower() != ".onnx":
        return None
    path, sentence = workspace.resolve(workspace.open_workspace(options.directory), options.model)
    if kind_of_file(path) is not ModelKind.QDQ:
        return None
    if sentence:
        talk.say(sentence)
    return path
