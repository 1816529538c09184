"""Pin the shapes of a model's inputs: batch 1, other dynamic dimensions only as the user says."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from knightlite.errors import Finding, UsageError, open_shapes_hint
from knightlite.frontend.source import Shape

if TYPE_CHECKING:
    import onnx

MAX_SIZE = (1 << 16) - 1  # what an instruction can say of rows, columns and channels
NAMED = re.compile("[A-Za-z_]+")  # as people name sizes; converters number theirs
InputShapes = Mapping[str, Sequence[int]] | Sequence[Sequence[int]]


class OpenShapeError(UsageError):
    """An input of which sizes are not known; ``shape``: None where nothing of it is.

    ``shapes``: of all inputs of the network, this one too, as far as they are known.
    """

    def __init__(
        self,
        sentence: str,
        shape: Sequence[int | str] | None,
        shapes: Sequence[Sequence[int | str] | None],
    ) -> None:
        self.shape = shape
        super().__init__(sentence, open_shapes_hint(shapes))


def declared_shapes(
    model: onnx.ModelProto, names: Sequence[str]
) -> dict[str, list[int | str] | None]:
    """The shapes of the inputs ``names`` in the file; None where one has none."""
    found: dict[str, list[int | str] | None] = {}
    for item in model.graph.input:
        if item.name in names:
            tensor = item.type.tensor_type
            sizes = [dimension(dim) for dim in tensor.shape.dim]
            found[item.name] = sizes if tensor.HasField("shape") else None
    return found


def pinned_shapes(
    declared: Mapping[str, Sequence[int | str] | None], path: Path, input_shapes: InputShapes | None
) -> dict[str, Shape]:
    """Static shapes (batch 1) for the inputs; UsageError where they are not known."""
    wanted = _wanted_shapes(list(declared), input_shapes, path)
    known = [wanted.get(name, shape) for name, shape in declared.items()]
    return {
        name: _pinned(name, shape, wanted.get(name), path, known)
        for name, shape in declared.items()
    }


def overridden(
    declared: Mapping[str, Sequence[int | str] | None], pinned: Mapping[str, Shape]
) -> list[Finding]:
    """Inputs whose sizes the model fixes, the batch aside, and that are given others."""
    found = []
    for name, own in declared.items():
        pairs = list(zip(own or (), pinned[name], strict=False))[1:]
        if any(isinstance(size, int) and size != other for size, other in pairs):
            sentence = f"the model's own size is {_listed(own or ())}, -is makes it "
            hint = "where a node does not fit, that is why: leave -is out, or take a size that does"
            found.append(Finding(name, f"{sentence}{_listed(pinned[name])}.", hint, "warning"))
    return found


def pin_inputs(model: onnx.ModelProto, shapes: Mapping[str, Shape]) -> None:
    """Write static shapes into the inputs; forget the shapes of all other values."""
    graph = model.graph
    for item in (*graph.input, *graph.output):  # an output may be an input
        if item.name in shapes:
            tensor = item.type.tensor_type
            tensor.shape.SetInParent()
            del tensor.shape.dim[:]
            for size in shapes[item.name]:
                tensor.shape.dim.add().dim_value = size
    del graph.value_info[:]
    for item in graph.output:
        if item.name not in shapes:
            item.type.tensor_type.ClearField("shape")


def dimension(dim: Any) -> int | str:
    """A size, or the name of a dynamic dimension ("?" where it has none)."""
    if dim.HasField("dim_value") and dim.dim_value > 0:
        return int(dim.dim_value)
    return str(dim.dim_param) or "?"


def _wanted_shapes(
    names: Sequence[str], input_shapes: InputShapes | None, path: Path
) -> dict[str, tuple[int, ...]]:
    if not input_shapes:
        return {}
    listed = ", ".join(names)
    if isinstance(input_shapes, Mapping):
        unknown = [name for name in input_shapes if name not in names]
        if unknown:
            raise UsageError(f"{path} has no input {unknown[0]}; its inputs are {listed}.")
        return {name: tuple(shape) for name, shape in input_shapes.items()}
    if len(input_shapes) > len(names):
        raise UsageError(
            f"{path} has {len(names)} inputs ({listed}), but {len(input_shapes)} shapes were given."
        )
    return {name: tuple(shape) for name, shape in zip(names, input_shapes, strict=False)}


def _pinned(
    name: str,
    declared: Sequence[int | str] | None,
    wanted: Sequence[int] | None,
    path: Path,
    known: Sequence[Sequence[int | str] | None],
) -> Shape:
    """The static shape of one input; a dynamic or given batch of -1 becomes 1."""
    if declared is None and wanted is None:
        raise OpenShapeError(f"Input {name} of {path} has no shape.", None, known)
    if wanted is not None:
        if declared is not None and len(wanted) != len(declared):
            raise UsageError(
                f"The shape for input {name} must have {len(declared)} dimensions "
                f"{_listed(declared)}, not {len(wanted)} {_listed(wanted)}.",
                _all_sizes_hint(wanted, declared),
            )
        shape = tuple(1 if axis == 0 and size < 0 else size for axis, size in enumerate(wanted))
        if any(size < 1 for size in shape):
            raise UsageError(f"The shape for input {name} must be positive, not {_listed(wanted)}.")
        if any(size > MAX_SIZE for size in shape):
            raise UsageError(
                f"The shape for input {name} must have sizes up to {MAX_SIZE}, "
                f"not {_listed(wanted)}."
            )
        return shape
    assert declared is not None
    batched = [1, *declared[1:]] if declared and isinstance(declared[0], str) else declared
    sizes = tuple(size for size in batched if isinstance(size, int))
    if len(sizes) < len(batched):
        raise OpenShapeError(
            f"Input {name} of {path} has the dynamic shape {_listed(declared)}, "
            "but only the batch may be dynamic.",
            batched,
            known,
        )
    return sizes


def _all_sizes_hint(wanted: Sequence[int], declared: Sequence[int | str]) -> str:
    """How many sizes are meant: those that were given, behind a batch that alone is missing."""
    short = len(wanted) == len(declared) - 1 and wanted[0] != 1
    meant = [1, *wanted] if short else [1, *declared[1:]]
    if any(isinstance(size, str) for size in meant):
        return open_shapes_hint([meant])
    return f"all sizes are meant, the batch first: -is {' '.join(map(str, meant))}"


def _listed(shape: Sequence[int | str]) -> str:
    """A shape in brackets; a size that a converter alone has named, and numbered, is a ?."""
    return "[" + ", ".join(map(_size, shape)) + "]"


def _size(size: int | str) -> str:
    return str(size) if isinstance(size, int) or NAMED.fullmatch(size) else "?"
