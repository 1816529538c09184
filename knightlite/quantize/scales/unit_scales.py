"""A network in the types that it will have, before anything is measured: for what sizes decide."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from knightlite import dtypes
from knightlite.ir import Graph, Node, Tensor
from knightlite.ops import BY_NAME
from knightlite.quantize.groups import scale_groups
from knightlite.quantize.scales.feature_choice import fixed_output
from knightlite.quantize.scales.features import BY_DEFINITION, Feature, quantized_tensor
from knightlite.quantize.scales.quantized_nodes import Constants, quantized_conv
from knightlite.quantize.scales.weights import QuantizedWeights
from knightlite.quantize.scales.widths import choose_widths, delivered_wide, is_wide
from knightlite.quantize.settings import DEFAULT_SETTINGS, Settings
from knightlite.quantize.statistics.observation_plan import observation_plan


def with_unit_scales(graph: Graph, settings: Settings = DEFAULT_SETTINGS) -> Graph:
    """The float graph in the types of the settings, scales 1 where no definition says otherwise.

    Weights and biases are zeros: no accumulator can overflow, whatever the network's are.
    """
    widths = choose_widths(graph, settings)
    nonnegative = observation_plan(graph).nonnegative
    tensors: dict[str, Tensor] = {}
    for index, group in enumerate(scale_groups(graph)):
        dtype, scale = dtypes.U8 if nonnegative.issuperset(group.members) else dtypes.S8, 1.0
        wide = is_wide(widths, group.members)
        if wide or delivered_wide(graph, group):
            dtype = dtypes.S16
        dtype, scale = fixed_output(graph, group, wide) or (dtype, scale)
        for name in group.members:
            feature = Feature(name, dtype, np.asarray(np.float32(scale)), index, BY_DEFINITION)
            tensors[name] = quantized_tensor(graph, feature)
    constants = Constants(graph, tensors)
    nodes = tuple(
        quantized_conv(node, _zeros(graph, node, node.name in widths.weights16), constants)
        if BY_NAME[node.op].kernel is not None
        else constants.kept(node)
        for node in graph.nodes
    )
    return replace(graph, nodes=nodes, tensors=tensors, constants=constants.values)


def _zeros(graph: Graph, node: Node, wide: bool) -> QuantizedWeights:
    weights = np.zeros(graph.constants[node.inputs[1]].shape, np.int16 if wide else np.int8)
    ones = np.ones(len(weights), np.float32)
    bias = np.zeros(len(weights), np.int32) if len(node.inputs) > 2 else None
    return QuantizedWeights(weights, ones, bias, ones, (), None)
