"""A float or quantized network run in ONNX Runtime, which only this room imports.

``Runner`` runs a network when it is asked to, ``PictureRuns`` a stream of pictures on all cores,
``NodeRuns`` single nodes; values go by tensor, and what they are for is the caller's. ``session``
opens any other model.
"""

from knightlite.inference.heap import trim_heap
from knightlite.inference.joining import join_parts
from knightlite.inference.networks import (
    Inputs,
    Network,
    Runner,
    Values,
    checked,
    float_network,
    quantized_network,
)
from knightlite.inference.node_runs import NodeRuns, run_node, weights_of
from knightlite.inference.picture_runs import PictureRuns
from knightlite.inference.sessions import Session, available_cores, golden_session, kernels, session

__all__ = [
    "Inputs",
    "Network",
    "NodeRuns",
    "PictureRuns",
    "Runner",
    "Session",
    "Values",
    "available_cores",
    "checked",
    "float_network",
    "golden_session",
    "join_parts",
    "kernels",
    "quantized_network",
    "run_node",
    "session",
    "trim_heap",
    "weights_of",
]
