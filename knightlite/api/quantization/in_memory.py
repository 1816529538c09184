"""A float model to the quantized network in memory: every combination that is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from knightlite import workspace
from knightlite.api.comparison.layers import inspect_layers
from knightlite.api.models.notes import INPUT_LAYOUT, notes_metadata
from knightlite.api.models.quantized import QuantizedModel
from knightlite.api.quantization.calibration_data import workload
from knightlite.api.quantization.conversion import conversion_of
from knightlite.api.quantization.cycles import clock_of, parse_budget
from knightlite.api.quantization.input_forms import InputForm
from knightlite.api.quantization.inputs import input_forms, normalized, pins
from knightlite.api.quantization.poor_data import warn_of_other_pictures, warn_of_poor_data
from knightlite.container import InputNote, QuantizationNotes, StateNote
from knightlite.container.description import FedAs
from knightlite.errors import Finding, UsageError, summarized, unreadable
from knightlite.options.command_line import alike, command_line
from knightlite.options.inspection import CheckOptions
from knightlite.options.quantize import QuantizeOptions
from knightlite.reading import read_text
from knightlite.talk import SILENT, Talk

if TYPE_CHECKING:
    from knightlite.frontend import OpenShapeError
    from knightlite.frontend.source import SourceModel
    from knightlite.ir import Graph
    from knightlite.quantize.data import Workload
    from knightlite.quantize.pipeline import Prepared, QuantizeResult
    from knightlite.quantize.settings import Settings
    from knightlite.quantize.statistics import DistributionCache


def quantize_models(
    options: QuantizeOptions,
    talk: Talk = SILENT,
    *,
    cache: DistributionCache | None = None,
    dump: Path | None = None,
) -> Iterator[tuple[str, int, QuantizedModel]]:
    """Every combination of method and iteration, in memory; layers' values go into ``dump``.

    ``options`` as :func:`~knightlite.api.quantization.options.completed` gives them.
    The float model is observed once, as often as the largest iteration says; ranges of fewer come
    from its first forward calls. All are compared over the same pictures. ``cache`` is filled, or
    stands for the first pass. Errors: see ``knightlite.errors``.
    """
    from knightlite.quantize.data_free import DataFree
    from knightlite.quantize.pipeline import finish, prepare
    from knightlite.quantize.scales import read_scales
    from knightlite.quantize.settings import with_method
    from knightlite.quantize.steps import TOO_DEAR

    pairs = options.combinations
    loaded = () if options.load_scales is None else read_scales(options.load_scales)
    graph = load_float(options, talk)
    _warn_of_limits(options, graph, talk)
    forms = input_forms(options, graph)
    graph, settings = _settings(options, graph)
    talk.say("Stage1: Do Graph Optimize.")
    talk.say(f"{len(graph.nodes)} operators after folding")
    work, recipe = workload(options, graph, talk)
    talk.say("Stage2: Run Float Model And Calculate Quantization Scales.")
    talk.say(f"data: {work.description}")
    stages = {"float": "float model", "quantized": "quantized model"}
    announced: set[str] = set()

    def progress(stage: str, done: int, enough: int | None) -> None:
        if stage == "quantized" and stage not in announced:
            talk.say("Stage3: Run Model Quantization.")
            announced.add(stage)
        calls = work.iteration if isinstance(work, DataFree) else options.calls
        total = calls * options.batch_size
        talk.advance(
            stages[stage], done, total if enough is None else min(total, max(done, enough))
        )

    settings = replace(settings, pins=(*pins(forms), *loaded), lut_len=options.lut_len)
    counts = sorted({count for _, count in pairs} - {options.calls})
    chooses = any(with_method(settings, method).range_choice for method, _ in pairs)
    settings = replace(settings, range_choice=chooses)
    prepared = prepare(graph, work, settings, progress, snapshots=counts, cache=cache)
    if cache is not None and cache.used:
        talk.say(f"the first pass is that of {cache.name}")
    warn_of_poor_data(options, work, prepared, talk)
    warn_of_other_pictures(graph, work, talk)
    warn_of_chance(graph, work, prepared.seen.metric, prepared.seen.pictures, talk)
    clock = clock_of(options.target)
    for method, iteration in pairs:
        chosen = with_method(settings, method)
        result = finish(prepared, work, chosen, progress, calls=iteration, cache=cache, clock=clock)
        if dump is not None:
            inspect_layers(result.float_graph, result.graph, work, dump)
        for step in result.steps:
            talk.say(step.sentence)
        for reason in _left_out(graph, chosen, work, prepared):
            if reason.endswith(TOO_DEAR) and options.effort != "high":
                talk.warn(f"{reason}; `{command_line('quant', options, effort='high')}` does it")
            else:
                talk.say(reason)
        for sentence in _in_vain(options):
            talk.warn(sentence)
        for warning in summarized(result.warnings):
            talk.warn(str(warning))
        _warn_of_loss(result.report, work, talk)
        talk.say("Stage4: Quantitative Parameter Fixed-point.")
        notes = _notes(options, work, recipe, method, chosen, result, forms)
        talk.say("Stage5: Quantitation Postprocess.")
        yield method, iteration, _made(options, graph, forms, result, notes, chosen.method)


def warn_of_chance(
    graph: Graph, work: Workload, metric: float | None, pictures: int, talk: Talk
) -> None:
    """That the float network itself answers about as chance does, and what to look at."""
    from knightlite.evaluation import chance_told
    from knightlite.quantize.data import PictureFolder
    from knightlite.quantize.statistics import class_scores

    if metric is None or not class_scores(graph):
        return
    classes = graph.tensors[graph.chip_outputs[0]].elements
    told = chance_told(
        metric / (1.0 if metric <= 1 else 100.0), classes, pictures, "the float model"
    )
    if told is None:
        return
    hint = "`knightlite diagnose` tries other colours, means, scales and orders of the pictures"
    if isinstance(work, PictureFolder):
        hint += "; --labels FILE names the class folders in the order of the scores, "
        hint += "-is gives another size"
        talk.warn(f"{told} Hint: {hint}")
    else:
        talk.warn(f"if the metric is a top-1, {told} Hint: {hint}")


def _warn_of_loss(report: Mapping[str, Any], work: Workload, talk: Talk) -> None:
    """Where ``diagnose`` would call the outputs lossy: how much they keep, and what comes next."""
    from knightlite.diagnosis import Score, is_lossy, metric_told
    from knightlite.evaluation import Paired
    from knightlite.quantize.data_free import is_made_up

    known = [item for item in report["outputs"] if item["sqnr_db"] is not None]
    if not known or is_made_up(work):  # what is made up is said to mean little
        return
    worst = min(known, key=lambda item: float(item["sqnr_db"]))
    metric, compared = report["metric"], report["compared"]
    if is_lossy(Score(worst["sqnr_db"], metric["quantized"]), metric["float"], compared):
        pictures = f"{compared} calibration picture{'' if compared == 1 else 's'}"
        lost, won = metric.get("lost"), metric.get("won")
        paired = None if lost is None or won is None else Paired(compared, lost, won)
        told = metric_told(metric["float"], metric["quantized"], paired)
        talk.warn(
            f"output {worst['name']} keeps {worst['sqnr_db']} dB of the float network's over "
            f"{pictures}; {told}. Hint: `knightlite diagnose` says in which layer decibels are "
            "lost, why, and what helps"
        )


def _warn_of_limits(options: QuantizeOptions, graph: Graph, talk: Talk) -> None:
    """Before the work: that ``compile`` will refuse the network for this chip, and why."""
    from knightlite import chip_files
    from knightlite.lower import limit_findings

    findings = limit_findings(graph, chip_files.find(options.target).chip)
    if findings:
        talk.warn(
            f"compile will refuse {len(findings)} node(s) for {options.target}: {findings[0]} "
            f"`{command_line('check', alike(CheckOptions, options))}` lists all of them."
        )


def _left_out(
    graph: Graph, settings: Settings, work: Workload, prepared: Prepared
) -> tuple[str, ...]:
    """Why steps that are asked for were not tried, a sentence each."""
    from knightlite.quantize.steps import (
        equalization_left_out,
        left_out,
        output_scales_left_out,
    )

    found = (
        equalization_left_out(graph, settings, work, prepared.seen.pictures),
        output_scales_left_out(graph, settings, work, len(prepared.seen.sample[0])),
        left_out(graph, settings, len(prepared.seen.sample[0])),
    )
    return tuple(reason for reason in found if reason)


def _in_vain(options: QuantizeOptions) -> Iterator[str]:
    """Steps that the user asks for by name and that other options leave out, a sentence each."""
    asked = (
        (bool(options.equalize), "--equalization on"),
        (bool(options.output_scales), "--output-scales on"),
        (options.bias_correction == "sequential", "--bias-correction sequential"),
        (options.rounding == "adaptive", "--rounding adaptive"),
    )
    switches = [flag for given, flag in asked if given]
    if options.bit_width == 16:
        for flag in switches:
            yield f"{flag} adds no step to -b 16, whose rounding errors are not worth a pass"
        if not options.wide_tensors:
            yield "--wide-tensors off changes nothing at -b 16, where all tensors have 16 bits"
    elif options.equalize:
        for given, flag, why in (
            (options.load_scales, "-lsj", "its scales are those of the network as it is"),
            (options.generate_scales, "-gsj", "its scales are to fit the network as it is"),
            (options.cache, "-cd", "what it keeps is of the network as it is"),
        ):
            if given:
                yield f"--equalization on adds no step with {flag}: {why}"


def _notes(
    options: QuantizeOptions,
    work: Workload,
    recipe: str | None,
    method: str,
    settings: Settings,
    result: QuantizeResult,
    forms: tuple[InputForm, ...],
) -> dict[str, str]:
    """The metadata of the quantized model (docs/formats.md)."""
    notes = QuantizationNotes(
        bias_correction=result.report["bias_correction"],
        bit_width=16 if settings.bit_width == 16 else 8,
        chip=options.target,
        data=work.description,
        data_sha256=result.data_sha256,
        effort=options.effort,
        input_layout=INPUT_LAYOUT,
        method=method,
        model_sha256=_model_sha256(options),
        pictures=result.report["pictures"],
        recipe=recipe,
        rounding=result.report["rounding"],
        seed=options.seed,
        inputs=_input_notes(forms),
        output_scales=options.output_scales,
        wide_tensors=None if options.wide_tensors else False,
        ir_batch=options.ir_batch,
        declared_inputs=result.float_graph.declared_inputs,
        states=tuple(
            StateNote(item.input, item.output, item.initial) for item in result.float_graph.states
        ),
    )
    return notes_metadata(notes)


def _made(
    options: QuantizeOptions,
    graph: Graph,
    forms: tuple[InputForm, ...],
    result: QuantizeResult,
    notes: dict[str, str],
    method: str,
) -> QuantizedModel:
    """The model in memory. ``graph``: the float one as loaded; ``method``: of its template."""
    from knightlite.onnx_models import float_parts, qdq_parts
    from knightlite.quantize.mixed import template
    from knightlite.quantize.scales import scale_text

    integers = {form.name: form.dtype for form in forms if form.dtype is not None}
    metric = result.report["metric"]
    tensors = result.report["tensors"]
    return QuantizedModel(
        name=graph.name,
        source=options.model,
        chip=options.target,
        parts=qdq_parts(result.graph, notes, integer_inputs=integers),
        float_parts=float_parts(result.float_graph),
        report=result.report,
        samples={
            name: np.ascontiguousarray(
                array[-1:], integers[name].numpy if name in integers else np.float32
            )
            for name, array in zip(graph.inputs, result.inputs, strict=True)
        },
        scales=scale_text(graph.name, tensors) if options.generate_scales else "",
        float_metric=metric["float"],
        quantized_metric=metric["quantized"],
        loss_percent=metric["loss_percent"],
        pictures=int(result.report["pictures"]),
        seconds=result.timings_s["total"],
        warnings=tuple(str(warning) for warning in result.warnings),
        mix_template=template(graph, method) if options.generate_template else None,
        altered=bool(options.output_names or graph.states) or any(form.mean for form in forms),
    )


def load_float(options: QuantizeOptions, talk: Talk) -> Graph:
    """The float graph of the options, its inputs normalized; what runs on the host is said."""
    return graph_of(options, read_float(options, talk), talk)


def read_float(options: QuantizeOptions, talk: Talk) -> SourceModel:
    """The float model of the options as its reader gives it, of operators of any kind."""
    from knightlite.frontend import OpenShapeError
    from knightlite.frontend.model_files import read_network

    shapes = None
    if options.input_shapes:
        shapes = list(options.input_shapes)
    model, weight, names = options.model, options.weight, options.output_names
    conversion = conversion_of(options, talk)
    try:
        read = read_network(model, weight, options.framework, shapes, conversion, names)
        return replace(read, picks_on_npu=options.npu_picks)
    except OpenShapeError as error:
        raise UsageError(error.sentence, _with_sizes(options, error) or error.hint) from error


def graph_of(options: QuantizeOptions, model: SourceModel, talk: Talk) -> Graph:
    """The canonical graph of a float model, its inputs normalized; see :func:`load_float`."""
    from knightlite.frontend.model_files import canonical_graph
    from knightlite.inference import session
    from knightlite.ops import host

    doubts: list[Finding] = []
    check = command_line("check", alike(CheckOptions, options))
    graph = canonical_graph(model, options.model, options.general_process, doubts.append, check)
    graph = normalized(options, graph, talk)
    if graph.states:
        kept = ", ".join(state.input for state in graph.states)
        talk.say(f"a frame is one step of a sequence; from step to step stay {kept}")
    doubts += [host.told(item) for item in graph.host if item.op != "Reshape"]
    for doubt in summarized(doubts):
        talk.warn(str(doubt))
    if host.needs_onnx_runtime(graph):
        trailing = host.model(graph).SerializeToString(deterministic=True)
        session(trailing, called=f"the operators of {options.model} for the host")
    return graph


def _with_sizes(options: QuantizeOptions, error: OpenShapeError) -> str:
    """The command with the sizes of the recipe's pictures; "" where it does not say them."""
    from knightlite.preprocess import load_recipe

    if options.recipe is None or error.shape is None or len(error.shape) != 4:
        return ""
    recipe = load_recipe(options.recipe)
    size = recipe.crop_size or recipe.resize_size
    channels = error.shape[1]
    if len(size) != 2 or isinstance(channels, str):
        return ""
    command = command_line("quant", options, input_shapes=((1, channels, *size),))
    return f"{recipe.called} makes pictures of {size[0]} x {size[1]}: `{command}`"


def float_onnx(graph: Graph) -> bytes:
    """A float graph as the ONNX file that quantization starts from."""
    from knightlite.onnx_models import float_parts

    return float_parts(graph).to_bytes()


def _model_sha256(options: QuantizeOptions) -> str:
    """Of the model's file; where a function builds it, of its weights, else of the script."""
    if options.model.is_file():
        return workspace.sha256_of(options.model)
    source = options.weight or options.script
    assert source is not None  # the model was loaded
    return workspace.sha256_of(source)


def _settings(options: QuantizeOptions, graph: Graph) -> tuple[Graph, Settings]:
    """The switches of the options, and the graph that a mix configuration speaks of."""
    from knightlite.quantize.mixed import read_mix
    from knightlite.quantize.rewrites import spread_channels
    from knightlite.quantize.settings import NOTHING_BY_RULE, settings_for

    settings = settings_for(
        options.effort,
        bit_width=options.bit_width,
        bias_correction=options.bias_correction,
        rounding=options.rounding,
        percent=options.percent,
        output_scales=options.output_scales,
        **({} if options.wide_tensors else NOTHING_BY_RULE),
        # a scale file and the first pass that is kept are those of the network as it is
        equalize=False
        if options.generate_scales or options.cache is not None
        else options.equalize,
    )
    if options.run_mode == "auto_quant":
        settings = replace(settings, auto_mix=(options.mix_strategy, options.mix_ratio))
    if options.mix_budget is not None:
        settings = replace(settings, mix_budget=parse_budget(options.mix_budget))
    if options.mix_config is None:
        return graph, settings
    template = "write a template with -gt"
    try:
        text = read_text(options.mix_config)
    except OSError as error:
        raise unreadable("mix configuration", options.mix_config, error, template) from error
    except UnicodeDecodeError as error:
        raise UsageError(
            f"the mix configuration {options.mix_config} cannot be read: it is not UTF-8 text.",
            template,
        ) from error
    if settings.spread_channels:
        graph = spread_channels(graph)
    mix = read_mix(text, options.mix_config.name, graph)
    methods = tuple(sorted(mix.methods.items()))
    return graph, replace(settings, mix=mix.widths, tensor_methods=methods)


def _input_notes(forms: tuple[InputForm, ...]) -> dict[str, InputNote] | None:
    """What the model's metadata say of inputs that are not plain float32; None where all are."""
    notes = {
        form.name: InputNote(
            "float32" if form.dtype is None else cast(FedAs, form.dtype.numpy.name),
            form.mean,
            form.std,
        )
        for form in forms
        if form.dtype is not None or form.mean
    }
    return notes or None
