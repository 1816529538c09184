"""Read an ``.onnx`` file (opset 9 to 21, or raised to 9) into a :class:`SourceModel`.

External data, Constant nodes, Identity-shared initializers, initializers listed as inputs,
a dynamic batch and shape computations are resolved here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from knightlite import reading
from knightlite.contents import another_kind
from knightlite.errors import Finding, ModelError, UnsupportedError, unreadable
from knightlite.frontend import (
    onnx_bounds,
    onnx_functions,
    opsets,
    raising,
    resolving,
    static_shapes,
    written_batch,
)
from knightlite.frontend.source import SourceModel, SourceNode
from knightlite.frontend.static_shapes import InputShapes
from knightlite.ir.large import paged
from knightlite.ops.onnx_parts import parts_of

if TYPE_CHECKING:
    import onnx

Array = NDArray[Any]
NOTHING: Mapping[str, memoryview] = {}


def read_data(data: bytes, path: Path, input_shapes: InputShapes | None = None) -> SourceModel:
    """The resolved model of a file's bytes: large weights are taken from them one by one.

    Errors: UsageError, ModelError, UnsupportedError.
    """
    described, apart = parts_of(data)
    model = parse(described, str(path))
    return resolve(model, path, input_shapes, apart=apart)


def outline(path: Path) -> onnx.ModelProto:
    """The model of a file without the values of its large weights. Errors as for :func:`read`."""
    return parse(parts_of(read_bytes(path))[0], str(path))


def read_bytes(path: Path) -> bytes:
    """The bytes of a model or weight file; one sentence where there is no such file."""
    try:
        return reading.read_bytes(path)
    except OSError as error:
        raise unreadable("file", path, error) from None


def parse(data: bytes, where: str) -> onnx.ModelProto:
    """The ModelProto in ``data``; ModelError where it is truncated or something else."""
    import onnx
    from google.protobuf.message import DecodeError

    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError:
        raise _no_model(data, where, " or is truncated") from None
    if not model.HasField("graph") or not model.opset_import:
        raise _no_model(data, where, ": it has no graph or no opset")
    onnx_bounds.require_bounded(model, where)
    return model


def _no_model(data: bytes, where: str, reason: str) -> ModelError:
    """The error for bytes that are no model: what else they are, or else ``reason``."""
    again = "export or copy the model again"
    return another_kind(data, where, "an ONNX model", again) or ModelError(
        f"{where} is not an ONNX model{reason}.", again
    )


def resolve(
    model: onnx.ModelProto,
    path: Path,
    input_shapes: InputShapes | None = None,
    *,
    keep_quantizers: bool = False,
    apart: Mapping[str, memoryview] = NOTHING,
) -> SourceModel:
    """Resolve a parsed model (which is consumed); external data is looked up beside ``path``.

    ``keep_quantizers``: integers behind a DequantizeLinear stay what they are. ``apart``: values of
    initializers that the model lacks, as the file has them.
    """
    with invalid_refused(path):
        return _resolve(model, path, input_shapes, keep_quantizers, apart)


@contextlib.contextmanager
def invalid_refused(path: Path) -> Iterator[None]:
    """ModelError where ONNX's shape inference, or a name that is no text, stops the ``with``."""
    from onnx import shape_inference

    try:
        yield
        return
    except UnicodeDecodeError:
        reason = "a name in it is not text"
    except shape_inference.InferenceError as error:
        reason = " ".join(str(error).split()).rstrip(".")
    raise ModelError(f"{path} is not a valid ONNX model: {reason}.", "export or copy it again")


def _resolve(
    model: onnx.ModelProto,
    path: Path,
    input_shapes: InputShapes | None,
    keep_quantizers: bool,
    apart: Mapping[str, memoryview],
) -> SourceModel:
    model, opset, told = _known_opset(model, path, apart)
    if model.functions:
        from onnx import inliner

        model = inliner.inline_local_functions(model)
    constants = take_constants(model, path, apart)
    resolving.describe(model, constants)
    _check(model, path)
    model = onnx_functions.spelled_out(model)
    names = [item.name for item in model.graph.input if item.name not in constants]
    declared = static_shapes.declared_shapes(model, names)
    pinned = static_shapes.pinned_shapes(declared, path, input_shapes)
    known = {name: sizes for name, sizes in declared.items() if sizes is not None}
    warnings = [*told, *static_shapes.overridden(declared, pinned)]
    warnings += written_batch.follow(model, constants, known, pinned)
    static_shapes.pin_inputs(model, pinned)
    state = resolving.Resolving(model, constants, opset, keep_quantizers)

    def read_again() -> list[SourceNode]:
        """The nodes of the graph as it is now; constants of a branch are taken out like others."""
        constants.update(take_constants(model, path))
        resolving.describe(model, constants)
        return list(_nodes(model, path))

    nodes, shapes, types = resolving.infer_and_fold(state, read_again)
    shapes.update({name: values.shape for name, values in constants.items()})
    outputs = tuple(item.name for item in model.graph.output)
    nodes = resolving.needed(resolving.without_identities(nodes, outputs, state.folded), outputs)
    return SourceModel(
        path.stem,
        opset,
        tuple(names),
        outputs,
        tuple(nodes),
        constants,
        shapes,
        types,
        dict(state.folded),
        uncomputed=state.uncomputed,
        warnings=tuple(warnings),
    )


# ------------------------------------------------------------------ the file


def _known_opset(
    model: onnx.ModelProto, path: Path, apart: Mapping[str, memoryview]
) -> tuple[onnx.ModelProto, int, list[Finding]]:
    """The model, raised where it is older than what is known, its opset, and what is said of it."""
    versions = [item.version for item in model.opset_import if item.domain in ("", "ai.onnx")]
    if not versions:
        raise ModelError(f"{path} does not say which ONNX opset it uses.", "export it again")
    newest = opsets.newest()
    if 1 <= versions[0] < opsets.OLDEST:
        newer = raising.raised(model, apart)
        if newer is not None:
            told = f"the model is of opset {versions[0]}: onnx's converter raised it to"
            hint = "compare it with the original in eval, or export it with opset 13"
            finding = Finding(path.name, f"{told} {opsets.OLDEST}.", hint, "warning")
            return newer, opsets.OLDEST, [finding]
    if not opsets.OLDEST <= versions[0] <= newest:
        raise UnsupportedError(
            f"{path} must use an opset from {opsets.OLDEST} to {newest}, not {versions[0]}.",
            "export it with opset 13",
        )
    return model, int(versions[0]), []


def take_constants(
    model: onnx.ModelProto, path: Path, apart: Mapping[str, memoryview] = NOTHING
) -> dict[str, Array]:
    """Move initializers and Constant nodes out of the model into arrays by name.

    ``apart``: values that initializers lack, as the file has them. Of two initializers of a name
    the later one counts, as in ONNX Runtime.
    """
    graph = model.graph
    if graph.sparse_initializer:
        name = graph.sparse_initializer[0].values.name
        raise UnsupportedError(f"{path} has the sparse weight {name}, which is not supported yet.")
    constants = {
        item.name: _array(item, item.name, path, _lacking(item, apart))
        for item in graph.initializer
    }
    kept = []
    for node in graph.node:
        value = _constant_value(node, path) if node.op_type == "Constant" else None
        if value is None:
            kept.append(node)
        else:
            constants[node.output[0]] = value
    if len(kept) != len(graph.node):
        copies = [type(node).FromString(node.SerializeToString()) for node in kept]
        del graph.node[:]
        graph.node.extend(copies)
    del graph.initializer[:]
    return constants


def _constant_value(node: onnx.NodeProto, path: Path) -> Array | None:
    from onnx import helper

    for attribute in node.attribute:
        if attribute.name == "value":
            return _array(attribute.t, node.output[0], path)
        value = helper.get_attribute_value(attribute)
        if attribute.name in ("value_float", "value_floats"):
            return np.asarray(value, np.float32)
        if attribute.name in ("value_int", "value_ints"):
            return np.asarray(value, np.int64)
    return None  # strings and sparse tensors: the node stays and becomes a finding


def _lacking(tensor: onnx.TensorProto, apart: Mapping[str, memoryview]) -> memoryview | None:
    """The values kept apart from a tensor; None where it has its own."""
    own = any(field.name.endswith("_data") for field, _ in tensor.ListFields())
    return None if own else apart.get(tensor.name)


def _array(tensor: onnx.TensorProto, name: str, path: Path, raw: memoryview | None = None) -> Array:
    """The values of a tensor; ``raw``: its bytes, where they were kept apart from it."""
    from onnx import TensorProto, helper, numpy_helper

    if tensor.data_location == TensorProto.EXTERNAL:
        _load_external(tensor, name, path)
    try:
        if raw is not None:
            kind = helper.tensor_dtype_to_np_dtype(tensor.data_type)
            if kind.isbuiltin and kind.kind in "biuf":
                stored = np.frombuffer(raw, kind.newbyteorder("<")).reshape(tensor.dims)
                kept = paged(stored)
                return stored.astype(kind) if kept is stored else kept
            tensor.raw_data = bytes(raw)
        return numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError(
            f"Tensor {name} of {path} is damaged: its data does not fit its shape "
            f"{tuple(tensor.dims)} ({error}).",
            "export or copy the model again",
        ) from None


def _load_external(tensor: onnx.TensorProto, name: str, path: Path) -> None:
    """Read a tensor's data from the file beside the model that it points to."""
    from onnx import TensorProto

    entries = {item.key: item.value for item in tensor.external_data}
    location = entries.get("location", "")
    folder = path.parent.resolve()
    try:
        file = (folder / location).resolve()
    except (OSError, RuntimeError):  # pathlib's own error, where links lead in a circle
        raise ModelError(
            f"{path} keeps tensor {name} in {location}, which cannot be read: links lead in a "
            "circle."
        ) from None
    if not location or folder not in file.parents:
        raise ModelError(
            f"Tensor {name} of {path} must keep its data in a file beside the model, "
            f"not in {location!r}."
        )
    try:
        offset, size = int(entries.get("offset", 0)), file.stat().st_size
        length = int(entries.get("length", size - offset))
    except FileNotFoundError:
        raise ModelError(
            f"{path} keeps tensor {name} in {location}, which is missing.",
            f"put {location} into {folder}",
        ) from None
    except OSError as error:
        raise _unreadable(path, name, location, error) from None
    except ValueError:
        raise ModelError(f"Tensor {name} of {path} has a damaged data reference.") from None
    if offset < 0 or length < 0 or offset + length > size:
        raise ModelError(
            f"{location} must have {offset + length} bytes for tensor {name}, not {size}.",
            f"copy {location} again",
        )
    try:
        tensor.raw_data = reading.read_part(file, offset, length)
    except OSError as error:
        raise _unreadable(path, name, location, error) from None
    tensor.data_location = TensorProto.DEFAULT
    del tensor.external_data[:]


def _unreadable(path: Path, name: str, location: str, error: OSError) -> ModelError:
    return ModelError(
        f"{path} keeps tensor {name} in {location}, which cannot be read: {error.strerror}."
    )


def external_files(model: onnx.ModelProto, path: Path) -> tuple[Path, ...]:
    """The files beside the model that hold its tensors' data."""
    from onnx import TensorProto

    attributes = [
        item for node in model.graph.node for item in node.attribute if item.HasField("t")
    ]
    tensors = (*model.graph.initializer, *(item.t for item in attributes))
    names = {
        entry.value
        for tensor in tensors
        if tensor.data_location == TensorProto.EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    }
    return tuple(path.parent / name for name in sorted(names))


def _check(model: onnx.ModelProto, path: Path) -> None:
    from onnx import checker

    if not model.graph.output:
        raise ModelError(f"{path} is a network without outputs.", "export it again")
    for item in model.graph.output:  # a missing shape is harmless: all are inferred again
        if item.type.HasField("tensor_type"):
            item.type.tensor_type.shape.SetInParent()
    try:
        checker.check_model(model)
    except checker.ValidationError as error:
        # a damaged name can leave the checker without words
        text = (str(error).strip() or "ONNX's checker refuses it").splitlines()[0]
        if "No Op registered" in text or "No opset import for domain" in text:
            return  # an operator ONNX does not know is a finding, with all the others
        raise ModelError(
            f"{path} is not a valid ONNX model: {text.rstrip('.')}.", "export it again"
        ) from None


# ------------------------------------------------------------------ nodes


def _nodes(model: onnx.ModelProto, path: Path) -> Iterator[SourceNode]:
    from onnx import AttributeProto, helper

    taken: set[str] = set()
    for node in model.graph.node:
        attributes: dict[str, Any] = {}
        for item in node.attribute:
            value = helper.get_attribute_value(item)
            if item.type == AttributeProto.TENSOR:
                value = _array(value, f"{item.name} of a {node.op_type}", path)
            elif item.type == AttributeProto.STRING:
                value = value.decode(errors="replace")
            attributes[item.name] = value
        name = node.name or next((item for item in node.output if item), node.op_type)
        while name in taken:  # names need not be unique in ONNX; findings should be
            name += "'"
        taken.add(name)
        domain = "" if node.domain == "ai.onnx" else node.domain
        yield SourceNode(
            name, node.op_type, domain, tuple(node.input), tuple(node.output), attributes
        )
