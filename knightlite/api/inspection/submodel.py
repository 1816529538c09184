"""``model_modifier``: a part of an ONNX model, between values of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from knightlite import atomic_write
from knightlite.errors import ModelError, UnsupportedError, UsageError, suggestion

if TYPE_CHECKING:
    import onnx


def cut_out(
    path: Path, inputs: Sequence[str], outputs: Sequence[str], name: str | None, folder: Path
) -> Path:
    """Write what ``outputs`` need, from ``inputs`` on, as ``NAME.onnx``; where it is.

    Without names the part begins, or ends, where the model does. UsageError for values that the
    model does not have, and where they need what comes before ``inputs``; ModelError for values
    whose type nothing tells.
    """
    from knightlite.frontend import onnx_file

    if path.suffix.lower() != ".onnx":
        raise UsageError(f"{path} must be an .onnx model.", "quant -r convert makes one of others")
    model = onnx_file.parse(onnx_file.read_bytes(path), str(path))
    with onnx_file.invalid_refused(path):
        part = _part(model, path, inputs, outputs)
    target = folder / f"{name or f'{path.stem}_sub'}.onnx"
    atomic_write.write_bytes(target, part.SerializeToString(deterministic=True))
    return target


def _part(
    model: onnx.ModelProto, path: Path, inputs: Sequence[str], outputs: Sequence[str]
) -> onnx.ModelProto:
    """The part between these values; errors as :func:`cut_out`."""
    import onnx
    from onnx import shape_inference, utils

    inferred = shape_inference.infer_shapes(model)
    ends = [_names(inferred.graph.input), _names(inferred.graph.output)]
    asked = [list(inputs) or ends[0], list(outputs) or ends[1]]
    made = [item for node in model.graph.node for item in node.output if item]
    for names, known in zip(asked, ([*ends[0], *made], made), strict=True):
        for item in names:
            if item not in known:
                raise UsageError(f"{path} has no value called {item}.", suggestion(item, known))
    needed = _unfed(model, *asked)
    if needed:
        raise UsageError(
            f"the part also needs {', '.join(needed)}, which no input names.",
            "name them with --input-names, or others that are nearer to the outputs",
        )
    _require_whole(inferred, path, asked)
    part = utils.Extractor(inferred).extract_model(*asked)
    assert isinstance(part, onnx.ModelProto)
    return part


def _require_whole(model: onnx.ModelProto, path: Path, ends: Sequence[Sequence[str]]) -> None:
    """What cutting takes for granted: every value has one maker, its ends have types."""
    graph = model.graph
    makers = Counter(item for node in graph.node for item in node.output if item)
    for name, count in makers.items():
        if count > 1:
            raise ModelError(f"{path}: {count} nodes write {name}.")
    typed = {*_names(graph.value_info), *_names(graph.input), *_names(graph.output)}
    for name in dict.fromkeys(item for names in ends for item in names):
        if name not in typed:
            raise ModelError(
                f"{path}: the type of {name} is not known: shape inference does not reach it.",
                "name another value where the part begins or ends",
            )
    for kept, count in (
        ("sparse constants", len(graph.sparse_initializer)),
        ("annotations of quantization", len(graph.quantization_annotation)),
    ):
        if count:
            raise UnsupportedError(f"{path} has {count} {kept}, which no part can keep.")


def _names(values: Iterable[onnx.ValueInfoProto]) -> list[str]:
    return [item.name for item in values]


def _unfed(model: onnx.ModelProto, inputs: Sequence[str], outputs: Sequence[str]) -> list[str]:
    """The model's inputs that the outputs need and the part's inputs do not stand for."""
    makers = {name: node for node in model.graph.node for name in node.output}
    constants = {item.name for item in model.graph.initializer}
    own = [name for name in _names(model.graph.input) if name not in constants]
    seen = set(inputs)
    waiting = [name for name in outputs if name not in seen]
    found: dict[str, None] = {}
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in makers:
            waiting += makers[name].input
        elif name in own:
            found[name] = None
    return list(found)
