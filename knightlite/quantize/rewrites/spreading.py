"""A requantize per channel in front of depthwise convolutions whose input has one scale.

A table has one scale for all channels. Where a depthwise convolution reads it, a quiet channel
beside a loud one has few codes, and the convolution's weights make up for it: the rounding errors
grow with them (YOLOX-nano: by 20 dB from the first SiLU to the second). The table writes 16 bits
instead, and an Affine with gain 1 in front of the matrix engine brings every channel to 8 bits at a
scale of its own.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from knightlite.ir import Graph, Node, Tensor
from knightlite.ops import BY_NAME
from knightlite.quantize.groups import reads_per_channel, scale_groups, writes_wide

SUFFIX = "/channels"


def spread_channels(graph: Graph) -> Graph:
    """The float graph with an Affine of gain 1 before each depthwise convolution that needs it.

    It does where tables make the input (one scale for all channels), they can write 16 bits, and
    only such convolutions read it.
    """
    places: dict[str, tuple[Node, ...]] = {}  # tensor -> its readers
    producers, consumers = graph.producers(), graph.consumers()
    for group in scale_groups(graph):
        (name, *others) = group.members
        readers = tuple(consumers.get(name, ()))
        if (
            not others
            and readers
            and name not in graph.chip_outputs
            and name in producers
            and BY_NAME[producers[name].op].lookup is not None
            and writes_wide(graph, group)
            and all(reads_per_channel(graph, node, name) for node in readers)
        ):
            places[name] = readers
    return _with_affines(graph, places) if places else graph


def _with_affines(graph: Graph, places: dict[str, tuple[Node, ...]]) -> Graph:
    """Each reader has an Affine of its own, which runs in one chain with it."""
    inserted: dict[str, Node] = {}  # reader -> its Affine
    tensors, constants = dict(graph.tensors), dict(graph.constants)
    for name, readers in places.items():
        channels = graph.tensors[name].shape[1]
        for index, reader in enumerate(readers):
            output = f"{name}{SUFFIX}" + (f"_{index + 1}" if index else "")
            gain, offset = f"{output}.gain", f"{output}.offset"
            constants[gain] = np.ones(channels, np.float32)
            constants[offset] = np.zeros(channels, np.float32)
            tensors[output] = replace(graph.tensors[name], name=output)
            for constant in (gain, offset):
                tensors[constant] = Tensor(constant, (channels,), graph.tensors[name].dtype)
            inserted[reader.name] = Node(output, "Affine", (name, gain, offset), (output,))
    nodes: list[Node] = []
    for node in graph.nodes:
        affine = inserted.get(node.name)
        if affine is None:
            nodes.append(node)
            continue
        inputs = (affine.output, *node.inputs[1:])
        nodes += [affine, replace(node, inputs=inputs)]
    return replace(graph, nodes=tuple(nodes), tensors=tensors, constants=constants)
