"""A network of several frames at once is read as one of a single frame, where that is the same.

A batch that is written into a file says nothing of what its frames have to do with each other.
So both networks are run on random numbers: where every frame gives alone what it gives among the
others, the network of one frame is what the user means. Where that cannot be told it stays as it
is, and the sentence about its input says how to ask for one frame.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite import limits
from knightlite.errors import Finding, KnightliteError
from knightlite.frontend.element_types import INTEGERS
from knightlite.frontend.macs import node_macs
from knightlite.frontend.source import Shape, SourceModel
from knightlite.frontend.source_onnx import write_source
from knightlite.frontend.views import FLOATS

Array = NDArray[Any]
Read = Callable[[Mapping[str, Shape]], SourceModel]
PICTURES = 4  # axes of a batch of pictures
OTHERS = (2, 3)  # of vectors and signals, where an operator says so
BY_FRAME = frozenset(
    {
        "AveragePool", "BatchNormalization", "Conv", "ConvTranspose", "Gemm", "GlobalAveragePool",
        "GlobalMaxPool", "LRN", "MatMul", "MaxPool",
    }
)  # fmt: skip
"""Operators of ONNX whose first axis is the batch, or rows that do not know each other."""
MOST_WORK = 1 << 37  # products and elements: some seconds
ALIKE = 1e-3  # of the largest value: what float16 and another order of sums leave
SEED = 1


def one_by_one(model: SourceModel, read: Read) -> SourceModel:
    """``model``, or the same file for one frame; ``read``: it with other shapes of its inputs."""
    shapes = {name: model.shapes.get(name, ()) for name in model.read_inputs}
    by_frame = any(node.op_type in BY_FRAME for node in model.nodes)
    axes = (PICTURES, *OTHERS) if by_frame else (PICTURES,)
    counts = {shape[0] if len(shape) in axes else 1 for shape in shapes.values()}
    count = min(counts, default=1)
    if len(counts) != 1 or count < 2 or not _affordable(model):
        return model
    try:
        single = read({name: (1, *shape[1:]) for name, shape in shapes.items()})
        same = _same_alone(model, single, count)
    except KnightliteError:  # the file holds together with its own batch only
        return model
    if same is None:
        return model
    if not same:
        return replace(model, mixes_frames=True)
    named = ", ".join(shapes)
    sentence = (
        f"the network takes {count} frames at once, here one: on random numbers each gives alone "
        f"what it gives among {count}."
    )
    told = Finding(named, sentence, "feed one frame at a time", "warning")
    return replace(single, warnings=(*model.warnings, told))


def _affordable(model: SourceModel) -> bool:
    weights = sum(values.nbytes for values in model.constants.values())
    work = sum(node_macs(model, node) for node in model.nodes)
    work += sum(map(prod, model.shapes.values()))
    return weights <= limits.GIB and work <= MOST_WORK


def _same_alone(model: SourceModel, single: SourceModel, count: int) -> bool | None:
    """Whether frames give the same in both networks; None where that cannot be told."""
    for name in model.outputs:
        shape = model.shapes.get(name, ())
        if shape[:1] != (count,) or single.shapes.get(name) != (1, *shape[1:]):
            return None
    feeds = random_feeds(model)
    if feeds is None:
        return None
    together = _run(model, [feeds])
    alone = _run(single, [_frame(feeds, index) for index in range(count)])
    pairs = [(values, alone[name]) for name, values in together.items()]
    if any(not _tells(values) for values, _ in pairs):
        return None
    return all(_alike(values, other) for values, other in pairs)


def random_feeds(model: SourceModel) -> dict[str, Array] | None:
    """Numbers for every input that is read; None where one is of another type."""
    rng = np.random.default_rng(SEED)
    feeds: dict[str, Array] = {}
    for name in model.read_inputs:
        element, shape = model.types.get(name, 0), model.shapes[name]
        if element in FLOATS:
            feeds[name] = rng.normal(0, 1, shape).astype(_numpy_type(element))
        elif element in INTEGERS:
            feeds[name] = rng.integers(0, 128, shape).astype(_numpy_type(element))
        else:
            return None
    return feeds


def _numpy_type(element: int) -> np.dtype[Any]:
    from onnx import helper

    return np.dtype(helper.tensor_dtype_to_np_dtype(element))


def _frame(feeds: Mapping[str, Array], index: int) -> dict[str, Array]:
    return {name: values[index : index + 1] for name, values in feeds.items()}


def _run(model: SourceModel, frames: list[dict[str, Array]]) -> dict[str, Array]:
    """All outputs by name, of one frame behind the other. ModelError where it does not run."""
    from knightlite.inference import session

    opened = session(write_source(model), lean=True, called=f"network {model.name}")
    found = [opened.run(list(model.outputs), feeds) for feeds in frames]
    return {
        name: np.concatenate(values)
        for name, values in zip(model.outputs, zip(*found, strict=True), strict=True)
    }


def _tells(values: Array) -> bool:
    """Whether an output would show that frames were mixed or exchanged."""
    if values.dtype.kind != "f":
        return True
    return bool(np.isfinite(values).all() and all((item != values[0]).any() for item in values[1:]))


def _alike(values: Array, other: Array) -> bool:
    if values.dtype.kind != "f":  # places and classes: few may turn over where two are as good
        return bool(np.mean(values != other) <= ALIKE)
    return bool(np.abs(values - other).max() <= ALIKE * np.abs(values).max())
