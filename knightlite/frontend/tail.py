"""Which nodes could run on the host: those that no work of the chip follows."""

from __future__ import annotations

from typing import Any, NamedTuple

from numpy.typing import NDArray

from knightlite.frontend.source import SourceModel, SourceNode
from knightlite.ops import host

Array = NDArray[Any]

VIEWS = ("Reshape", "Flatten", "Squeeze", "Unsqueeze")  # a Reshape on the host
SAME = ("Identity", "Dropout", "Cast")
HEAVY = ("Conv", "ConvTranspose", "Gemm", "LSTM", "GRU", "RNN")  # nobody wants them on the host
BUILT_IN = frozenset((*host.KINDS, *VIEWS, *SAME, "Split"))


class WeightedSum(NamedTuple):
    """``sum(x * weights) + bias`` along one axis: weights shaped to broadcast against x."""

    axis: int
    weights: Array
    bias: Array | None
    keepdims: bool


def weighted_sum(node: SourceNode, model: SourceModel) -> WeightedSum | None:
    """What a 1x1 Conv or a MatMul with a single output channel computes; None for all others.

    Decoders end in it: the mean of a distribution over bins. It is no more work than a Mul and a
    ReduceSum.
    """
    weights = model.constants.get(node.inputs[1]) if len(node.inputs) > 1 else None
    if weights is None or node.inputs[0] in model.constants:
        return None
    if node.op_type == "MatMul" and weights.ndim in (1, 2) and weights.size == len(weights):
        seen = model.shapes.get(node.inputs[0], ())
        return WeightedSum(len(seen) - 1, weights.reshape(-1), None, weights.ndim == 2)
    if node.op_type != "Conv" or weights.ndim != 4 or weights.shape != (1, weights.shape[1], 1, 1):
        return None
    moved = (*node.attributes.get("pads", ()), *(n - 1 for n in node.attributes.get("strides", ())))
    if any(moved) or node.attributes.get("group", 1) != 1:
        return None
    bias = None
    if len(node.inputs) > 2 and node.inputs[2]:
        bias = model.constants.get(node.inputs[2])
        if bias is None:
            return None
    return WeightedSum(1, weights, bias, True)


class Tail:
    """The trailing nodes of a model, by name.

    ``general``: any operator may run on the host (-gp), else those of ``BUILT_IN``. ``hosting``:
    False where none shall.
    """

    def __init__(self, model: SourceModel, general: bool, hosting: bool = True) -> None:
        self.general, self.hosting = general, hosting
        self._readers: dict[str, list[SourceNode]] = {}
        for node in model.nodes:
            for name in node.inputs:
                self._readers.setdefault(name, []).append(node)
        self._model = model
        self.built_in = self._trailing(False)
        # a Softmax goes there even where the chip could, but for what the chip does well behind it
        self.better = self._trailing(False, sums=False)
        self.if_general = self._trailing(True)
        self.nodes = self.if_general if general else self.built_in
        if not hosting:
            self.nodes = self.better = frozenset()

    def _trailing(self, general: bool, sums: bool = True) -> frozenset[str]:
        found: set[str] = set()
        for node in reversed(self._model.nodes):
            if self.may(node, general, sums) and all(
                reader.name in found for reader in self._followers(node)
            ):
                found.add(node.name)
        return frozenset(found)

    def may(self, node: SourceNode, general: bool = True, sums: bool = True) -> bool:
        """Whether the host may compute a node at the end of a network."""
        if node.domain:
            return False
        if sums and weighted_sum(node, self._model) is not None:
            return True
        if node.op_type in HEAVY:
            return False
        if node.op_type == "MatMul" and self._model.constants.keys() & set(node.inputs):
            return False
        return general or node.op_type in BUILT_IN

    def _followers(self, node: SourceNode) -> list[SourceNode]:
        return [reader for name in node.outputs if name for reader in self._readers.get(name, ())]
