"""A compiled network that a Python program runs, with the interface of ONNX Runtime's session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from knightlite import limits
from knightlite.api.models.binary import File, open_binary
from knightlite.api.models.compiled import CompiledModel
from knightlite.api.models.machines import open_machine, run_frames
from knightlite.api.simulation.fed import looked_at, preparation, range_of, remark
from knightlite.api.simulation.frames import picture
from knightlite.api.simulation.host import blob_names, finisher
from knightlite.api.simulation.order import order_remark
from knightlite.errors import DataError, UsageError
from knightlite.frames import are_frames, with_frames
from knightlite.options.shared import ENGINES, NUMPY

if TYPE_CHECKING:
    from knightlite.container import StoredTensor

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class NodeArg:
    """An input or output. ``shape``: of one frame, N = 1; ``type``: as "tensor(float)".

    A shape that depends on the values (of what ONNX Runtime selects) is that of a frame of zeros.

    ``integer_type`` ("int8", ...) and ``scale`` say how the chip stores it: value = integer *
    scale, a number or one per channel. Both are None for an output that the host computes.
    """

    name: str
    shape: tuple[int, ...]
    type: str
    integer_type: str | None
    scale: float | tuple[float, ...] | None


class CompiledNetwork:
    """A machine with a program in it, fed and read like an ONNX Runtime session."""

    def __init__(
        self,
        compiled: File | CompiledModel,
        weight: File | None,
        chip: str | None,
        engine: str = NUMPY,
    ) -> None:
        if engine not in ENGINES:
            raise UsageError(f"the engine must be {' or '.join(ENGINES)}, not {engine}.")
        binary = open_binary(compiled, weight)
        self.binary = binary
        self.meta = binary.program.meta
        self.machine = open_machine(binary, chip, engine)
        self._finish = finisher(binary.program)

    def inputs(self) -> list[NodeArg]:
        """The network's inputs, in order."""
        return [_stored(entry, entry.name) for entry in self.meta.inputs]

    def outputs(self) -> list[NodeArg]:
        """The network's outputs as ``run`` gives them, behind the host's operators."""
        zeros = {
            entry.name: np.zeros(entry.shape, entry.dtype.numpy) for entry in self.meta.outputs
        }
        stored = {item.name: item for item in self.integer_outputs()}
        found = []
        for name, values in self._finish(zeros).items():
            item = stored.get(name)
            scale = item.scale if item is not None else None
            kind = item.integer_type if item is not None else None
            found.append(NodeArg(name, values.shape, _onnx_type(values.dtype), kind, scale))
        return found

    def integer_outputs(self) -> list[NodeArg]:
        """What the chip itself delivers; named as the output where the host only reshapes it."""
        names = blob_names(self.meta)
        return [
            replace(_stored(entry, name), type=f"tensor({entry.dtype.numpy})")
            for entry in self.meta.outputs
            for name in names[entry.name]
        ]

    def run(self, output_names: Sequence[str] | None, feed: Mapping[str, Any]) -> list[Array]:
        """Float outputs of all frames, [N, ...] each; see ``knightlite.Session.run``."""
        known = list(self.meta.graph_outputs)
        wanted = known if output_names is None else list(output_names)
        unknown = [name for name in wanted if name not in known]
        if unknown:
            raise UsageError(
                f"the network has no output {unknown[0]}.", f"its outputs are {', '.join(known)}"
            )
        frames = [self._finish(found) for found in run_frames(self.machine, self._frames(feed))]
        return [_joined(name, [frame[name] for frame in frames]) for name in wanted]

    def reset(self) -> None:
        """The next frame is the first of a sequence, where states stay between frames."""
        self.machine.reset()

    def run_integers(self, feed: Mapping[str, Any]) -> dict[str, Array]:
        """The chip's own outputs, [N, C, H, W] integers by name as ``integer_outputs`` has them."""
        names = blob_names(self.meta)
        frames = run_frames(self.machine, self._frames(feed))
        return {
            name: np.concatenate([frame[entry.name] for frame in frames])
            for entry in self.meta.outputs
            for name in names[entry.name]
        }

    def ignored(self, feed: Mapping[str, Any]) -> list[str]:
        """What a feed holds for inputs that the model declares and nothing reads."""
        return [name for name in feed if name not in {entry.name for entry in self.meta.inputs}]

    def remarks(self, feed: Mapping[str, Any], order: bool = True) -> list[str]:
        """What is odd about a feed that ``run`` takes; none where nothing is.

        ``order``: whether the order of numbers is looked at too, which takes longer. A feed of one
        number everywhere is not odd: programs warm up with it.
        """
        found = []
        for entry in self.meta.inputs:
            values = np.asarray(feed[entry.name])
            wanted = with_frames(values.shape, entry.shape[1:])
            if wanted is None:
                continue
            frames = values.reshape(wanted)
            some = [frames[at : at + 1] for at in looked_at(len(frames))]
            if values.dtype.kind == "f":
                found.append(remark(some, range_of(entry, self.meta), blank=False))
            found.append(order_remark(some, entry.name, None) if order else None)
        return [item for item in found if item is not None]

    def turned(self, path: Path) -> str:
        """That a picture is marked to be shown turned, which ``prepare`` does not do; else ""."""
        from knightlite.preprocess import turned_remark

        return turned_remark(path)

    def prepare(
        self,
        source: Path | bytes | Array,
        recipe: str | None,
        most_pixels: int = limits.PICTURE_PIXELS,
    ) -> Array:
        """A picture as the network's only input reads it, float32 [1, C, H, W].

        ``source``: a file, its bytes, or pixels.
        """
        return picture(source, self.meta, recipe, most_pixels)

    def _frames(self, feed: Mapping[str, Any]) -> list[dict[str, Array]]:
        """The feed as input integers, one dictionary per frame."""
        entries = self.meta.inputs
        names = [entry.name for entry in entries]
        if not isinstance(feed, Mapping):
            raise UsageError(
                f"the feed must map names of inputs to arrays, not be of type "
                f"{type(feed).__name__}.",
                f'as {{"{names[0]}": array}}',
            )
        if not set(names) <= set(feed) <= {*names, *self.meta.declared_inputs}:
            raise UsageError(
                f"the feed must have the inputs {', '.join(names)}, not "
                f"{', '.join(map(str, feed)) or 'none'}."
            )
        recipe = self.meta.recipe
        arrays = {entry.name: _fed(feed[entry.name], entry, recipe) for entry in entries}
        counts = {name: len(values) for name, values in arrays.items()}
        if len(set(counts.values())) != 1:
            listed = ", ".join(f"{count} of {name}" for name, count in counts.items())
            raise DataError(f"all inputs must have equally many frames, not {listed}.")
        return [
            {name: values[number : number + 1] for name, values in arrays.items()}
            for number in range(counts[names[0]])
        ]


def _joined(name: str, frames: Sequence[Array]) -> Array:
    """An output of all frames; DataError where the host left it no axis that counts frames."""
    if len(frames) == 1:
        return frames[0]
    for values in frames:
        if values.shape[:1] != (1,) or values.shape != frames[0].shape:
            raise DataError(
                f"output {name} must have one shape (1, ...) in every frame for several to be "
                f"joined, not {values.shape}.",
                "run one frame at a time",
            )
    return np.concatenate(frames)


def _fed(value: Any, entry: StoredTensor, recipe: str | None) -> Array:
    """An array of frames as integers [N, C, H, W]: floats are quantized, the stored type kept."""
    from knightlite.sim.host import quantize

    name, stored = entry.name, entry.dtype.numpy
    values = np.asarray(value)
    if values.dtype.kind != "f" and values.dtype != stored:
        raise DataError(
            f"input {name} must be floats or {stored}, not {values.dtype}.", preparation(recipe)
        )
    shape = entry.shape[1:]
    wanted = with_frames(values.shape, shape)
    if wanted is None:
        raise DataError(
            f"input {name} must have shape (N, {', '.join(map(str, shape))}), not {values.shape}.",
            "array.transpose(0, 3, 1, 2) has channels first"
            if are_frames(values.shape, (*shape[1:], shape[0]))
            else "array.transpose(2, 0, 1)[None] has channels first, and is a batch of one"
            if values.shape == (*shape[1:], shape[0])
            else "the first axis counts frames: array[None] makes one frame a batch of one",
        )
    frames = values.reshape(wanted)
    if frames.dtype == stored:
        return frames
    counted = len(frames) > 1
    return np.concatenate(
        [quantize(frame[None], entry, at if counted else None) for at, frame in enumerate(frames)]
    )


def _stored(entry: StoredTensor, name: str) -> NodeArg:
    return NodeArg(name, entry.shape, "tensor(float)", str(entry.dtype.numpy), entry.scale)


def _onnx_type(dtype: np.dtype[Any]) -> str:
    """As ONNX Runtime names it: C's words for the two usual floating types."""
    return f"tensor({ {'float32': 'float', 'float64': 'double'}.get(str(dtype), str(dtype)) })"
