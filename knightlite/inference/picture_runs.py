"""A model run on several pictures at a time, its results handed on in the order of the pictures.

The layers of a CNN are too small to keep cores busy, pictures are not: on two cores DenseNet-121
takes 41 ms per picture with a core for each of two pictures, 51 ms with both cores on every layer.

Inner values are written into arrays that are kept from run to run. As fresh arrays the tens of
megabytes of a picture would cost a quarter of the run: ONNX Runtime's copy, and a page fault for
every 4 KiB of it.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from knightlite.inference.joining import join_parts
from knightlite.inference.networks import Inputs, Network, Values, checked, opened
from knightlite.inference.sessions import available_cores
from knightlite.onnx_models import batchable

if TYPE_CHECKING:
    import onnxruntime

Array = NDArray[Any]

HELD_BYTES = 256 << 20  # of values that are held at once, about: bounds pictures and their batches
LIVE_FEATURES = 3  # of the largest one's size: what a run needs beside what it delivers


class Outputs(Sequence[Array]):
    """One array per output of a call, waited for when they are looked at."""

    def __init__(self, whole: Future[list[Array]]) -> None:
        """``whole``: the arrays to come."""
        self._whole = whole

    def __getitem__(self, place: Any) -> Any:
        """Wait, then the array; what failed is raised."""
        return self._whole.result()[place]

    def __len__(self) -> int:
        """Wait, then the number of outputs."""
        return len(self._whole.result())


@dataclass(slots=True)
class _Memory:
    """A binding of a session, and where the values of ``held`` tensors of a batch lie."""

    binding: onnxruntime.IOBinding
    batch: int = 0
    held: Values = field(default_factory=dict)


class PictureRuns:
    """Runs of a network; a context that ends when all results are handed on.

    ``held``: delivered tensors whose values are looked at, not kept.
    """

    def __init__(
        self, network: Network, threads: int | None = None, held: Sequence[str] = ()
    ) -> None:
        """``threads`` None: as many as there are cores."""
        graph = network.graph
        cores = threads or available_cores()
        largest = max((tensor.elements for tensor in graph.tensors.values()), default=0)
        delivered = sum(graph.tensors[name].elements for name in held)
        size = 4 * (delivered + LIVE_FEATURES * largest)
        at_once = max(1, min(cores, HELD_BYTES // max(1, size) - 1))
        self._graph = graph
        self._session = opened(network, max(1, cores // at_once))
        # what each tensor is called in the model
        self._names = dict(zip(network.delivered, self._session.outputs, strict=True))
        self._shapes = {name: graph.tensors[name].shape[1:] for name in held}
        self._chunk = max(1, HELD_BYTES // max(1, size * (at_once + 1))) if batchable(graph) else 1
        self._at_once = at_once
        # one set more than there are runs: it is read while they write theirs
        self._free: queue.SimpleQueue[_Memory] = queue.SimpleQueue()
        for _ in range(at_once + 1):
            self._free.put(_Memory(self._session.binding()))
        self._runners = ThreadPoolExecutor(at_once)
        self._reader = ThreadPoolExecutor(1)
        self._failure: BaseException | None = None

    def give(
        self,
        inputs: Inputs,
        join: Callable[[Inputs, Values], list[Array]],
        read: Callable[[Inputs, Values], Values] | None = None,
    ) -> Outputs:
        """Run a batch; returns before it is done, and waits where too much is under way.

        ``read`` is called with the float32 inputs and all that is delivered of each part of the
        batch, by tensor and in order, and may not keep the values of ``held``; None: it returns
        them. What it returns of the parts is joined along the first axis (DataError where that
        cannot be), and ``join`` makes the call's outputs of it and of all inputs. Both run in one
        thread, in the order of the calls. What fails is raised by a later call, or at the end.
        DataError for inputs that do not fit the network.
        """
        # copies: the caller may fill its arrays anew while they are still being read
        arrays = tuple(item.copy() for item in checked(self._graph, inputs))
        count = arrays[0].shape[0]
        step = min(self._chunk, -(-count // self._at_once))
        parts = []
        for first in range(0, count, step):
            part = tuple(item[first : first + step] for item in arrays)
            memory = self._free.get()  # in order: a picture never waits for a later one's
            running = self._runners.submit(self._run, part, memory)
            parts.append(self._reader.submit(self._read, part, memory, running, read))
        whole = self._reader.submit(self._join, arrays, parts, join)
        self._raise_failure()
        return Outputs(whole)

    def _run(self, part: Inputs, memory: _Memory) -> Values:
        batch = part[0].shape[0]
        if memory.batch != batch:
            self._bind(memory, batch)
        for name, values in zip(self._graph.inputs, part, strict=True):
            memory.binding.bind_cpu_input(name, values)
        for name, output in self._names.items():
            if name not in memory.held:  # anew: what the host selects has another shape every time
                memory.binding.bind_output(output, "cpu")
        self._session.run_bound(memory.binding)
        memory.binding.clear_binding_inputs()
        if len(memory.held) == len(self._names):
            return dict(memory.held)
        results = zip(self._names, memory.binding.get_outputs(), strict=True)
        return {
            # a copy: numpy() is a view of what the binding's next run writes to
            name: memory.held[name] if name in memory.held else value.numpy().copy()
            for name, value in results
        }

    def _bind(self, memory: _Memory, batch: int) -> None:
        """Let the outputs of runs of ``batch`` pictures lie in the memory."""
        memory.batch = batch
        for name, output in self._names.items():  # all of them: results come in this order
            if name not in self._shapes:
                memory.binding.bind_output(output, "cpu")
                continue
            shape = (batch, *self._shapes[name])
            values = np.empty(shape, np.float32)
            memory.held[name] = values
            memory.binding.bind_output(output, "cpu", 0, np.float32, shape, values.ctypes.data)

    def _read(
        self,
        part: Inputs,
        memory: _Memory,
        running: Future[Values],
        read: Callable[[Inputs, Values], Values] | None,
    ) -> Values:
        try:
            found = running.result()
            return found if read is None else read(part, found)
        except BaseException as error:
            self._failure = self._failure or error
            raise
        finally:
            self._free.put(memory)

    def _join(
        self,
        arrays: Inputs,
        parts: list[Future[Values]],
        join: Callable[[Inputs, Values], list[Array]],
    ) -> list[Array]:
        try:
            found = [part.result() for part in parts]
            return join(arrays, join_parts(found[0], found))
        except BaseException as error:
            self._failure = self._failure or error
            raise

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def __enter__(self) -> PictureRuns:
        """The object itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Wait for all results; raise what failed, unless an error is on its way already."""
        self._runners.shutdown(cancel_futures=kind is not None)
        self._reader.shutdown()
        if kind is None:
            self._raise_failure()
