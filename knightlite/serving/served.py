"""A network that is served: as many of it as there are workers, each running one request."""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import numpy as np
from numpy.typing import NDArray

from knightlite import limits
from knightlite.api.simulation import CompiledNetwork, NodeArg
from knightlite.errors import DataError, UsageError
from knightlite.serving.protocol import Request, datatype

Array = NDArray[Any]
LOG = logging.getLogger("knightlite.serve")
ORDER_LOOKS = 3  # requests whose numbers are looked at for their order, which costs more
QUIET_S = 60.0  # in which nothing more is said of odd numbers: who sends them may send many
VERSION = "1"
PLATFORM = "knightlite"


@dataclass(frozen=True, slots=True)
class Source:
    """A network to serve: under which name, and its ``.cfg`` or ``.tsmodel``."""

    name: str
    path: Path


class Served:
    """A network under a name; ``turns`` are as many as it runs at a time.

    Errors of opening: as of ``sim``.
    """

    def __init__(self, source: Source, engine: str, workers: int, most_frames: int) -> None:
        self.name = source.name
        self.turns = anyio.CapacityLimiter(workers)
        self._most_frames = most_frames
        self._idle: queue.SimpleQueue[CompiledNetwork] = queue.SimpleQueue()
        for _ in range(workers):
            network = CompiledNetwork(source.path, None, None, engine)
            self._idle.put(network)
        self._inputs, self._outputs = network.inputs(), network.outputs()
        self._has_recipe = network.meta.recipe is not None and len(self._inputs) == 1
        self._looks, self._quiet_until = 0, 0.0
        self._ignored = {*network.meta.declared_inputs} - {item.name for item in self._inputs}

    def metadata(self) -> dict[str, Any]:
        """As the protocol describes a model; -1 is any number of frames."""
        return {
            "name": self.name,
            "versions": [VERSION],
            "platform": PLATFORM,
            "inputs": [_described(item, "FP32") for item in self._inputs],
            "outputs": [_described(item, _datatype(item)) for item in self._outputs],
        }

    @property
    def frame_bytes(self) -> int:
        """Of one frame of all inputs as floats."""
        return sum(4 * int(np.prod(item.shape)) for item in self._inputs)

    def odd(self, network: CompiledNetwork, feeds: Mapping[str, Array]) -> list[str]:
        """What is odd about a feed, of one in :data:`QUIET_S` seconds at most."""
        now = time.monotonic()
        if now < self._quiet_until:
            return []
        self._looks += 1
        found = network.remarks(feeds, self._looks <= ORDER_LOOKS)
        if found:
            self._quiet_until = now + QUIET_S
        return found

    def run(self, request: Request) -> tuple[dict[str, Array], int]:
        """The outputs that a request wants, in its order, and how many frames they are of."""
        names = [item.name for item in self._outputs]
        wanted = names if request.outputs is None else [item.name for item in request.outputs]
        network = self._idle.get()
        try:
            feeds = {
                name: self._fed(network, name, values) for name, values in request.feeds.items()
            }
            network.reset()  # a request is a sequence of its own
            found = network.run(wanted, feeds)
            for sentence in self.odd(network, feeds):
                LOG.warning("%s: %s", self.name, sentence)
        finally:
            self._idle.put(network)
        frames = max(len(values) for values in feeds.values())
        return dict(zip(wanted, found, strict=True)), frames

    def _fed(self, network: CompiledNetwork, name: str, values: Array | tuple[bytes, ...]) -> Array:
        """Arrays as they are; pictures through the recipe of the ``.cfg``."""
        if len(values) > self._most_frames:
            raise UsageError(
                f"input {name} has {len(values)} frames, and at most {self._most_frames} are taken "
                "at a time.",
                "send several requests",
            )
        if not isinstance(values, tuple):
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                raise DataError(f"input {name} holds values that are no numbers.")
            return values
        if not self._has_recipe:
            raise UsageError(
                f"network {self.name} takes no pictures: it was quantized without a recipe, or has "
                "several inputs.",
                "send arrays",
            )
        if name != self._inputs[0].name or not values:
            raise UsageError(f"pictures must be fed to input {self._inputs[0].name}, at least one.")
        most = limits.SERVED_PIXELS
        return np.concatenate([network.prepare(item, None, most) for item in values])


def _described(item: NodeArg, kind: str) -> dict[str, Any]:
    return {"name": item.name, "datatype": kind, "shape": [-1, *item.shape[1:]]}


def _datatype(item: NodeArg) -> str:
    """Of ONNX Runtime's name of a type."""
    word = item.type.removeprefix("tensor(").removesuffix(")")
    return datatype(np.dtype({"float": "float32", "double": "float64"}.get(word, word)))


def sources(given: Sequence[str]) -> tuple[Source, ...]:
    """``NAME=FILE`` or ``FILE``, called after itself; UsageError for a name that is not one.

    Names stand in addresses: letters, digits, ``.``, ``_`` and ``-``.
    """
    found: dict[str, Source] = {}
    for text in given:
        name, sign, path = text.partition("=")
        if not sign or Path(text).exists():
            path = text
            name = Path(text).name.removesuffix(Path(text).suffix).removesuffix("_r")
        if not name or not all(letter.isascii() and (letter.isalnum() or letter in "._-")
                               for letter in name):  # fmt: skip
            raise UsageError(
                f"{name!a} cannot be the name of a network in an address.",
                "name it with letters, digits, . _ and -, as digits=digits_quantize_r.cfg",
            )
        if name in found:
            raise UsageError(
                f"{found[name].path} and {path} would both be served as {name}.",
                f"name one of them, as other={path}",
            )
        found[name] = Source(name, Path(path))
    return tuple(found.values())
