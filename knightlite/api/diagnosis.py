"""``diagnose``: which layer loses accuracy, why, and what helps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from knightlite import atomic_write, workspace
from knightlite.api.models.calibration_pictures import (
    calibration_pictures,
    met_again,
    met_again_told,
)
from knightlite.api.models.notes import notes_of
from knightlite.api.models.quant_folder import float_beside
from knightlite.errors import UsageError
from knightlite.metrics import metric_source, open_metric
from knightlite.options import check
from knightlite.options.command_line import option_words
from knightlite.options.diagnose import PICTURES, DiagnoseOptions
from knightlite.talk import SILENT, Talk

if TYPE_CHECKING:
    from knightlite.container import QuantizationNotes
    from knightlite.diagnosis import Diagnosis, Score
    from knightlite.ir import Graph
    from knightlite.preprocess import Recipe
    from knightlite.quantize.data import Workload
    from knightlite.quantize.mixed import Clock
    from knightlite.quantize.settings import Settings

STAGES = {
    "float": "float model",
    "layers": "every layer",
    "preprocessing": "preprocessings tried",
    "suspects": "places tried",
    "remedies": "remedies tried",
}
"""Of a diagnosis, as a progress bar calls them."""


def diagnose(options: DiagnoseOptions, talk: Talk = SILENT) -> Diagnosis:
    """Run the stage. Errors: see ``knightlite.errors``; no page is left where one is raised."""
    from knightlite import diagnosis as room
    from knightlite.frontend import load, load_quantized

    if options.batches is not None:
        from knightlite.api.quantization.batches import batches_of

        asked = (options.iteration,)
        batches, (calls,) = batches_of(options.batches, options.batch_size, asked)
        options = replace(options, batches=batches, iteration=calls)
    check(options)
    source = metric_source(options.metric, options.annotations) if options.metric else None
    if options.html is not None:
        atomic_write.require_folder(options.html.parent)
        room.page.require_plots()
    options, record = _named(options, talk)
    assert options.model is not None
    assert options.quantized is not None
    quantized = load_quantized(options.quantized, checked=False)
    notes = notes_of(options.quantized)
    shapes = list(options.input_shapes) or None
    graph = load(options.model, options.weight, options.framework, shapes, True)
    if notes is not None:  # the float model that quant wrote has the inputs that are read
        graph = replace(graph, declared_inputs=notes.declared_inputs)
    work, recipe, other_recipe = _workload(options, graph, notes, talk)
    talk.say(f"data: {work.description}")
    _say_of_calibration(options, record, work, talk)
    pictures = _count(work)
    with nullcontext() if source is None else open_metric(source) as metric:
        data = work if metric is None else room.MeasuredWorkload(work, metric, graph.outputs)
        found = room.diagnose(
            graph,
            quantized,
            data,
            settings_of(notes, quantized),
            recipe,
            suspects=options.suspects,
            progress=lambda stage, done, total: talk.advance(
                STAGES[stage], done, max(done, pictures) if total is None else total
            ),
            clock=_clock(notes),
            take_more=_more_pictures(work, options),
            known=0 < _forwards(options) < _calls_of(options, record),
        )
    found = replace(found, again=_again(options, record))
    if other_recipe and not found.blames_data:
        found = _beside_another_recipe(found)
    if options.html is not None:
        text = room.page.html_page(found, graph, options.quantized.name, work.description)
        atomic_write.write_text(options.html, text)
    return found


def as_json(found: Diagnosis) -> dict[str, Any]:
    """A diagnosis as the JSON that ``--json`` prints (schemas/diagnose.json)."""
    return {
        "healthy": found.healthy,
        "remarks": list(found.remarks),
        "pictures": found.pictures,
        "float_metric": found.float_metric,
        "quantized_metric": found.score.metric,
        "metric_drop": found.drop,
        "sqnr_db": found.score.sqnr_db,
        "preprocessing": {
            "used": found.preprocessing.used,
            "unjudged": found.preprocessing.unjudged,
            "doubt": found.preprocessing.doubt,
            "enough": found.preprocessing.enough,
            "trials": [
                {
                    "name": item.name,
                    "keys": item.keys,
                    "metric": item.metric,
                    "lost": item.against.lost,
                    "won": item.against.won,
                }
                for item in found.preprocessing.trials
            ],
        },
        "findings": [
            {
                "cause": item.cause,
                "layer": item.layer,
                "node": item.node,
                "sentence": item.sentence,
                "cost_db": item.cost_db,
                "advice": item.advice,
                "command": found.command(item),
                "facts": dict(item.facts),
                "remedies": [
                    {
                        "switch": remedy.switch,
                        "gain_db": round(remedy.gain_db, 2),
                        "before": _score(remedy.before),
                        "after": _score(remedy.after),
                        "lost": None if remedy.pictures is None else remedy.pictures.lost,
                        "won": None if remedy.pictures is None else remedy.pictures.won,
                    }
                    for remedy in item.remedies
                ],
            }
            for item in found.findings
        ],
        "layers": [asdict(item) for item in found.layers],
    }


def _score(score: Score) -> dict[str, float | None]:
    return {"sqnr_db": score.sqnr_db, "metric": score.metric}


def _named(options: DiagnoseOptions, talk: Talk) -> tuple[DiagnoseOptions, workspace.Record | None]:
    """The options with the files and the data that ``quant`` left where none are named.

    Beside them the record of that run, where there is one.
    """
    from knightlite.frontend.model_kind import ModelKind, of_kind

    space = workspace.open_workspace(options.directory)
    if options.quantized is not None:
        fits = of_kind(ModelKind.QDQ)
        path, sentence = workspace.resolve(space, options.quantized, "onnx", fits=fits)
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
    return options, record


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
    beside = float_beside(quantized)
    if beside is not None:
        return beside
    raise UsageError(f"the float model of {quantized} is not at hand.", "name it with -m MODEL")


def _same_data(options: DiagnoseOptions, record: workspace.Record | None) -> DiagnoseOptions:
    """The data of the quant run, as its record says."""
    source = None if record is None else record.options.get("source")
    if not isinstance(source, dict):
        raise UsageError(
            "no data is named, and no quant run recorded here says which it used.", NAME_DATA
        )
    script = source.get("script")
    if script is None and source.get("data") is None:
        raise UsageError(
            f"{options.quantized} was quantized without pictures, and none are named: there is "
            "nothing to judge it by.",
            NAME_DATA,
        )
    return replace(
        options,
        script=None if script is None else Path(script),
        script_python=options.script_python or source.get("script_python"),
        function=source.get("function"),
        data=source.get("data"),
        recipe=options.recipe or source.get("recipe"),
        labels=options.labels or (None if source.get("labels") is None else Path(source["labels"])),
        batch_size=int(source.get("batch_size", 1)),
        iteration=options.iteration or _at_most(source),
        seed=int(source.get("seed", 0)),
    )


def _at_most(source: Mapping[str, Any]) -> int:
    """The forward calls of the quant run, PICTURES pictures of them."""
    most = max(1, PICTURES // int(source.get("batch_size", 1)))
    return min(int(source.get("iteration", 1)), most)


def _forwards(options: DiagnoseOptions) -> int:
    """How often the network is run: of a folder as many pictures as it has, PICTURES at most."""
    from knightlite.preprocess import list_pictures

    if options.iteration is not None:
        return options.iteration
    if options.data is None or options.script is not None or callable(options.function):
        return 1
    count = min(PICTURES, len(list_pictures(options.data).samples))
    return max(1, count // options.batch_size)


def _count(work: Workload) -> int:
    """How many pictures the data are; a script may feed others."""
    from knightlite.quantize.data import PictureFolder

    if isinstance(work, PictureFolder):
        return len(work.samples)
    return int(getattr(work, "iteration", 1)) * int(getattr(work, "batch_size", 1))


def _calls_of(options: DiagnoseOptions, record: workspace.Record | None) -> int:
    """The forward calls that ``quant`` made over the same data; 0 where these are others.

    Or where the file is not any more what it left.
    """
    source = None if record is None else record.options.get("source")
    same = ("data", "batch_size", "seed")
    if not isinstance(source, dict) or any(source.get(k) != getattr(options, k) for k in same):
        return 0
    assert record is not None
    assert options.quantized is not None
    if record.files["onnx"].sha256 != workspace.sha256_of(options.quantized):
        return 0
    return int(source.get("iteration") or 0)


OTHER_RECIPE = (
    "these pictures went through another recipe than those of the calibration: leave --recipe out; "
    "or quantize again with this one, where it is the training's"
)
NAME_DATA = "name the pictures with -d DIR --recipe NAME, or a script with -uds FILE -if FUNCTION"
DATA = ("script", "function", "data", "recipe", "labels", "batch_size", "seed")


def _again(options: DiagnoseOptions, record: workspace.Record | None) -> tuple[str, ...]:
    """The words of the command that quantizes the model over the data of the diagnosis.

    It makes what was measured: over as many pictures, though ``quant`` may have had more. None
    where these are a program's arrays or function.
    """
    from knightlite.options.quantize import QuantizeOptions

    if options.batches is not None or callable(options.function) or options.model is None:
        return ()
    model = options.model if record is None else Path(str(record.options.get("model")))
    more = None if record is None else record.options.get("more")
    known = {name: getattr(options, name) for name in DATA if getattr(options, name) is not None}
    asked = QuantizeOptions(
        model=model,
        chip=None if record is None else record.chip,
        iterations=(_forwards(options),),  # what was measured
        **known,
    )
    words = [str(word) for word in more] if isinstance(more, list) else []
    for flag in ("-bs", "--seed"):  # of the diagnosis
        if flag in words:
            place = words.index(flag)
            del words[place : place + 2]
    return ("knightlite", "quant", *option_words(asked), *words)


def _more_pictures(work: Workload, options: DiagnoseOptions) -> Callable[[int], str]:
    """What to do for a number of pictures: ``-i`` so many, or a larger folder, as a clause."""
    from knightlite.quantize.data import PictureFolder

    def clause(pictures: int) -> str:
        calls = f"-i {-(-pictures // options.batch_size)}"
        there = len(work.folder.samples) if isinstance(work, PictureFolder) else pictures
        if there >= pictures:
            return f"about {pictures} pictures may tell, with {calls}"
        told = f"about {pictures} pictures may tell; {options.data} has {there}"
        return f"{told}: name more with -d DIR {calls}"

    return clause


def settings_of(notes: QuantizationNotes | None, quantized: Graph) -> Settings:
    """The switches that the model was quantized with, as its notes say, and its widths.

    What is noted in words that this version does not know counts as not noted.
    """
    from knightlite import dtypes
    from knightlite.ops import BY_NAME
    from knightlite.quantize.choices import (
        AUTO_METHOD,
        BIAS_CORRECTIONS,
        DEFAULT_METHOD,
        EFFORTS,
        ROUNDINGS,
    )
    from knightlite.quantize.groups import features
    from knightlite.quantize.ranges import METHODS
    from knightlite.quantize.settings import (
        NOTHING_BY_RULE,
        Widths,
        as_asked,
        settings_for,
        with_method,
    )

    def noted(key: str, words: Iterable[Any]) -> Any:
        value = getattr(notes, key, None)
        value = as_asked(value) if isinstance(value, str) else value
        return value if value in list(words) else None

    bits = noted("bit_width", (8, 16)) or 8
    made = settings_for(
        noted("effort", EFFORTS) or "normal",
        bias_correction=noted("bias_correction", BIAS_CORRECTIONS),
        rounding=noted("rounding", ROUNDINGS),
        output_scales=noted("output_scales", (True, False)),
        bit_width=bits,
        **(NOTHING_BY_RULE if noted("wide_tensors", (False,)) is False else {}),
    )
    method = noted("method", (*METHODS, AUTO_METHOD)) or DEFAULT_METHOD
    made = with_method(made, method)
    wide = {n for n in features(quantized) if quantized.tensors[n].dtype == dtypes.S16}
    kernels = [node for node in quantized.nodes if BY_NAME[node.op].kernel is not None]
    weights = {n.name for n in kernels if quantized.tensors[n.inputs[1]].dtype == dtypes.S16}
    widths = Widths(frozenset(wide), frozenset(weights)) if bits == 8 else None
    # X.onnx is the equalized network
    return replace(made, mix_budget=None, widths=widths, equalize=False)


def _clock(notes: QuantizationNotes | None) -> Clock | None:
    """Of the chip that the model was quantized for; None where its notes do not say."""
    from knightlite.api.quantization.cycles import clock_of

    try:
        return clock_of(notes.chip) if notes is not None and notes.chip else None
    except UsageError:
        return None


def _say_of_calibration(
    options: DiagnoseOptions, record: workspace.Record | None, work: Workload, talk: Talk
) -> None:
    """That pictures are those that the network was calibrated on, as they are unless others are."""
    from knightlite.quantize.data import PictureFolder

    if record is None or not isinstance(work, PictureFolder):
        return
    space = workspace.open_workspace(options.directory)
    pictures = [sample.path for sample in work.samples]
    count = met_again(calibration_pictures(space, record), pictures)
    told = met_again_told(count, len(pictures), Path(record.files["onnx"].path).name)
    if told:
        talk.say(told)


def _workload(
    options: DiagnoseOptions, graph: Graph, notes: QuantizationNotes | None, talk: Talk
) -> tuple[Workload, Recipe | None, bool]:
    """The data, the recipe where pictures come through one, and whether quant had another."""
    from knightlite.api.quantization.calibration_data import workload
    from knightlite.api.simulation.fed import another_recipe
    from knightlite.options.quantize import QuantizeOptions
    from knightlite.options.shared import INFER_AUTO
    from knightlite.quantize.data import PictureFolder

    stored = None if notes is None else notes.recipe
    assert options.model is not None
    work, text = workload(
        QuantizeOptions(
            model=options.model,
            script=options.script,
            script_python=options.script_python,
            function=INFER_AUTO if options.function is None else options.function,
            data=options.data,
            recipe=options.recipe,
            labels=options.labels,
            batch_size=options.batch_size,
            iterations=(_forwards(options),),
            seed=options.seed,
            batches=options.batches,
        ),
        graph,
        talk,
        stored,
    )
    if not isinstance(work, PictureFolder):
        return work, None, False
    told = another_recipe(text, stored)
    if told is not None:
        talk.warn(told)
    return work, work.recipe, told is not None


def _beside_another_recipe(found: Diagnosis) -> Diagnosis:
    """Without commands: they would quantize with this recipe, which may be the wrong one.

    Where the numbers are foreign to the ranges, that is said to be why.
    """
    from knightlite.diagnosis import DATA_RANGE

    findings = tuple(
        replace(item, advice=OTHER_RECIPE) if item.cause == DATA_RANGE else item
        for item in found.findings
    )
    return replace(found, findings=findings, again=())
