"""``quant``: a float model and pictures to ``X_quantize.onnx``, its report and sample inputs."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from knightlite import atomic_write, workspace
from knightlite.api.dump import FOLDER, dump_folder, inspect_layers
from knightlite.api.host import open_session
from knightlite.api.inputs import InputForm, fed_as, input_forms, normalized, pins
from knightlite.errors import UsageError
from knightlite.talk import SILENT, Talk
from knightlite.version import __version__

if TYPE_CHECKING:
    from knightlite.api.compare import Comparison
    from knightlite.atomic_write import FileSet
    from knightlite.ir import Graph, Tensor
    from knightlite.quantize.distribution_cache import DistributionCache
    from knightlite.quantize.python_data import Batch, InferFunction
    from knightlite.quantize.settings import Settings
    from knightlite.quantize.workload import Workload

Array = NDArray[Any]
MAX_BATCH = 4096
RUN_MODES = ("quant", "auto_quant", "infer", "convert", "compare")
INFER_AUTO = "infer_auto"
ALL_METHODS = "all"


@dataclass(frozen=True, slots=True)
class QuantizeOptions:
    """What ``quant`` is asked for; names as Knight's options.

    ``data`` with ``recipe`` reads pictures; ``script`` with ``function`` runs a user script on
    ``data``; with neither, random data (infer_auto). ``input_shapes`` is one shape per input.
    From Python, ``batches`` are arrays as the network reads them, and ``function`` may be the infer
    function itself.
    With the run mode auto_quant, ``mix_ratio`` of the convolutions may have 16 bits, chosen by
    ``mix_strategy``. ``generate_template`` adds ``{model}.json``, which ``mix_config`` reads.
    Where ``methods`` or ``iterations`` are given they stand for ``method`` and ``iteration``, and
    every combination is run; "all" is every method. ``percent`` is the share of percentile.
    ``model`` is a file, or the name of a function of ``script`` that builds the network;
    ``paddle_python``, ``torch_python``, ``torch_exporter`` are those of ``frontend.Conversion``.
    ``input_types``: per input uint8, int8, int16 where it is fed with integers; ``mean`` and
    ``std`` of the first input become part of the network. ``output_names`` cut it.
    ``ir_batch``: frames that ``sim`` is to run. ``input_configs``: JSON text, see
    ``api.input_configs``. ``cache``: a file that keeps what the first pass over the data learns.
    ``dump``: the values of every layer in ``save_dir/dump``. ``generate_scales`` leaves
    X_scales.json, ``load_scales`` is such a file to take scales from.
    """

    model: Path
    chip: str
    weight: Path | None = None
    framework: str | None = None
    script: Path | None = None
    function: str | InferFunction = INFER_AUTO
    data: str | None = None
    recipe: str | None = None
    save_dir: Path = Path()
    batch_size: int = 1
    iteration: int = 1
    method: str = "mse"
    methods: tuple[str, ...] = ()
    iterations: tuple[int, ...] = ()
    percent: float = 0.99999
    equalize: bool = True
    input_shapes: tuple[tuple[int, ...], ...] = ()
    run_mode: str = "quant"
    seed: int = 0
    batches: Iterable[Batch] | None = None
    general_process: bool = False
    effort: str = "normal"
    bias_correction: str | None = None  # None: as the effort has it
    rounding: str | None = None
    bit_width: int = 8
    generate_template: bool = False
    mix_config: Path | None = None
    mix_ratio: float = 0.5
    mix_strategy: str = "HAWQ"
    directory: Path = field(default=Path())  # where the manifest is kept
    paddle_python: str | None = None
    torch_python: str | None = None
    torch_exporter: str = "auto"
    input_types: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    output_names: tuple[str, ...] = ()
    generate_scales: bool = False
    load_scales: Path | None = None
    lut_len: int = 10
    cache: Path | None = None
    dump: bool = False
    input_configs: str = ""
    ir_batch: int = 1


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


@dataclass(frozen=True, slots=True)
class QuantizedModel:
    """A quantized network in memory.

    ``name``: of the network, after which the files are called.
    ``source``: the float model's file; ``chip``: what it was quantized for; ``onnx`` and
    ``float_onnx``: the bytes of the quantized and the float model as ONNX; ``report``:
    docs/quantization.md; ``samples``: per input the last picture [1, ...] as the network is fed,
    float32 or integers; ``scales``: text of a scale file, "" where none was asked for; metrics in
    the data's unit or None; ``warnings``: one sentence each.
    """

    name: str
    source: Path
    chip: str
    onnx: bytes = field(repr=False)
    float_onnx: bytes = field(repr=False)
    report: Mapping[str, Any] = field(repr=False)
    samples: Mapping[str, Array] = field(repr=False)
    scales: str = field(repr=False)
    float_metric: float | None
    quantized_metric: float | None
    loss_percent: float | None
    pictures: int
    seconds: float
    warnings: tuple[str, ...]
    mix_template: str | None = field(default=None, repr=False)

    def save(self, folder: str | Path) -> dict[str, Path]:
        """Write what ``quant`` leaves into a folder, all files or none; where each one is.

        The float model is left out where it would overwrite the one that was quantized; where its
        channels were equalized it is called X_float.onnx then.
        """
        with atomic_write.file_set() as files:
            return self.add_to(files, Path(folder))

    def add_to(self, files: FileSet, folder: Path) -> dict[str, Path]:
        """Put all files into a set that is written as a whole."""
        paths = {
            "onnx": folder / f"{self.name}_quantize.onnx",
            "report": folder / f"{self.name}_quantize_report.json",
            "float_onnx": folder / f"{self.name}.onnx",
        }
        files.write_bytes(paths["onnx"], self.onnx)
        files.write_text(paths["report"], json.dumps(self.report, indent=1, sort_keys=True))
        if self.scales:
            paths["scales"] = folder / f"{self.name}_scales.json"
            files.write_text(paths["scales"], self.scales)
        taken = paths["float_onnx"].resolve() == self.source.resolve()
        if taken and self.report["equalized"]:  # compared tensor by tensor, it must be this one
            paths["float_onnx"] = folder / f"{self.name}_float.onnx"
        if taken and not self.report["equalized"]:
            del paths["float_onnx"]
        else:
            files.write_bytes(paths["float_onnx"], self.float_onnx)
        if self.mix_template is not None:
            paths["mix_template"] = folder / f"{self.name}.json"
            if paths["mix_template"].resolve() == self.source.resolve():
                raise UsageError(
                    f"the template would overwrite the model {self.source}.",
                    "name another folder with -s DIR",
                )
            files.write_text(paths["mix_template"], self.mix_template)
        for name, array in self.samples.items():
            paths[f"input_{name}"] = folder / "inputs" / f"{file_name(name)}.bin"
            files.write_bytes(paths[f"input_{name}"], array.tobytes())
        return paths


def quantize(options: QuantizeOptions, talk: Talk = SILENT) -> QuantizeOutcome:
    """Run the stage. Errors: see ``knightlite.errors``; no file is left where one is raised."""
    _check(options)
    pairs = combinations(options)
    options = replace(options, method=pairs[0][0], iteration=max(count for _, count in pairs))
    if options.run_mode == "infer":
        return _infer(options, talk)
    workspace.require_usable(options.directory, options.save_dir)
    talk.say("Quant Start")
    if options.run_mode == "convert":
        return _convert(options, _load(options, talk), talk)
    if options.run_mode == "compare":
        return _compare_layers(options, talk)
    if len(combinations(options)) > 1 and (options.dump or options.cache is not None):
        raise UsageError(
            "-du and -cd belong to one run, but several range methods or iterations are asked for.",
            "leave them out, or name one method (-qm) and one iteration (-i)",
        )
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(dump_folder(options.save_dir)) if options.dump else None
        cache = _read_cache(options)
        files = stack.enter_context(atomic_write.file_set())
        made, rows = _best(options, files, talk, cache, folder)
        paths = made.add_to(files, options.save_dir)
        if cache is not None and options.cache is not None and cache.made is not None:
            files.write_bytes(options.cache, cache.made)
            paths["cache"] = options.cache
    if folder is not None:
        talk.say(f"Dump : {options.save_dir / FOLDER}")
    workspace.record(
        options.directory,
        "quant",
        options.chip,
        {
            "model": str(options.model),
            "method": made.report["method"],
            "data": made.report["workload"],
            "source": _source(options),
        },
        paths,
    )
    return QuantizeOutcome(
        paths,
        made.report,
        made.float_metric,
        made.quantized_metric,
        made.loss_percent,
        made.pictures,
        made.seconds,
        combinations=rows,
    )


def _source(options: QuantizeOptions) -> dict[str, Any]:
    """What names the pictures again, as the options say it; arrays of Python are not named."""
    return {
        "script": None if options.script is None else str(options.script),
        "function": options.function if isinstance(options.function, str) else None,
        "data": options.data,
        "recipe": options.recipe,
        "batch_size": options.batch_size,
        "iteration": options.iteration,
        "seed": options.seed,
    }


def _read_cache(options: QuantizeOptions) -> DistributionCache | None:
    """The cache file as it is before the run."""
    from knightlite.quantize.distribution_cache import DistributionCache

    if options.cache is None:
        return None
    try:
        data = options.cache.read_bytes() if options.cache.exists() else None
    except OSError as error:
        raise UsageError(
            f"distribution cache {options.cache} cannot be read: {error.strerror}."
        ) from error
    return DistributionCache(str(options.cache), data)


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
    from knightlite.frontend import load_quantized

    graph = _load(options, talk)
    path = options.save_dir / f"{graph.name}_quantize.onnx"
    if not path.is_file():
        raise UsageError(
            f"{path} does not exist: -r compare runs it beside {options.model}.",
            "quantize the model first, with the same options and without -r compare",
        )
    quantized = load_quantized(path)
    if set(quantized.inputs) != set(graph.inputs):
        raise UsageError(f"{path} is not made from {options.model}: other inputs.")
    work, _ = workload(options, graph, talk)
    talk.say(f"data: {work.description}")
    graph = _kept_float(options, path) or graph
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(dump_folder(options.save_dir)) if options.dump else None
        rows, metric = inspect_layers(graph, quantized, work, folder)
    return QuantizeOutcome({}, {}, None, metric, None, 0, 0.0, rows)


def _best(
    options: QuantizeOptions,
    files: FileSet,
    talk: Talk,
    cache: DistributionCache | None,
    dump: Path | None,
) -> tuple[QuantizedModel, tuple[Mapping[str, Any], ...]]:
    """The combination with the least loss, and where there are several one row of each, sorted.

    Each one's files go into a sub-folder of its own, such as kl_it_5. Without a metric, and where
    losses are equal, the better SQNR at the outputs decides.
    """
    rows: list[tuple[tuple[float, float], Mapping[str, Any]]] = []
    best: QuantizedModel | None = None
    several = len(combinations(options)) > 1
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
            "folder": str(folder),
        }
        key = (np.inf if loss is None else loss, -decibels)
        if best is None or key < min(item for item, _ in rows):
            best = made
        rows.append((key, row))
        if several:
            made.add_to(files, folder)
            talk.say(f"{method}, {iteration} iteration(s): {folder}")
    assert best is not None
    ordered = sorted(rows, key=lambda item: item[0])
    return best, tuple(row for _, row in ordered) if several else ()


def combinations(options: QuantizeOptions) -> tuple[tuple[str, int], ...]:
    """Every (method, iteration) that is asked for, "all" written out, each once."""
    from knightlite.quantize.methods import METHODS

    methods = [
        name
        for item in options.methods or (options.method,)
        for name in (METHODS if item == ALL_METHODS else (item,))
    ]
    iterations = options.iterations or (options.iteration,)
    pairs = ((name, count) for name in methods for count in iterations)
    return tuple(dict.fromkeys(pairs))


def _check(options: QuantizeOptions) -> None:
    """UsageError or UnsupportedError for options that no model could be quantized with."""
    from knightlite import chip
    from knightlite.quantize.methods import method_of
    from knightlite.quantize.settings import BIAS_CORRECTIONS, EFFORTS, ROUNDINGS

    if options.run_mode not in RUN_MODES:
        raise UsageError(f"run mode must be one of {', '.join(RUN_MODES)}, not {options.run_mode}.")
    pairs = combinations(options)
    for method, iteration in pairs:
        method_of(method, options.percent)
        if iteration < 1:
            raise UsageError(
                f"iteration (-i) must be at least 1 and batch size (-bs) from 1 to {MAX_BATCH}, "
                f"not {iteration} and {options.batch_size}."
            )
    if len(pairs) > 1 and options.run_mode in ("infer", "convert"):
        raise UsageError(
            f"run mode {options.run_mode} takes one value of -qm and of -i, not several."
        )
    for name, value, known in (
        ("effort", options.effort, tuple(EFFORTS)),
        ("bias correction", options.bias_correction, (None, *BIAS_CORRECTIONS)),
        ("rounding", options.rounding, (None, *ROUNDINGS)),
    ):
        if value not in known:
            words = ", ".join(word for word in known if word)
            raise UsageError(f"{name} must be one of {words}, not {value}.")
    if options.bit_width not in (8, 16):
        raise UsageError(f"the bit width (-b) must be 8 or 16, not {options.bit_width}.")
    if options.mix_config is not None and options.bit_width == 16:
        raise UsageError(
            "-mc mixes 16 bits into a network of 8, but -b 16 gives all of it 16.", "leave out -b"
        )
    if options.run_mode == "auto_quant" and (options.bit_width == 16 or options.mix_config):
        raise UsageError(
            "-r auto_quant chooses the operators of 16 bits itself.", "leave out -b 16 and -mc"
        )
    if options.mix_config is not None and options.generate_template:
        raise UsageError("-gt writes the template that -mc reads.", "give one of them at a time")
    if not 1 <= options.ir_batch <= MAX_BATCH:
        raise UsageError(
            f"the batch of the model (-ib) must be from 1 to {MAX_BATCH}, not {options.ir_batch}."
        )
    if not 8 <= options.lut_len <= 12:
        raise UsageError(f"the length of tables (-ll) must be from 8 to 12, not {options.lut_len}.")
    if options.load_scales is not None and options.mix_config is not None:
        raise UsageError("both -lsj and -mc decide which tensors have 16 bits.", "leave one out")
    if options.load_scales is not None and options.generate_scales:
        raise UsageError("scales are either written (-gsj) or read (-lsj), not both at once.")
    if not 0 <= options.seed < 1 << 32:
        raise UsageError(f"the seed must be from 0 to {(1 << 32) - 1}, not {options.seed}.")
    chip.find(options.chip)


def _load(options: QuantizeOptions, talk: Talk) -> Graph:
    from knightlite.frontend import Conversion, load
    from knightlite.ops import host

    shapes = None
    if options.input_shapes:
        shapes = list(options.input_shapes)
    conversion = Conversion(
        options.script, options.paddle_python, options.torch_python, options.torch_exporter, talk
    )
    graph = load(
        options.model,
        options.weight,
        options.framework,
        shapes,
        options.general_process,
        lambda finding: talk.warn(str(finding)),
        conversion,
        options.output_names,
    )
    graph = normalized(options, graph, talk)
    for operation in graph.host:
        if operation.op != "Reshape":
            talk.warn(f"{operation.name}: {host.sentence(operation)}")
    if host.needs_onnx_runtime(graph):
        model = host.model(graph).SerializeToString(deterministic=True)
        open_session(model, f"the operators of {options.model} for the host")
    return graph


def _model_sha256(options: QuantizeOptions) -> str:
    """Of the model's file; where a function builds it, of its weights, else of the script."""
    if options.model.is_file():
        return workspace.sha256_of(options.model)
    source = options.weight or options.script
    assert source is not None  # the model was loaded
    return workspace.sha256_of(source)


def _convert(options: QuantizeOptions, graph: Graph, talk: Talk) -> QuantizeOutcome:
    from knightlite.quantize.onnx_models import write_float

    target = options.save_dir / f"{graph.name}.onnx"
    if target.resolve() == options.model.resolve():
        raise UsageError(
            f"converting {options.model} would overwrite it.", "name another folder with -s DIR"
        )
    with atomic_write.file_set() as files:
        files.write_bytes(target, write_float(graph).SerializeToString(deterministic=True))
    talk.say(f"Converted Model : {target}")
    return QuantizeOutcome({"float_onnx": target}, {}, None, None, None, 0, 0.0)


def quantize_model(options: QuantizeOptions, talk: Talk = SILENT) -> QuantizedModel:
    """Quantize in memory; nothing is written. Errors: see ``knightlite.errors``."""
    ((_, _, made),) = quantize_models(options, talk)
    return made


def quantize_models(
    options: QuantizeOptions,
    talk: Talk = SILENT,
    *,
    cache: DistributionCache | None = None,
    dump: Path | None = None,
) -> Iterator[tuple[str, int, QuantizedModel]]:
    """Every combination of method and iteration, in memory; layers' values go into ``dump``.

    The float model is observed once, as often as the largest iteration says; ranges of fewer come
    from its first forward calls. All are compared over the same pictures. ``cache`` is filled, or
    stands for the first pass. Errors: see ``knightlite.errors``.
    """
    from knightlite.quantize.mix_config import template
    from knightlite.quantize.onnx_models import write_float, write_qdq
    from knightlite.quantize.pipeline import finish, prepare
    from knightlite.quantize.scale_file import read_scales, scale_text

    _check(options)
    pairs = combinations(options)
    most = max(count for _, count in pairs)
    options = replace(options, method=pairs[0][0], iteration=most)
    loaded = () if options.load_scales is None else read_scales(options.load_scales)
    graph = _load(options, talk)
    forms = input_forms(options, graph)
    integers = {form.name: form.dtype for form in forms if form.dtype is not None}
    graph, settings = _settings(options, graph)
    talk.say("Stage1: Do Graph Optimize.")
    talk.say(f"{len(graph.nodes)} operators after folding")
    work, recipe = workload(options, graph, talk)
    talk.say("Stage2: Run Float Model And Calculate Quantization Scales.")
    talk.say(f"data: {work.description}")
    stages = {"float": "float model", "quantized": "quantized model"}
    announced: set[str] = set()

    def progress(stage: str, done: int) -> None:
        if stage == "quantized" and stage not in announced:
            talk.say("Stage3: Run Model Quantization.")
            announced.add(stage)
        talk.advance(stages[stage], done, options.iteration * options.batch_size)

    settings = replace(settings, pins=(*pins(forms), *loaded), lut_len=options.lut_len)
    counts = sorted({count for _, count in pairs} - {most})
    prepared = prepare(graph, work, settings, progress, snapshots=counts, cache=cache)
    if cache is not None and cache.used:
        talk.say(f"the first pass is that of {cache.name}")
    for method, iteration in pairs:
        chosen = replace(settings, method=method)
        result = finish(prepared, work, chosen, progress, calls=iteration, cache=cache)
        if dump is not None:
            inspect_layers(result.float_graph, result.graph, work, dump)
        for step in result.steps:
            talk.say(step.sentence)
        for warning in result.warnings:
            talk.warn(str(warning))
        talk.say("Stage4: Quantitative Parameter Fixed-point.")
        metadata = {
            "knightlite.version": __version__,
            "knightlite.quantize": json.dumps(
                {
                    "chip": options.chip,
                    "data": work.description,
                    "input_layout": "nchw",
                    "method": method,
                    "model_sha256": _model_sha256(options),
                    "pictures": result.report["pictures"],
                    "recipe": recipe,
                    "seed": options.seed,
                    **_input_notes(forms),
                    **({"ir_batch": options.ir_batch} if options.ir_batch > 1 else {}),
                },
                sort_keys=True,
            ),
        }
        talk.say("Stage5: Quantitation Postprocess.")
        metric = result.report["metric"]
        made = QuantizedModel(
            name=graph.name,
            source=options.model,
            chip=options.chip,
            onnx=write_qdq(result.graph, metadata, integer_inputs=integers).SerializeToString(
                deterministic=True
            ),
            float_onnx=write_float(result.float_graph).SerializeToString(deterministic=True),
            report=result.report,
            samples={
                name: np.ascontiguousarray(
                    array[-1:], integers[name].numpy if name in integers else np.float32
                )
                for name, array in zip(graph.inputs, result.inputs, strict=True)
            },
            scales=scale_text(graph.name, result.report["tensors"])
            if options.generate_scales
            else "",
            float_metric=metric["float"],
            quantized_metric=metric["quantized"],
            loss_percent=metric["loss_percent"],
            pictures=int(result.report["pictures"]),
            seconds=result.timings_s["total"],
            warnings=tuple(str(warning) for warning in result.warnings),
            mix_template=template(graph, method) if options.generate_template else None,
        )
        yield method, iteration, made


def _settings(options: QuantizeOptions, graph: Graph) -> tuple[Graph, Settings]:
    """The switches of the options, and the graph that a mix configuration speaks of."""
    from knightlite.quantize.channels import spread_channels
    from knightlite.quantize.mix_config import read_mix
    from knightlite.quantize.settings import settings_for

    settings = settings_for(
        options.effort,
        method=options.method,
        bit_width=options.bit_width,
        bias_correction=options.bias_correction,
        rounding=options.rounding,
        percent=options.percent,
        equalize=options.equalize and not options.generate_scales and options.cache is None,
    )
    if options.run_mode == "auto_quant":
        settings = replace(settings, auto_mix=(options.mix_strategy, options.mix_ratio))
    if options.mix_config is None:
        return graph, settings
    try:
        text = options.mix_config.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"the mix configuration {options.mix_config} cannot be read: "
            f"{getattr(error, 'strerror', None) or 'it is not UTF-8 text'}.",
            "write a template with -gt",
        ) from error
    graph = spread_channels(graph)
    mix = read_mix(text, options.mix_config.name, graph)
    methods = tuple(sorted(mix.methods.items()))
    return graph, replace(settings, mix=mix.widths, tensor_methods=methods)


def _input_notes(forms: tuple[InputForm, ...]) -> dict[str, Any]:
    """What the model's metadata say of inputs that are not plain float32."""
    notes = {
        form.name: {
            "type": "float32" if form.dtype is None else form.dtype.numpy.name,
            "mean": list(form.mean),
            "std": list(form.std),
        }
        for form in forms
        if form.dtype is not None or form.mean
    }
    return {"inputs": notes} if notes else {}


def file_name(name: str) -> str:
    """A tensor name as a file name: '/' becomes '_', as Knight does."""
    return name.replace("/", "_").replace(":", "_")


def workload(options: QuantizeOptions, graph: Graph, talk: Talk) -> tuple[Workload, str | None]:
    """The data of the options, and the recipe's TOML text where there is one."""
    from knightlite.preprocess import list_recipes, load_recipe
    from knightlite.quantize.user_script import UserScript
    from knightlite.quantize.workload import PictureFolder, RandomData

    if options.iteration < 1 or not 1 <= options.batch_size <= MAX_BATCH:
        raise UsageError(
            f"iteration (-i) must be at least 1 and batch size (-bs) from 1 to {MAX_BATCH}, "
            f"not {options.iteration} and {options.batch_size}."
        )
    forms = input_forms(options, graph)
    if any(graph.tensors[name].scale is not None for name in graph.inputs):  # quantized already
        forms = tuple(_form_of(graph.tensors[form.name]) for form in forms)
    inputs = tuple(fed_as(graph.tensors[form.name], form) for form in forms)
    if options.batches is not None or callable(options.function):
        return _python_data(options, inputs, graph.outputs, talk), None
    feeds = options.function != INFER_AUTO or not _builds(options)
    if options.script is not None and feeds:
        if options.recipe is not None:
            raise UsageError("a user script (-uds) prepares its own pictures: --recipe is unused.")
        script = UserScript(
            script=options.script,
            function=options.function,
            dataset=options.data,
            iteration=options.iteration,
            batch_size=options.batch_size,
            save_dir=options.save_dir,
            run_mode=options.run_mode,
            inputs=inputs,
            outputs=graph.outputs,
            say=talk.warn,
            input_configs=tuple(json.loads(options.input_configs or "[]")),
        )
        script.check()
        return script, None
    if options.function != INFER_AUTO:
        raise UsageError(
            f"infer function {options.function} (-if) needs the script that defines it.",
            "name it with -uds FILE",
        )
    if options.input_configs:
        return _configured_data(options, inputs, talk), None
    if options.data is not None:
        if options.recipe is None:
            raise UsageError(
                f"the pictures of {options.data} need a recipe that prepares them.",
                f"--recipe with one of {', '.join(list_recipes())}, or a recipe file of your own",
            )
        if len(inputs) != 1:
            raise UsageError(
                f"pictures feed one input, but the model has {len(inputs)}.", "use a user script"
            )
        recipe = load_recipe(options.recipe)
        if forms[0].dtype is not None and recipe.normalizes:
            talk.say(f"the network normalizes its input itself, not recipe {recipe.name}")
            recipe = recipe.raw()
        folder = PictureFolder(
            Path(options.data),
            recipe,
            options.iteration,
            options.batch_size,
            inputs[0].shape,
            options.seed,
        )
        return folder, recipe.text
    if options.recipe is not None:
        raise UsageError("--recipe prepares the pictures of a folder.", "name it with -d DIR")
    return RandomData(inputs, options.iteration, options.batch_size), None


def _configured_data(options: QuantizeOptions, inputs: tuple[Tensor, ...], talk: Talk) -> Workload:
    """The folders that input-configs name."""
    from knightlite.api import input_configs

    names = tuple(tensor.name for tensor in inputs)
    configs = input_configs.parse(options.input_configs, names)
    if options.data is not None:
        raise UsageError("input-configs name the data of each input: -d is unused.")
    if any(config.padded for config in configs):
        talk.say(
            "padding_constant_value changes nothing here: what convolutions pad are zeros of the "
            "normalized input, exactly."
        )
    return input_configs.workload(configs, inputs, options.iteration, options.batch_size)


def _form_of(tensor: Tensor) -> InputForm:
    """The form of an input of a quantized model: integers where its scale is 1."""
    whole = tensor.scale is not None and tensor.scale.ndim == 0 and tensor.scale[()] == 1
    return InputForm(tensor.name, tensor.dtype if whole else None)


def _python_data(
    options: QuantizeOptions, inputs: tuple[Tensor, ...], outputs: tuple[str, ...], talk: Talk
) -> Workload:
    """Arrays or an infer function of the calling program."""
    from knightlite.quantize.python_data import CalledFunction, feed

    if options.recipe is not None or (options.script is not None and not _builds(options)):
        raise UsageError(
            "arrays and an infer function are data as the network reads them: neither a user "
            "script nor a recipe is used with them."
        )
    if options.batches is not None:
        function = feed(options.batches, inputs)
        description = f"{options.iteration} batch(es) of arrays"
    else:
        assert callable(options.function)
        function = options.function
        description = f"infer function {getattr(function, '__name__', 'of Python')}"
    return CalledFunction(
        function=function,
        description=description,
        dataset=options.data,
        iteration=options.iteration,
        batch_size=options.batch_size,
        save_dir=options.save_dir,
        run_mode=options.run_mode,
        inputs=inputs,
        outputs=outputs,
        say=talk.warn,
    )


def _builds(options: QuantizeOptions) -> bool:
    """True where the script is there for the network; it may feed the data as well."""
    from knightlite.frontend import builds_model

    return builds_model(options.model, options.framework)


def _infer(options: QuantizeOptions, talk: Talk) -> QuantizeOutcome:
    """Run a float or quantized model over the data and report its metric."""
    from knightlite.frontend import load_quantized
    from knightlite.quantize.onnx_models import session, write_float, write_qdq

    quantized = options.model.name.endswith("_quantize.onnx")
    if quantized:
        if options.input_types or options.mean or options.std or options.output_names:
            raise UsageError(
                f"{options.model} is quantized already: -qid, --mean, --std and -on are for the "
                "float model.",
                "leave them out",
            )
        space = workspace.open_workspace(options.directory)
        path, sentence = workspace.resolve(space, options.model)
        if sentence:
            talk.say(sentence)
        graph = load_quantized(path)
    else:
        graph = _load(options, talk)
    model = write_qdq(graph, {}) if quantized else write_float(graph)
    runner = session(model)
    work, _ = workload(options, graph, talk)
    talk.say(f"data: {work.description}")
    pictures = 0

    def forward(inputs: tuple[Any, ...]) -> list[Any]:
        nonlocal pictures
        arrays = (np.asarray(item, np.float32) for item in inputs)
        feeds = dict(zip(graph.inputs, arrays, strict=True))
        outputs = list(runner.run(None, feeds))
        pictures += inputs[0].shape[0]
        talk.advance("infer", pictures, options.iteration * options.batch_size)
        return outputs

    metric = work.run(forward)
    exact, fixed = (None, metric) if quantized else (metric, None)
    return QuantizeOutcome({}, {}, exact, fixed, None, pictures, 0.0)
