"""One door for every model file: the suffix (or ``framework``) says which reader it needs."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from knightlite.contents import NAME_A_MODEL, content_of
from knightlite.errors import (
    FEW,
    Finding,
    KnightliteError,
    UnsupportedError,
    UsageError,
    nearest,
    next_step,
    not_there,
)
from knightlite.frontend import (
    canonical,
    elsewhere,
    frame_by_frame,
    interpreter,
    onnx_file,
    open_loops,
    user_layers,
)
from knightlite.frontend.cut import cut
from knightlite.frontend.interpreter import Conversion
from knightlite.frontend.model_kind import (
    COMPILED,
    PAIR_NOTE,
    QUANTIZERS,
    ModelKind,
    ending_quantizers,
    kind_of,
    of_kind,
)
from knightlite.frontend.source import SourceModel
from knightlite.frontend.static_shapes import InputShapes
from knightlite.ir import Graph
from knightlite.reading import read_bytes
from knightlite.script_loading import script_errors, script_loaded

FRAMEWORKS = ("onnx", "paddle", "pytorch")
SUFFIXES = {".onnx": "onnx", ".pdmodel": "paddle", ".json": "paddle", ".pdparams": "paddle"}


FUNCTION_HINT = "a function that builds the network is named beside -f and -uds"


def load(
    path: str | Path,
    weight: str | Path | None = None,
    framework: str | None = None,
    input_shapes: InputShapes | None = None,
    general: bool = False,
    warn: Callable[[Finding], None] = lambda finding: None,
    conversion: Conversion = interpreter.DEFAULT,
    outputs: Sequence[str] = (),
) -> Graph:
    """The canonical float graph of a model, named after the file's stem or the model function.

    ``path`` is a file, or the name of a function of ``conversion``'s script. ``weight`` is Paddle's
    .pdiparams (default: beside the model) or .pdparams, or PyTorch's .pth. ``input_shapes`` fixes
    dynamic dimensions: one shape per input in order, or by name. ``general``: trailing operators of
    any kind go to the host. ``warn`` is told what the chip computes badly; what runs on the host
    stands in the graph. ``outputs``: ONNX values to cut the network at.

    Errors: UsageError and ModelError for files that cannot be used, UnsupportedError with all
    findings for what is not supported.
    """
    model = read_network(Path(path), weight, framework, input_shapes, conversion, outputs)
    return canonical_graph(model, Path(path), general, warn)


def canonical_graph(
    model: SourceModel, path: Path, general: bool, warn: Callable[[Finding], None], check: str = ""
) -> Graph:
    """The canonical float graph of ``model``, which came from ``path``; see :func:`load`.

    ``check``: the command that tells more of a refusal; "" where the path is all that it needs.
    """
    result = canonical.canonicalize(model, general)
    if result.graph is None:
        raise unsupported(path, result.findings, check)
    on_host = {op.name for op in result.graph.host}
    for finding in result.findings:
        if finding.where not in on_host:
            warn(finding)
    return replace(result.graph, states=model.states, sequences=model.sequences)


def files_beside(path: Path) -> tuple[Path, ...]:
    """The files that a model's file keeps its weights in, where they are not named."""
    if path.suffix.lower() == ".onnx" and path.is_file():
        return onnx_file.external_files(onnx_file.outline(path), path)
    if path.suffix.lower() not in (".pdmodel", ".json"):
        return ()
    weights = path.with_suffix(".pdiparams")
    return (weights,) if weights.is_file() else ()


def unsupported(path: Path, findings: tuple[Finding, ...], check: str = "") -> KnightliteError:
    """The error that lists every finding of severity error."""
    check = check or shlex.join(["knightlite", "check", "-m", str(path)])
    errors = [item for item in findings if item.severity == "error"]
    if len(errors) > FEW:
        return UnsupportedError(
            f"{path} cannot run on the NPU, {len(errors)} places are not supported: "
            f"{next_step(errors)}.",
            f"`{check} --json` lists every place",
            errors,
        )
    count = "one place is" if len(errors) == 1 else f"{len(errors)} places are"
    first = f"{errors[0].where}: {errors[0].sentence.rstrip('.')}"
    more = "" if len(errors) == 1 else f" and {len(errors) - 1} more"
    return UnsupportedError(
        f"{path} cannot run on the NPU, {count} not supported: {first}{more}.",
        errors[0].hint or f"`{check}` also counts what is supported",
        errors,
    )


def read_source(
    path: Path,
    weight: str | Path | None = None,
    framework: str | None = None,
    input_shapes: InputShapes | None = None,
    conversion: Conversion = interpreter.DEFAULT,
    names: Sequence[str] = (),
) -> SourceModel:
    """Read and resolve a float model of any supported framework.

    ``names``: its tensors that will be asked for, which may have other names in the framework.
    """
    kind = framework_of(path, framework)
    weights = None if weight is None else Path(weight)
    if kind == "onnx":
        if weights is not None:
            raise UsageError(
                f"{path} keeps its weights inside, so the weight file {weights} cannot be used.",
                "leave -w/--weight out",
            )
        data = onnx_file.read_bytes(path)
        _refuse_golden(data, path)
        data, own = _with_own_layers(data, path, conversion)
        opened = names if conversion.open_loops else None
        model = replace(_of_one_frame(data, path, input_shapes, opened), user_layers=own)
    else:
        model = _read_converted(path, kind, weights, framework, input_shapes, conversion, names)
    if path.suffix.lower() not in SUFFIXES and builds_model(path, framework):
        model = replace(model, name=path.name)  # a dot in a function's name begins no suffix
    _refuse_quantized(model, path)
    return model


def _with_own_layers(
    data: bytes, path: Path, conversion: Conversion
) -> tuple[bytes, Mapping[str, tuple[int, tuple[str, ...]]]]:
    """The model with the layers that the user script registers, where it does."""
    script = conversion.script
    if script is None or not script.is_file() or b"general_layer" not in read_bytes(script):
        return data, {}
    with script_loaded(script) as loaded, script_errors(script):
        layers = user_layers.checked(loaded.general_layers)
        return user_layers.spelled_out(data, str(path), layers)


def _read_converted(
    path: Path,
    kind: str,
    weights: Path | None,
    framework: str | None,
    input_shapes: InputShapes | None,
    conversion: Conversion,
    names: Sequence[str],
) -> SourceModel:
    """A model of Paddle or PyTorch; loads what reads these, which most runs do not need."""
    from knightlite.frontend import paddle, paddle_dygraph, paddle_pir, pytorch

    converted = None
    if kind == "pytorch":
        data = pytorch.to_onnx(str(path), weights, input_shapes, conversion, names)
    elif builds_model(path, framework):
        converted = paddle_dygraph.convert(path, weights, input_shapes, conversion, names)
    elif path.suffix.lower() == ".json":
        data = paddle_pir.to_onnx(path, weights, conversion, names)
    else:
        converted = paddle.convert(path, weights, names)
    opened = names if conversion.open_loops else None
    if converted is not None:
        data = converted.data
    if converted is None:
        return _of_one_frame(data, path, input_shapes, opened)
    known = converted
    return _of_one_frame(
        data, path, input_shapes, opened, lambda model: paddle.checked(model, known, path)
    )


def _of_one_frame(
    data: bytes,
    path: Path,
    input_shapes: InputShapes | None,
    opened: Sequence[str] | None,
    checked: Callable[[SourceModel], SourceModel] = lambda model: model,
) -> SourceModel:
    """The resolved model of a file's bytes; several frames at once as one, where that is the same.

    ``opened``: not None where one step of its loops is asked for, up to these values, if there are
    any. ``checked``: what is asked of the model as the file has it.
    """
    model = checked(onnx_file.read_data(data, path, input_shapes))
    if opened is not None:
        return open_loops.opened(
            cut(model, opened, path) if opened else model,
            lambda data, shapes: onnx_file.read_data(data, path, shapes),
            data,
        )
    if input_shapes:
        return model
    return frame_by_frame.one_by_one(model, lambda shapes: onnx_file.read_data(data, path, shapes))


def read_network(
    path: Path,
    weight: str | Path | None = None,
    framework: str | None = None,
    input_shapes: InputShapes | None = None,
    conversion: Conversion = interpreter.DEFAULT,
    outputs: Sequence[str] = (),
) -> SourceModel:
    """The same, cut at ``outputs``; see :func:`load`."""
    model = read_source(path, weight, framework, input_shapes, conversion, outputs)
    ends = (*outputs, *(state.output for state in model.states))
    return cut(model, ends, path) if outputs else model


def builds_model(path: Path, framework: str | None) -> bool:
    """True where a function of the user script builds the model: there is no file of a network."""
    from knightlite.frontend import paddle_dygraph

    kind, suffix = framework_of(path, framework), path.suffix.lower()
    if kind == "paddle":
        return suffix == paddle_dygraph.SUFFIX or (suffix not in SUFFIXES and not path.exists())
    return kind == "pytorch"


def require_there(model: Path) -> None:
    """UsageError for a model's file that is not there; what may name a function passes."""
    if model.suffix.lower() in SUFFIXES and not model.is_file():
        raise not_there("file", model, fits=of_kind(ModelKind.FLOAT))


def framework_of(path: Path, framework: str | None) -> str:
    """One of FRAMEWORKS, by ``framework`` or the suffix; a sentence for all others."""
    suffix = path.suffix.lower()
    if framework is not None and framework not in FRAMEWORKS:
        if framework in elsewhere.FRAMEWORKS and suffix not in SUFFIXES:
            raise elsewhere.refusal(path, framework)
        if framework in elsewhere.FRAMEWORKS:
            raise _of_another(path, SUFFIXES[suffix], framework)
        known = ", ".join((*FRAMEWORKS, *elsewhere.FRAMEWORKS))
        hint = nearest(framework, FRAMEWORKS)
        raise UsageError(f"The framework must be one of {known}, not {framework}.", hint)
    if suffix in elsewhere.SUFFIXES:
        raise elsewhere.refusal(path, elsewhere.SUFFIXES[suffix])
    if suffix == ".pdiparams":
        program = next(
            (item for item in (".pdmodel", ".json") if path.with_suffix(item).exists()), ".pdmodel"
        )
        raise UsageError(
            f"{path} holds weights, not a model.", f"pass {path.with_suffix(program)} with -m"
        )
    if suffix in COMPILED:
        raise UsageError(
            f"{path} is of a compiled network, not a model.",
            "pass the float model that it was made from",
        )
    by_suffix = SUFFIXES.get(suffix)
    if framework is None and by_suffix is None and not path.is_file():
        fits = of_kind(ModelKind.FLOAT)
        raise not_there("model", path, FUNCTION_HINT, endings=tuple(SUFFIXES), fits=fits)
    if framework is None and by_suffix is None:
        if found := content_of(onnx_file.read_bytes(path)):
            raise UsageError(f"{path} is {found}, not a network.", NAME_A_MODEL)
        raise UsageError(
            f"{path} must end in {', '.join(list(SUFFIXES)[:-1])} or {list(SUFFIXES)[-1]}"
            + (f", not in {suffix}." if suffix else ", but has no suffix."),
            "say the framework with -f/--framework",
        )
    if framework is not None and by_suffix not in (None, framework):
        raise _of_another(path, str(by_suffix), str(framework))
    kind = framework or by_suffix
    assert kind is not None
    return kind


def _of_another(path: Path, framework: str, asked: str) -> UsageError:
    return UsageError(
        f"{path} is a model of {framework} by its suffix, not of {asked}.",
        "leave -f/--framework out",
    )


def _refuse_golden(data: bytes, path: Path) -> None:
    if PAIR_NOTE.encode() in data and kind_of(onnx_file.outline(path)) is ModelKind.GOLDEN:
        raise UsageError(
            f"{path} is a golden model, which compile wrote, not a float one.",
            "pass the float model that it was made from",
        )


def _refuse_quantized(model: SourceModel, path: Path) -> None:
    ends = ending_quantizers((node.op_type, node.inputs, node.outputs) for node in model.nodes)
    count = sum(node.op_type in QUANTIZERS and node.outputs[0] not in ends for node in model.nodes)
    if count:
        raise UsageError(
            f"{path} must be a float model, but has {count} quantize and dequantize nodes.",
            "compile a quantized model directly, or pass the model it was made from",
        )


def load_quantized(path: str | Path, data: bytes | None = None, *, checked: bool = True) -> Graph:
    """The quantized graph of an ``X_quantize.onnx``; see :mod:`knightlite.frontend.qdq`."""
    from knightlite.frontend import qdq

    return qdq.load_quantized(Path(path), data, checked=checked)
