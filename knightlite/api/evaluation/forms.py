"""The forms of a network that ``eval`` puts side by side: float, QDQ, golden and chip.

Each reads the same prepared picture and gives the same scores, so that only its arithmetic differs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from knightlite import workspace
from knightlite.api.models.binary import Binary, open_binary
from knightlite.api.models.machines import open_machine
from knightlite.api.models.notes import notes_in, pair_of
from knightlite.api.models.partners import cfg_beside
from knightlite.api.simulation.fed import Range, integer_range, range_of
from knightlite.api.simulation.golden import golden_reference, read_golden
from knightlite.api.simulation.host import finisher
from knightlite.errors import ModelError, UsageError, not_there
from knightlite.options.shared import NUMPY

if TYPE_CHECKING:
    import onnx

    from knightlite.container import QuantizationNotes

Array = NDArray[Any]

FLOAT, GOLDEN, CHIP = "float", "golden", "chip"
SUFFIXES = (".cfg", ".tsmodel")
MOVES = (
    "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze", "QuantizeLinear", "DequantizeLinear",
)  # fmt: skip


class Scores(NamedTuple):
    """What a form gives of a picture.

    ``final``: flat float scores of the first output; ``before``: of what its trailing Softmax reads
    (None: it has none); ``outputs``: every output as it is, by name, where they are asked for.
    """

    final: Array
    before: Array | None
    outputs: Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class Source:
    """A model as named: what form of a network its file holds, and the hash of all its files.

    ``made_from``: of a compiled network the hash of the quantized model's file, else "".
    """

    path: Path
    kind: str
    sha256: str
    made_from: str = ""


@dataclass(frozen=True, slots=True)
class Form:
    """An opened model. ``input_shape``: [C, H, W] of the picture it reads, 0 where it is open.

    ``recipe``: the TOML that it was calibrated with, where it says so. ``softmax``: its first
    output is behind a Softmax. ``fed``: what its input was calibrated for, None of a float model.
    ``run`` takes a float32 picture [1, C, H, W]. ``checked``, which
    only the chip has, does the same and gives (bytes compared, bytes that differ) of all layers.
    """

    source: Source
    input_shape: tuple[int, ...]
    recipe: str | None
    softmax: bool
    run: Callable[[Array], Scores]
    checked: Callable[[Array], tuple[Scores, tuple[int, int]]] | None = None
    fed: Range | None = None


def source_of(path: Path) -> Source:
    """What form a file holds, from its content. UsageError, ModelError, FormatError."""
    from knightlite.frontend import onnx_file
    from knightlite.frontend.model_kind import ModelKind, kind_of

    if not path.is_file():
        raise not_there("model", path, "eval reads files of models")
    if path.suffix == ".weight":
        raise UsageError(
            f"{path} holds the constants of a compiled network.",
            f"name its description, as in {path.with_suffix('.cfg')}",
        )
    digest = workspace.sha256_of(path)
    if path.suffix in SUFFIXES:
        binary = open_binary(path)
        if path.suffix == ".cfg":
            digest += workspace.sha256_of(binary.weight)
        return Source(path, CHIP, digest, binary.program.meta.model_sha256)
    if path.suffix != ".onnx":
        weights = path.with_suffix(".pdiparams")
        return Source(
            path, FLOAT, digest + (workspace.sha256_of(weights) if weights.is_file() else "")
        )
    model = onnx_file.parse(onnx_file.read_bytes(path), str(path))
    kind = kind_of(model)
    if kind is ModelKind.GOLDEN:
        digest += workspace.sha256_of(_cfg_of(path, model))
    return Source(path, kind.value, digest)


def _cfg_of(path: Path, golden: onnx.ModelProto) -> Path:
    """The ``.cfg`` that tells a golden model's scales; UsageError where it is not beside it."""
    return cfg_beside(path, pair_of(golden) or "")


def open_form(
    source: Source,
    chip: str | None,
    input_shapes: Sequence[Sequence[int]],
    threads: int,
    check: bool = False,
    every_output: bool = False,
    engine: str = NUMPY,
) -> Form:
    """Open a model for pictures; ``threads`` are ONNX Runtime's. Errors: as the stages raise.

    ``check``: the chip's layers are to be compared with those of its golden model.
    ``every_output``: all outputs are asked for, not the first alone. ``engine``: of the chip.
    """
    from knightlite.frontend import onnx_file

    if source.kind == CHIP:
        return _chip(source, open_binary(source.path), chip, check, engine)
    if source.kind == GOLDEN:
        golden = onnx_file.parse(source.path.read_bytes(), str(source.path))
        return _golden(source, open_binary(_cfg_of(source.path, golden)), threads)
    model = _onnx_model(source.path, input_shapes)
    return _onnx(source, model, input_shapes, threads, every_output)


def _onnx_model(path: Path, input_shapes: Sequence[Sequence[int]]) -> onnx.ModelProto:
    """An ``.onnx`` file as it is; a model of another framework converted, as ``quant`` does."""
    from knightlite.frontend import load, onnx_file
    from knightlite.onnx_models import write_float

    if path.suffix == ".onnx":
        return onnx_file.parse(onnx_file.read_bytes(path), str(path))
    shapes = [tuple(shape) for shape in input_shapes] or None
    return write_float(load(path, input_shapes=shapes))


def _onnx(
    source: Source,
    model: onnx.ModelProto,
    input_shapes: Sequence[Sequence[int]],
    threads: int,
    every_output: bool,
) -> Form:
    """A float or QDQ model of any tool, in ONNX Runtime as it is written."""
    import onnx

    from knightlite.inference import session
    from knightlite.onnx_models import deliver

    path = source.path
    weights = {item.name for item in model.graph.initializer}
    read = {name for node in model.graph.node for name in node.input}
    inputs = [item for item in model.graph.input if item.name not in weights and item.name in read]
    if len(inputs) != 1:
        raise UsageError(f"eval feeds pictures to one input, but {path} has {len(inputs)}.")
    (entry,) = inputs
    for item in [item for item in model.graph.input if item.name not in read]:
        model.graph.input.remove(item)  # ONNX Runtime would want it fed
    element = entry.type.tensor_type.elem_type
    if element not in onnx.helper.get_all_tensor_dtypes():
        raise ModelError(
            f"input {entry.name} of {path} has elements of the unknown kind {element}.",
            "export or copy the model again",
        )
    kind = onnx.helper.tensor_dtype_to_np_dtype(element)
    if kind.kind not in "fiu":
        raise UsageError(f"input {entry.name} of {path} must be of numbers, not of {kind}.")
    dims = [dim.dim_value for dim in entry.type.tensor_type.shape.dim]
    count = max(1, *dims[:1])
    if input_shapes:
        dims = [given or have for have, given in zip(dims, input_shapes[0], strict=False)]
    if len(dims) != 4:
        raise UsageError(f"input {entry.name} of {path} must be [N, C, H, W], not {dims}.")
    first = model.graph.output[0].name
    writers = {
        output: (node.op_type, node.input[0] if node.input else "")
        for node in model.graph.node
        for output in node.output
    }
    logits, _ = _traced(first, writers)
    names = [first] if logits is None else [first, logits]
    outputs = [item.name for item in model.graph.output] if every_output else []
    names += [name for name in outputs if name not in names]
    deliver(model, names)
    opened = session(model, threads, called=str(path))
    notes = notes_in(model, path)
    recipe = None if notes is None else notes.recipe

    def run(picture: Array) -> Scores:
        made = opened.run(names, {entry.name: np.repeat(_cast(picture, kind), count, axis=0)})
        found = {name: _first(values, count) for name, values in zip(names, made, strict=True)}
        before = None if logits is None else found[logits].reshape(-1)
        return Scores(found[first].reshape(-1), before, {name: found[name] for name in outputs})

    fed = _calibrated(model, entry.name, notes)
    return Form(source, tuple(dims[1:]), recipe, logits is not None, run, None, fed)


def _calibrated(model: onnx.ModelProto, name: str, notes: QuantizationNotes | None) -> Range | None:
    """What an input that is quantized was calibrated for; None where it is read as floats."""
    import onnx

    node = next(
        (
            node
            for node in model.graph.node
            if node.op_type == "QuantizeLinear" and node.input[0] == name
        ),
        None,
    )
    known = {item.name: item for item in model.graph.initializer}
    if node is None or len(node.input) < 3 or not set(node.input[1:3]) <= set(known):
        return None
    scale, zero = (onnx.numpy_helper.to_array(known[item]) for item in node.input[1:3])
    if zero.dtype.kind not in "iu":
        return None
    recipe, data = (None, "") if notes is None else (notes.recipe, notes.data)
    return integer_range(name, zero.dtype, scale, recipe, data, zero)


def _first(values: Array, count: int) -> Array:
    """The first of ``count`` frames that a model takes at once, all of one picture."""
    return values[: len(values) // count] if count > 1 and values.ndim else values


def _cast(picture: Array, kind: np.dtype[Any]) -> Array:
    """A float32 picture as the model's own type; integers as the host makes them for the chip."""
    if kind.kind == "f":
        return picture.astype(kind)
    limits = np.iinfo(kind)
    return np.clip(np.rint(picture), limits.min, limits.max).astype(kind)


def _traced(name: str, writers: Mapping[str, tuple[str, str]]) -> tuple[str | None, str]:
    """Of the scores ``name``: what their Softmax reads, and what that was before it was moved.

    None without a Softmax, or where something is computed behind it. ``writers``: by tensor the
    operator that writes it and the first tensor that this one reads.
    """
    found = None
    left = dict(writers)
    while name in left:
        op, first = left.pop(name)  # once: a damaged model may go in a circle
        if op == "Softmax":
            found = first or None
        elif op not in MOVES:
            break
        name = first
    return found, name


def _chip(source: Source, binary: Binary, chip: str | None, check: bool, engine: str) -> Form:
    """The program in the simulator, or in the runtime in C."""
    machine = open_machine(binary, chip, engine)
    form = _integers(source, binary, machine.run)
    if not check:
        return form
    golden = golden_reference(binary, None)
    counted = (0, 0)

    def watched(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        nonlocal counted
        tensors: dict[str, Array] = {}
        outputs = machine.run(inputs, tensors.__setitem__)
        counted = golden.compare(inputs, tensors, outputs)[:2]
        return outputs

    observed = _integers(source, binary, watched)

    def checked(picture: Array) -> tuple[Scores, tuple[int, int]]:
        scores = observed.run(picture)
        return scores, counted

    return replace(form, checked=checked)


def _golden(source: Source, binary: Binary, threads: int) -> Form:
    """The compiler's own integer model in ONNX Runtime."""
    from knightlite.inference import golden_session

    path, model = read_golden(binary, source.path, "compile again")
    opened = golden_session(model, threads, called=str(path))

    def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
        return dict(zip(opened.outputs, opened.run(None, inputs), strict=True))

    return _integers(source, binary, run)


def _integers(
    source: Source, binary: Binary, run: Callable[[Mapping[str, Array]], Mapping[str, Array]]
) -> Form:
    """What reads and gives the chip's integers, with the host's share around it."""
    from knightlite.sim.host import dequantize, quantize

    meta = binary.program.meta
    if len(meta.inputs) != 1:
        raise UsageError(
            f"eval feeds pictures to one input, but {source.path} has {len(meta.inputs)}."
        )
    if meta.states:
        raise UsageError(
            f"eval feeds pictures in any order, but {source.path} keeps "
            f"{', '.join(state.input.name for state in meta.states)} from one frame to the next.",
            "`knightlite sim -fc N` and knightlite.Session run its sequences",
        )
    (entry,) = meta.inputs
    finish, first = finisher(binary.program), meta.graph_outputs[0]
    writers = {
        output: (step.op, step.inputs[0] if step.inputs else "")
        for step in meta.host
        for output in step.outputs
    }
    read, delivered = _traced(first, writers)
    logits = [item for item in meta.outputs if read is not None and item.name == delivered]

    def scores(picture: Array) -> Scores:
        outputs = run({entry.name: quantize(picture, entry)})
        finished = finish(outputs)
        every = {name: np.asarray(finished[name]) for name in meta.graph_outputs}
        before = dequantize(outputs[delivered], logits[0]).reshape(-1) if logits else None
        return Scores(every[first].reshape(-1), before, every)

    fed = range_of(entry, meta)
    return Form(source, entry.shape[1:], meta.recipe, bool(logits), scores, None, fed)
