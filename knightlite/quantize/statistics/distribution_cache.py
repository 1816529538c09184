"""``-cd FILE``: what the first pass learnt, kept for the next run on the same model and data.

The file says which float network, which data and which sample size it is of, and holds a hash of
every array that the network was fed with. The second pass feeds the same data again, so that a
cache of other pictures is found out before anything is written. A seal over all of it tells damage.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.array_files import read_arrays
from knightlite.errors import DataError, FormatError
from knightlite.ir import Graph
from knightlite.onnx_models import float_parts
from knightlite.ops.onnx_parts import ModelParts
from knightlite.quantize.data.workload import Forward, Workload
from knightlite.quantize.statistics.observation_plan import observation_plan
from knightlite.quantize.statistics.observers import Histogram, Statistics
from knightlite.quantize.statistics.passes import Observation
from knightlite.quantize.statistics.recording import Recording
from knightlite.reading import json_value

Array = NDArray[Any]
VERSION = 5
REMEDY = "delete the file, or name another one with -cd"
HISTOGRAM = ("positive", "negative", "zeros", "exponent")


@dataclass(slots=True)
class DistributionCache:
    """A cache file's ``name`` and bytes: ``data`` as found (None: there is none), ``made`` to keep.

    ``used`` is True where the first pass was left out.
    """

    name: str
    data: bytes | None
    made: bytes | None = None
    used: bool = False


@dataclass(slots=True)
class WatchedWorkload:
    """A workload that hashes what it feeds; ``digest`` is of the last run."""

    workload: Workload
    digest: str = field(default="", init=False)

    @property
    def description(self) -> str:
        """The workload's."""
        return self.workload.description

    def run(self, forward: Forward) -> float | None:
        """Run the workload with every input hashed."""
        digest = hashlib.sha256()

        def watched(inputs: tuple[Array, ...]) -> Sequence[Array]:
            for item in inputs:
                digest.update(repr(item.shape).encode())
                digest.update(np.ascontiguousarray(item, np.float32).data)
            return forward(inputs)

        metric = self.workload.run(watched)
        self.digest = digest.hexdigest()
        return metric


def observed(
    cache: DistributionCache,
    graph: Graph,
    workload: WatchedWorkload,
    sample_pictures: int,
    observe: Callable[[], Observation],
) -> Observation:
    """The observation in the cache, or that of ``observe``, which the cache then keeps.

    DataError for a cache of another network or other data, FormatError for a damaged one.
    """
    key = {
        "version": VERSION,
        "network": _sha256(float_parts(graph)),
        "data": workload.description,
        "sample": sample_pictures,
    }
    if cache.data is None:
        seen = observe()
        cache.made = _pack(key, workload.digest, seen)
        return seen
    notes, arrays = _unpack(cache)
    for name, what in (
        ("version", "was written by another version"),
        ("data", f"is of other data ({notes['key'].get('data')})"),
        ("sample", "was made with another --effort"),
        # equalization depends on the data and on the method, and changes the network
        ("network", "is of another network, or of the same with other options or other pictures"),
    ):
        if notes["key"].get(name) != key[name]:
            raise DataError(f"distribution cache {cache.name} {what}.", REMEDY)
    cache.used = True
    return Observation(
        {name: _statistics(entry, arrays, index)
         for index, (name, entry) in enumerate(notes["tensors"].items())},
        observation_plan(graph),
        notes["metric"],
        notes["pictures"],
        Recording(),
        tuple(arrays[f"sample_{index}"] for index in range(len(graph.inputs))),
        (),
        {},
        alike=notes["alike"],
    )  # fmt: skip


def check_data(cache: DistributionCache, workload: WatchedWorkload) -> None:
    """DataError where the cache that was used is not of the data that has been run since."""
    if cache.used and _unpack(cache)[0]["digest"] != workload.digest:
        raise DataError(
            f"distribution cache {cache.name} is of other data: {workload.description} does not "
            "feed the arrays that it was made from.",
            REMEDY,
        )


def _sha256(model: ModelParts) -> str:
    digest = hashlib.sha256()
    for piece in model.pieces():
        digest.update(piece)
    return digest.hexdigest()


def _pack(key: dict[str, Any], digest: str, seen: Observation) -> bytes:
    arrays: dict[str, Array] = {f"sample_{i}": item for i, item in enumerate(seen.sample)}
    tensors = {}
    for index, (name, found) in enumerate(seen.statistics.items()):
        tensors[name] = {"count": found.count, "integral": found.integral}
        arrays[f"minimum_{index}"], arrays[f"maximum_{index}"] = found.minimum, found.maximum
        if found.mean is not None:
            arrays[f"mean_{index}"] = found.mean
        if found.second is not None:
            arrays[f"second_{index}"] = found.second
        for part in HISTOGRAM:
            arrays[f"{part}_{index}"] = getattr(found.histogram, part)
            if found.even is not None:
                arrays[f"even_{part}_{index}"] = getattr(found.even, part)
    notes = {"key": key, "digest": digest, "metric": seen.metric, "pictures": seen.pictures,
             "alike": seen.alike, "tensors": tensors}  # fmt: skip
    notes["seal"] = _seal(notes, arrays)
    arrays["notes"] = np.frombuffer(json.dumps(notes).encode(), np.uint8)
    stream = io.BytesIO()
    np.savez_compressed(stream, allow_pickle=False, **arrays)
    return stream.getvalue()


def _unpack(cache: DistributionCache) -> tuple[dict[str, Any], dict[str, Array]]:
    try:
        arrays = read_arrays(cache.data or b"")
        notes: dict[str, Any] = json_value(arrays.pop("notes").tobytes())
        if not {"key", "digest", "metric", "pictures", "tensors"} <= set(notes):
            raise ValueError
        version = notes["key"]["version"]
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(f"{cache.name} is not a distribution cache.", REMEDY) from error
    if version == VERSION and notes.pop("seal", None) != _seal(notes, arrays):
        raise FormatError(f"distribution cache {cache.name} is damaged.", REMEDY)
    return notes, arrays


def _seal(notes: Mapping[str, Any], arrays: Mapping[str, Array]) -> str:
    """A hash of all that a cache holds; its arrays and their names cannot change unseen."""
    digest = hashlib.sha256(json.dumps(notes, sort_keys=True).encode())
    for name, values in sorted(arrays.items()):
        digest.update(f" {name} {values.dtype.str} {values.shape}".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


def _statistics(entry: dict[str, Any], arrays: dict[str, Array], index: int) -> Statistics:
    return Statistics(
        entry["count"],
        arrays[f"minimum_{index}"],
        arrays[f"maximum_{index}"],
        Histogram(*(arrays[f"{part}_{index}"] for part in HISTOGRAM)),
        arrays.get(f"mean_{index}"),
        entry["integral"],
        Histogram(*(arrays[f"even_{part}_{index}"] for part in HISTOGRAM))
        if f"even_positive_{index}" in arrays
        else None,
        arrays.get(f"second_{index}"),
    )
