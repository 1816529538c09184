"""Single operators of a float network, computed for a few pictures at a time on every core."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import Any, TypeVar

from numpy.typing import NDArray

from knightlite.inference.sessions import Session, available_cores, session
from knightlite.ir import Graph, Node
from knightlite.onnx_models import write_node_model
from knightlite.ops import BY_NAME

Array = NDArray[Any]
Item = TypeVar("Item")
Result = TypeVar("Result")


FITTED_VALUES = 1 << 14  # of a kernel per channel: a session of its own costs less than its runs


@lru_cache(maxsize=256)  # some 60 KiB each
def _opened(model: bytes) -> Session:
    """The session of a node's model, which holds no weights: a step's next walk needs it again."""
    return session(model, 1, pooled=True)


class NodeRuns:
    """Runs of nodes of ``graph``. One session per node, kept once it is made.

    Sessions are made before any values: between these they would keep a heap from giving freed ones
    back (YOLOX-nano's steps took 1.15 GiB so, and take 0.66).
    """

    def __init__(self, graph: Graph, threads: int | None = None) -> None:
        """``threads``: calls at once, None for as many as there are cores."""
        self._graph = graph
        self._threads = threads or available_cores()
        self._sessions: dict[tuple[str, bool], Session] = {}
        self._pool = ThreadPoolExecutor(self._threads)

    def prepare(self, *graphs: Graph) -> None:
        """Make the sessions for the nodes as they are in each of ``graphs``, with bias or without.

        They are ``graph`` and what quantization made of it, nodes in the same order.
        """
        for other in graphs:
            for node, same in zip(self._graph.nodes, other.nodes, strict=True):
                key = node.output, len(weights_of(same)) > 1
                if key in self._sessions or (self._fits(node) and node is not same):
                    continue
                own = [self._graph.constants[name] for name in weights_of(node)]
                model = write_node_model(self._graph, node, key[1], own if self._fits(node) else ())
                self._sessions[key] = _opened(model.SerializeToString(deterministic=True))

    def layer(
        self, node: Node, weights: Sequence[Array] | None = None
    ) -> Callable[[Sequence[Array]], Array]:
        """What computes the float node of inputs [n, C, H, W], without its activation.

        ``weights``: others than its own, and a bias where there are two. ``prepare`` has seen it
        with as many.
        """
        own = [self._graph.constants[name] for name in weights_of(node)]
        given = own if weights is None else weights
        if not self._fits(node):
            opened = self._sessions[node.output, len(given) > 1]
            return lambda inputs: _run(opened, inputs, given)
        if weights is None:
            fitted = self._sessions[node.output, len(own) > 1]
        else:
            model = write_node_model(self._graph, node, len(given) > 1, given)
            fitted = session(model, 1, pooled=True)
        return lambda inputs: _run(fitted, inputs, ())

    def _fits(self, node: Node) -> bool:
        """Whether a node's sessions hold its weights: kernels per channel run twice as fast so."""
        if BY_NAME[node.op].kernel is None or node.attributes.get("group", 1) == 1:
            return False
        return self._graph.constants[node.inputs[1]].size <= FITTED_VALUES

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


def run_node(
    graph: Graph, node: Node, inputs: Sequence[Array], threads: int | None = None
) -> Array:
    """One node of ``graph`` once, on its features [n, C, H, W], with its own weights and bias.

    Without its activation if it has weights. ``threads`` work on the one operator; nothing is kept.
    """
    names = weights_of(node)
    opened = session(write_node_model(graph, node, len(names) > 1), threads)
    return _run(opened, inputs, [graph.constants[name] for name in names])


def _run(opened: Session, inputs: Sequence[Array], weights: Sequence[Array]) -> Array:
    (value,) = opened.run(None, dict(zip(opened.inputs, (*inputs, *weights), strict=True)))
    return value


def weights_of(node: Node) -> tuple[str, ...]:
    """The names of a node's weights and bias; none where it multiplies by none."""
    return node.inputs[1:] if BY_NAME[node.op].kernel is not None else ()
