"""One door for every model file: the suffix (or ``framework``) says which reader it needs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from knightlite.errors import Finding, KnightliteError, UnsupportedError, UsageError
from knightlite.frontend import canonical, onnx_file, paddle
from knightlite.frontend.source import SourceModel
from knightlite.frontend.static_shapes import InputShapes
from knightlite.ir import Graph

FRAMEWORKS = ("onnx", "paddle")
SUFFIXES = {".onnx": "onnx", ".pdmodel": "paddle"}
NOT_YET: dict[str, tuple[str, str]] = {
    ".json": (
        "Paddle's PIR format (.json) is not supported yet",
        "save the model as .pdmodel: paddle.jit.save inside "
        "`with paddle.pir_utils.DygraphOldIrGuard():`",
    ),
    ".pdparams": (
        "a .pdparams file holds weights without a network and is not supported yet",
        "save network and weights with paddle.jit.save inside "
        "`with paddle.pir_utils.DygraphOldIrGuard():` and pass the .pdmodel",
    ),
    ".pth": (
        "PyTorch weights (.pth) are not supported yet",
        "export the model with torch.onnx.export and pass the .onnx",
    ),
    ".pt": (
        "PyTorch models (.pt) are not supported yet",
        "export the model with torch.onnx.export and pass the .onnx",
    ),
    ".prototxt": (
        "Caffe models (.prototxt) are not supported yet",
        "convert the model to ONNX and pass the .onnx",
    ),
    ".caffemodel": (
        "Caffe models (.caffemodel) are not supported yet",
        "convert the model to ONNX and pass the .onnx",
    ),
    ".pb": (
        "TensorFlow models (.pb) are not supported yet",
        "convert the model with tf2onnx and pass the .onnx",
    ),
}
OTHER_FRAMEWORKS = {"pytorch": ".pth", "caffe": ".prototxt", "tensorflow": ".pb"}


def load(
    path: str | Path,
    weight: str | Path | None = None,
    framework: str | None = None,
    input_shapes: InputShapes | None = None,
    general: bool = False,
    warn: Callable[[Finding], None] = lambda finding: None,
) -> Graph:
    """The canonical float graph of a model file, named after the file's stem.

    ``weight`` is Paddle's .pdiparams (default: beside the model). ``input_shapes`` fixes dynamic
    dimensions: one shape per input in order, or by name. ``general``: trailing operators of any
    kind go to the host. ``warn`` is told what the chip computes badly; what runs on the host
    stands in the graph. Errors: UsageError and ModelError for
    files that cannot be used, UnsupportedError with all findings for what is not supported.
    """
    model = read_source(Path(path), weight, framework, input_shapes)
    result = canonical.canonicalize(model, general)
    if result.graph is None:
        raise unsupported(Path(path), result.findings)
    on_host = {op.name for op in result.graph.host}
    for finding in result.findings:
        if finding.where not in on_host:
            warn(finding)
    return result.graph


def unsupported(path: Path, findings: tuple[Finding, ...]) -> KnightliteError:
    """The error that lists every finding of severity error."""
    errors = [item for item in findings if item.severity == "error"]
    count = "one place is" if len(errors) == 1 else f"{len(errors)} places are"
    first = f"{errors[0].where}: {errors[0].sentence.rstrip('.')}"
    more = "" if len(errors) == 1 else f" and {len(errors) - 1} more"
    return UnsupportedError(
        f"{path} cannot run on the NPU, {count} not supported: {first}{more}.",
        errors[0].hint or "`knightlite check` lists every node with its reason",
        errors,
    )


def read_source(
    path: Path,
    weight: str | Path | None = None,
    framework: str | None = None,
    input_shapes: InputShapes | None = None,
) -> SourceModel:
    """Read and resolve a float model of any supported framework."""
    kind = framework_of(path, framework)
    if kind == "onnx":
        if weight is not None:
            raise UsageError(
                f"{path} keeps its weights inside, so the weight file {weight} cannot be used.",
                "leave -w/--weight out",
            )
        model = onnx_file.read(path, input_shapes)
    else:
        data = paddle.to_onnx(path, None if weight is None else Path(weight))
        model = onnx_file.resolve(onnx_file.parse(data, str(path)), path, input_shapes)
    _refuse_quantized(model, path)
    return model


def framework_of(path: Path, framework: str | None) -> str:
    """The framework (onnx or paddle) by ``framework`` or the suffix; a sentence for all others."""
    suffix = path.suffix.lower()
    if framework is not None and framework not in FRAMEWORKS:
        if framework in OTHER_FRAMEWORKS:
            sentence, hint = NOT_YET[OTHER_FRAMEWORKS[framework]]
            raise UnsupportedError(f"{path}: {sentence}.", hint)
        known = ", ".join((*FRAMEWORKS, *OTHER_FRAMEWORKS))
        raise UsageError(f"The framework must be one of {known}, not {framework}.")
    if suffix in NOT_YET:
        sentence, hint = NOT_YET[suffix]
        raise UnsupportedError(f"{path}: {sentence}.", hint)
    if suffix == ".pdiparams":
        raise UsageError(
            f"{path} holds weights, not a model.", f"pass {path.with_suffix('.pdmodel')} with -m"
        )
    by_suffix = SUFFIXES.get(suffix)
    if framework is None and by_suffix is None:
        raise UsageError(
            f"{path} must end in .onnx or .pdmodel"
            + (f", not in {suffix}." if suffix else ", but has no suffix."),
            "say the framework with -f/--framework",
        )
    if framework is not None and by_suffix not in (None, framework):
        raise UsageError(
            f"{path} is a model of {by_suffix} by its suffix, not of {framework}.",
            "leave -f/--framework out",
        )
    kind = framework or by_suffix
    assert kind is not None
    return kind


def _refuse_quantized(model: SourceModel, path: Path) -> None:
    count = sum(node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in model.nodes)
    if count:
        raise UsageError(
            f"{path} must be a float model, but has {count} quantize and dequantize nodes.",
            "compile a quantized model directly, or pass the model it was made from",
        )


def load_quantized(path: str | Path, data: bytes | None = None) -> Graph:
    """The quantized graph of an ``X_quantize.onnx``; see :mod:`knightlite.frontend.qdq`."""
    from knightlite.frontend import qdq

    return qdq.load_quantized(Path(path), data)
