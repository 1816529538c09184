"""Single operators of a float network, computed for a few pictures at a time on every core."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from knightlite.ir import Graph, Node
from knightlite.quantize.onnx_models import session, write_node_model
from knightlite.quantize.picture_runs import available_cores

if TYPE_CHECKING:
    import onnxruntime

Array = NDArray[Any]
Item = TypeVar("Item")
Result = TypeVar("Result")


class NodeRuns:
    """Runs of nodes of ``graph``. One session per node, made when first needed and kept."""

    def __init__(self, graph: Graph, threads: int | None = None) -> None:
        """``threads``: calls at once, None for as many as there are cores."""
        self._graph = graph
        self._threads = threads or available_cores()
        self._sessions: dict[tuple[str, bool], onnxruntime.InferenceSession] = {}
        self._making = threading.Lock()
        self._pool = ThreadPoolExecutor(self._threads)

    def compute(
        self,
        node: Node,
        inputs: Sequence[Array],
        weights: Sequence[Array],
        bias: bool | None = None,
    ) -> Array:
        """The float node of ``inputs`` [n, C, H, W], without its activation if it has weights.

        ``bias``: whether the last of the weights is one; None: where there are two.
        """
        key = node.output, len(weights) > 1 if bias is None else bias
        with self._making:
            if key not in self._sessions:
                model = write_node_model(self._graph, node, key[1])
                self._sessions[key] = session(model, 1, lean=True)
        found = self._sessions[key]
        names = [item.name for item in found.get_inputs()]
        feeds = dict(zip(names, (*inputs, *weights), strict=True))
        return np.asarray(found.run(None, feeds)[0])

    def side_by_side(
        self, function: Callable[[Item], Result], items: Iterable[Item]
    ) -> Iterator[Result]:
        """What ``function`` returns for every item, in order.

        Few results are ahead of the one that is looked at. ``function`` may not call this itself.
        """
        ahead: deque[Future[Result]] = deque()
        for item in items:
            ahead.append(self._pool.submit(function, item))
            if len(ahead) > self._threads:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
