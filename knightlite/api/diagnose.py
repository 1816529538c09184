"""``diagnose``: which layer loses accuracy, why, and what helps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from knightlite import atomic_write, workspace
from knightlite.errors import UsageError
from knightlite.talk import SILENT, Talk

if TYPE_CHECKING:
    from knightlite.diagnosis import Diagnosis
    from knightlite.ir import Graph
    from knightlite.preprocess import Recipe
    from knightlite.quantize.python_data import Batch, InferFunction
    from knightlite.quantize.workload import Workload

SUSPECTS = 8
LAYERS = 10  # rows of the ranked table


@dataclass(frozen=True, slots=True)
class DiagnoseOptions:
    """What ``diagnose`` is asked for.

    ``model``: the float model; ``quantized``: its X_quantize.onnx; None: what ``quant`` left. Data
    as for ``quant``; none: those of ``quant``. ``suspects``: how many places are tried; ``html``: a
    page to write.
    """

    model: Path | None = None
    quantized: Path | None = None
    weight: Path | None = None
    framework: str | None = None
    script: Path | None = None
    function: str | InferFunction | None = None
    data: str | None = None
    recipe: str | None = None
    batch_size: int = 1
    iteration: int | None = None
    input_shapes: tuple[tuple[int, ...], ...] = ()
    seed: int = 0
    suspects: int = SUSPECTS
    html: Path | None = None
    batches: Iterable[Batch] | None = None
    directory: Path = Path()


def diagnose(options: DiagnoseOptions, talk: Talk = SILENT) -> Diagnosis:
    """Run the stage. Errors: see ``knightlite.errors``; no page is left where one is raised."""
    from knightlite import diagnosis as room
    from knightlite.api.compile import notes_of
    from knightlite.frontend import load, load_quantized
    from knightlite.quantize.methods import METHODS
    from knightlite.quantize.settings import Settings

    if options.html is not None:
        atomic_write.require_folder(options.html.parent)
        room.page.require_plots()
    options = _named(options, talk)
    assert options.model is not None
    assert options.quantized is not None
    quantized = load_quantized(options.quantized, checked=False)
    notes = notes_of(options.quantized)
    shapes = list(options.input_shapes) or None
    graph = load(options.model, options.weight, options.framework, shapes, True)
    work, recipe = _workload(options, graph, notes, talk)
    talk.say(f"data: {work.description}")
    method = str(notes.get("method", "mse"))
    settings = Settings(method=method if method in METHODS else "mse")
    stages = {
        "float": "float model", "layers": "every layer", "suspects": "places tried",
        "remedies": "causes, remedies tried",
    }  # fmt: skip
    found = room.diagnose(
        graph,
        quantized,
        work,
        settings,
        recipe,
        suspects=options.suspects,
        progress=lambda stage, done: talk.advance(stages.get(stage, stage), done, None),
    )
    if options.html is not None:
        text = room.page.html_page(found, graph, options.quantized.name, work.description)
        atomic_write.write_text(options.html, text)
    return found


def as_json(found: Diagnosis) -> dict[str, Any]:
    """A diagnosis as the JSON that ``--json`` prints (schemas/diagnose.json)."""
    return {
        "healthy": found.healthy,
        "pictures": found.pictures,
        "float_metric": found.float_metric,
        "quantized_metric": found.score.metric,
        "sqnr_db": found.score.sqnr_db,
        "preprocessing": {
            "used": found.preprocessing.used,
            "trials": [asdict(item) for item in found.preprocessing.trials],
        },
        "findings": [
            {
                "cause": item.cause,
                "layer": item.layer,
                "node": item.node,
                "sentence": item.sentence,
                "cost_db": item.cost_db,
                "advice": item.advice,
                "facts": dict(item.facts),
                "remedies": [
                    {
                        "switch": remedy.switch,
                        "gain_db": round(remedy.gain_db, 2),
                        "before": asdict(remedy.before),
                        "after": asdict(remedy.after),
                    }
                    for remedy in item.remedies
                ],
            }
            for item in found.findings
        ],
        "layers": [asdict(item) for item in found.layers],
    }


def _named(options: DiagnoseOptions, talk: Talk) -> DiagnoseOptions:
    """The options with the files and the data that ``quant`` left where none are named."""
    space = workspace.open_workspace(options.directory)
    if options.quantized is not None:
        path, sentence = workspace.resolve(space, options.quantized)
        record = next((run for run in reversed(space.records) if _is_of(space, run, path)), None)
    else:
        latest = workspace.latest(space, "quant", "onnx")
        path, sentence, record = latest.path, latest.sentence, latest.record
    if sentence:
        talk.say(sentence)
    options = replace(options, quantized=path)
    if options.model is None:
        options = replace(options, model=_float_model(space, record, path))
    named = (options.data, options.script, options.batches, options.function)
    if all(item is None for item in named):
        options = _same_data(options, record)
    return options


def _is_of(space: workspace.Workspace, run: workspace.Record, path: Path) -> bool:
    entry = run.files.get("onnx")
    return (
        run.stage == "quant"
        and entry is not None
        and (space.directory / entry.path).resolve() == path.resolve()
    )


def _float_model(
    space: workspace.Workspace, record: workspace.Record | None, quantized: Path
) -> Path:
    """The float ONNX of the same run, or beside the quantized model."""
    if record is not None:
        if "float_onnx" in record.files:
            return space.directory / record.files["float_onnx"].path
        source = Path(str(record.options.get("model", "")))
        if source.suffix == ".onnx" and source.is_file():
            return source
    beside = quantized.with_name(quantized.name.replace("_quantize.onnx", ".onnx"))
    if beside != quantized and beside.is_file():
        return beside
    raise UsageError(f"the float model of {quantized} is not at hand.", "name it with -m MODEL")


def _same_data(options: DiagnoseOptions, record: workspace.Record | None) -> DiagnoseOptions:
    """The data of the quant run, as its record says."""
    source = None if record is None else record.options.get("source")
    if not isinstance(source, dict):
        raise UsageError(
            "no data is named, and no quant run recorded here says which it used.",
            "name the pictures with -d DIR --recipe NAME, or a script with -uds FILE -if FUNCTION",
        )
    script = source.get("script")
    return replace(
        options,
        script=None if script is None else Path(script),
        function=source.get("function"),
        data=source.get("data"),
        recipe=options.recipe or source.get("recipe"),
        batch_size=int(source.get("batch_size", 1)),
        iteration=options.iteration or int(source.get("iteration", 1)),
        seed=int(source.get("seed", 0)),
    )


def _workload(
    options: DiagnoseOptions, graph: Graph, notes: Mapping[str, Any], talk: Talk
) -> tuple[Workload, Recipe | None]:
    """The data, and the recipe where pictures come through one."""
    from knightlite.api.calibration_data import workload
    from knightlite.api.quantize_options import INFER_AUTO, QuantizeOptions
    from knightlite.preprocess import parse_recipe
    from knightlite.quantize.workload import PictureFolder

    stored = notes.get("recipe")
    recipe = options.recipe
    pictures = options.data is not None and options.script is None and options.batches is None
    noted = pictures and recipe is None and isinstance(stored, str)
    assert options.model is not None
    work, text = workload(
        QuantizeOptions(
            options.model,
            chip="",
            script=options.script,
            function=INFER_AUTO if options.function is None else options.function,
            data=options.data,
            recipe="raw" if noted else recipe,
            batch_size=options.batch_size,
            iteration=options.iteration or 1,
            seed=options.seed,
            batches=options.batches,
        ),
        graph,
        talk,
    )
    if not isinstance(work, PictureFolder):
        return work, None
    if noted:
        talk.say("the pictures go through the recipe of the quantized model.")
        work = replace(work, recipe=parse_recipe(str(stored), "of the quantized model"))
    elif isinstance(stored, str) and text is not None and stored != text:
        talk.warn("the recipe is not the one that the model was quantized with.")
    return work, work.recipe
