"""The narrow waist: a small typed graph shared by front-end, quantizer and compiler."""

from knightlite.ir.builder import GraphBuilder
from knightlite.ir.graph import Attribute, ChannelStatistics, Graph, HostOp, Node, State, Tensor
from knightlite.ir.verify import verify

__all__ = [
    "Attribute",
    "ChannelStatistics",
    "Graph",
    "GraphBuilder",
    "HostOp",
    "Node",
    "State",
    "Tensor",
    "verify",
]
