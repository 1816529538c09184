"""A graph as a network that ONNX Runtime runs, its inputs in order, its values by tensor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from knightlite.errors import DataError
from knightlite.frames import with_frames
from knightlite.inference.chains import Chain
from knightlite.inference.joining import join_parts
from knightlite.inference.sessions import Session, session
from knightlite.inference.stretches import stretches
from knightlite.ir import Graph
from knightlite.ir.large import let_go
from knightlite.onnx_models import batchable, float_parts, qdq_parts
from knightlite.ops import host
from knightlite.ops.onnx_parts import ModelParts

if TYPE_CHECKING:
    import onnx

Array = NDArray[Any]
Inputs = tuple[Array, ...]
"""Float32, one array [n, C, H, W] per network input."""

Values = dict[str, Array]
"""By tensor, float32 [n, ...]."""

_NOTHING: Mapping[str, Array] = {}


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """A model that does what ``graph`` does; ``delivered``: the tensor that each output is.

    ``model``: of large networks the models of their stretches, in order.
    """

    graph: Graph
    model: onnx.ModelProto | ModelParts | tuple[Network, ...]
    delivered: tuple[str, ...]


def float_network(graph: Graph, watched: Sequence[str] = ()) -> Network:
    """The float network; ``watched``: feature tensors, no inputs, delivered behind the outputs."""
    return _network(graph, watched, lambda part, more: float_parts(part, more, checked=False))


def quantized_network(graph: Graph, watched: Sequence[str] = ()) -> Network:
    """The QDQ network of a quantized graph; ``watched``: tensors delivered as real numbers."""
    return _network(graph, watched, lambda part, more: qdq_parts(part, {}, more, checked=False))


def _network(
    graph: Graph, watched: Sequence[str], write: Callable[[Graph, Sequence[str]], ModelParts]
) -> Network:
    delivered = tuple(dict.fromkeys((*graph.outputs, *watched)))
    found = stretches(graph, delivered)
    if len(found) == 1:
        return Network(graph, write(graph, watched), delivered)
    parts = tuple(
        Network(item.graph, write(item.graph, item.delivered), item.delivered) for item in found
    )
    return Network(graph, parts, delivered)


def opened(network: Network, threads: int | None, *, lean: bool = False) -> Session | Chain:
    """The network in ONNX Runtime. ``threads``, ``lean``: of a session."""
    foreign = host.needs_onnx_runtime(network.graph)  # operators as the model's file has them
    called = f"network {network.graph.name}" if foreign else ""
    if not isinstance(network.model, tuple):
        return session(network.model, threads, lean=lean, called=called)
    links = []
    for part in network.model:
        assert not isinstance(part.model, tuple)
        links.append(
            (
                part.graph.inputs,
                part.delivered,
                session(part.model, threads, lean=lean, called=called),
            )
        )
        let_go()
    return Chain(links, network.delivered)


class Runner:
    """A network in a session, run when it is asked for, with all cores on each operator.

    :class:`PictureRuns` is faster where there are many pictures.
    """

    def __init__(
        self,
        network: Network,
        threads: int | None = None,
        *,
        at_once: int = 1,
        lean: bool = False,
    ) -> None:
        """``at_once``: pictures that ``outputs`` and ``values`` run, where they can be batched.

        ``threads``, ``lean``: the session's.
        """
        self._graph, self._delivered = network.graph, network.delivered
        self._at_once = at_once if batchable(network.graph) else 1
        self._session = opened(network, threads, lean=lean)

    def run(self, inputs: Inputs, more: Mapping[str, Array] = _NOTHING) -> Values:
        """All that is delivered; ``more``: further inputs of the model, by name."""
        feeds = dict(zip(self._graph.inputs, inputs, strict=True))
        found = self._session.run(None, {**feeds, **more})
        return dict(zip(self._delivered, found, strict=True))

    def outputs(
        self, inputs: Inputs, each: Callable[[Inputs, Values], None] | None = None
    ) -> list[Array]:
        """The network's outputs of any number of pictures, which :func:`checked` checks.

        ``each`` sees every part that was run, and all that is delivered of it.
        """
        return list(self._joined(inputs, self._graph.outputs, each).values())

    def values(self, inputs: Inputs) -> Values:
        """All that is delivered of any number of pictures, which :func:`checked` checks."""
        return self._joined(inputs, self._delivered, None)

    def _joined(
        self,
        inputs: Inputs,
        names: Sequence[str],
        each: Callable[[Inputs, Values], None] | None,
    ) -> Values:
        arrays = checked(self._graph, inputs)
        kept = []
        for first in range(0, len(arrays[0]), self._at_once):
            part = tuple(item[first : first + self._at_once] for item in arrays)
            found = self.run(part)
            if each is not None:
                each(part, found)
            kept.append({name: found[name] for name in names})
        return join_parts(names, kept)


def checked(graph: Graph, inputs: Inputs) -> Inputs:
    """Contiguous float32 arrays [N, C, H, W], one per input of ``graph``; DataError otherwise."""
    names = graph.inputs
    if len(inputs) != len(names):
        raise DataError(
            f"the network has {len(names)} inputs ({', '.join(names)}), "
            f"but the data gave {len(inputs)} arrays."
        )
    arrays = [np.ascontiguousarray(item, dtype=np.float32) for item in inputs]
    for index, (name, array) in enumerate(zip(names, arrays, strict=True)):
        shape = graph.tensors[name].shape
        frames = with_frames(array.shape, shape[1:])
        if frames is None:
            raise DataError(
                f"input {name} must have shape [N, {', '.join(map(str, shape[1:]))}], "
                f"not {list(array.shape)}.",
                "check the preprocessing: sizes, channel order (NCHW) and the batch axis",
            )
        if not np.all(np.isfinite(array)):
            raise DataError(
                f"input {name} must hold finite numbers, but the data holds NaN or infinity.",
                "check the calibration data and its preprocessing",
            )
        arrays[index] = array.reshape(frames)
    if len({array.shape[0] for array in arrays}) != 1:
        raise DataError("all inputs must have the same batch size.")
    return tuple(arrays)
