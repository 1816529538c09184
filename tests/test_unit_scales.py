"""A network in its types before anything is measured."""

from __future__ import annotations

from float_nets import small_net
from knightlite.ir import Graph, verify
from knightlite.ops import constraint_findings
from knightlite.quantize.scales import with_unit_scales
from test_assignment import quantized


def sizes(graph: Graph) -> dict[str, tuple[int, tuple[int, ...]]]:
    return {name: (tensor.dtype.bits, tensor.shape) for name, tensor in graph.tensors.items()}


def test_the_types_are_as_wide_as_those_that_calibration_gives() -> None:
    graph = small_net()
    made = with_unit_scales(graph)
    verify(made)
    wanted = quantized(graph, "off")
    assert sizes(made) == sizes(wanted)
    assert [(node.name, node.inputs) for node in made.nodes] == [
        (node.name, node.inputs) for node in wanted.nodes
    ]
    scales = [item.scale for item in made.tensors.values() if item.scale is not None]
    assert all((scale == 1).all() for scale in scales)
    assert len(scales) == len([item for item in wanted.tensors.values() if item.scale is not None])
    assert constraint_findings(made) == []
