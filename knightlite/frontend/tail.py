"""Which nodes could run on the host: those that no work of the chip follows."""

from __future__ import annotations

from knightlite.frontend.source import SourceModel, SourceNode
from knightlite.ops import host

VIEWS = ("Reshape", "Flatten", "Squeeze", "Unsqueeze")  # a Reshape on the host
SAME = ("Identity", "Dropout", "Cast")
HEAVY = ("Conv", "ConvTranspose", "Gemm", "LSTM", "GRU", "RNN")  # nobody wants them on the host
BUILT_IN = frozenset((*host.KINDS, *VIEWS, *SAME, "Split"))


class Tail:
    """The trailing nodes of a model, by name.

    ``general``: any operator may run on the host (-gp), else those of ``BUILT_IN``.
    """

    def __init__(self, model: SourceModel, general: bool) -> None:
        self.general = general
        self._readers: dict[str, list[SourceNode]] = {}
        self._makers: dict[str, SourceNode] = {}
        for node in model.nodes:
            for name in node.inputs:
                self._readers.setdefault(name, []).append(node)
            for name in node.outputs:
                self._makers[name] = node
        self._model = model
        self.built_in = self._trailing(False)
        self.if_general = self._trailing(True)
        self.nodes = self.if_general if general else self.built_in

    def _trailing(self, general: bool) -> frozenset[str]:
        found: set[str] = set()
        for node in reversed(self._model.nodes):
            if self._may(node, general) and all(
                reader.name in found for reader in self._followers(node)
            ):
                found.add(node.name)
        return frozenset(found)

    def _may(self, node: SourceNode, general: bool) -> bool:
        if node.domain or node.op_type in HEAVY:
            return False
        if node.op_type == "MatMul" and self._model.constants.keys() & set(node.inputs):
            return False
        return general or node.op_type in BUILT_IN

    def _followers(self, node: SourceNode) -> list[SourceNode]:
        return [reader for name in node.outputs if name for reader in self._readers.get(name, ())]

    def advice(self, node: SourceNode) -> str:
        """Whether -gp would help an unsupported node; "" for what must run on the chip itself."""
        if not self._may(node, True):
            return ""
        if node.name in self.if_general:
            return "" if self.general else "-gp runs it and what follows it on the host"
        follower = self._work_behind(node)
        return (
            f"it cannot go to the host (-gp), since it stands between {self._before(node)} and "
            f"{follower.op_type} {follower.name} on the NPU"
        )

    def _work_behind(self, node: SourceNode) -> SourceNode:
        """The nearest follower that must run on the chip."""
        waiting, known = [node], {node.name}
        for current in waiting:
            for follower in self._followers(current):
                if not self._may(follower, True):
                    return follower
                if follower.name not in known:
                    known.add(follower.name)
                    waiting.append(follower)
        raise AssertionError(f"{node.name} is at the end of the network")

    def _before(self, node: SourceNode) -> str:
        for name in node.inputs:
            maker = self._makers.get(name)
            if maker is not None:
                return f"{maker.op_type} {maker.name}"
            if name in self._model.inputs:
                return f"input {name}"
        return "the input"
