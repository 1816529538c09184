"""The whole choice: from a float graph and its statistics to the quantized graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from knightlite.errors import Finding, ModelError, UnsupportedError, findings_error
from knightlite.ir import Graph, Node, Tensor, verify
from knightlite.ir.large import all_finite
from knightlite.ops import BY_NAME, constraint_findings
from knightlite.quantize.scales.basis import Basis
from knightlite.quantize.scales.coarse_steps import coarse_widths
from knightlite.quantize.scales.feature_choice import choose_features
from knightlite.quantize.scales.features import Feature, quantized_tensor
from knightlite.quantize.scales.quantized_nodes import Constants, quantized_conv
from knightlite.quantize.scales.table_fit import fit_tables
from knightlite.quantize.scales.weights import QuantizedWeights, quantize_conv
from knightlite.quantize.scales.widths import choose_widths, refused_widths, without
from knightlite.quantize.settings import NARROW, Widths


@dataclass(frozen=True, slots=True)
class Assignment:
    """The quantized graph with what was decided for features and convolutions (by node name).

    ``narrowed``: tensors meant to be wide that an operator wants at 8 bits, or that would be the
    coarser for it, and the sentence that says so.
    """

    graph: Graph
    features: Mapping[str, Feature]
    weights: Mapping[str, QuantizedWeights]
    widths: Widths = NARROW
    narrowed: Mapping[str, str] = field(default_factory=dict)


def assign(basis: Basis) -> Assignment:
    """Choose every type and scale and quantize the constants.

    UnsupportedError lists every node that the arithmetic cannot represent.
    """
    settings = basis.settings
    widths, chosen, narrowed, graph = _features(basis)
    weights: dict[str, QuantizedWeights] = {}
    nodes: list[Node] = []
    tensors: dict[str, Tensor] = {
        name: quantized_tensor(graph, feature) for name, feature in chosen.items()
    }
    constants = Constants(graph, tensors)
    for node in graph.nodes:
        if BY_NAME[node.op].kernel is None:
            nodes.append(constants.kept(node))
            continue
        mean = basis.statistics[node.inputs[0]].mean if settings.bias_correction != "off" else None
        made = quantize_conv(
            graph,
            node,
            chosen,
            mean,
            wide=node.name in widths.weights16,
            search=settings.tuned_weights,
        )
        weights[node.name] = made
        nodes.append(quantized_conv(node, made, constants))
    quantized = replace(graph, nodes=tuple(nodes), tensors=tensors, constants=constants.values)
    verify(quantized)
    check_constraints(quantized)
    return Assignment(quantized, chosen, weights, widths, narrowed)


def _features(basis: Basis) -> tuple[Widths, dict[str, Feature], dict[str, str], Graph]:
    """Widths, features, which tensors stay at 8 bits, and the graph with tables that fit.

    At 8 bits stays what an operator wants so, or what gains by it.
    """
    widths = choose_widths(basis.graph, basis.settings)
    narrowed: dict[str, str] = {}
    own = basis  # whose tables fit the widths of now
    tried: set[str] = set()
    while True:
        free = own.switched(pins=())  # pins may be as fine as tables that fit
        chosen = choose_features(free, widths)
        better = fit_tables(own, chosen, tried)
        if better is not own:
            own = better
            continue
        if own.settings.pins:
            chosen = choose_features(own, widths)
        refused = refused_widths(own.graph, chosen, widths) or coarse_widths(own, chosen, widths)
        if not refused:
            return widths, chosen, narrowed, own.graph
        narrowed |= refused
        widths = without(basis.graph, widths, refused)
        own = basis
        tried.clear()


def check_constants(graph: Graph) -> None:
    """ModelError naming every constant of a float graph that holds NaN or infinity."""
    findings = [
        Finding(name, "the constant holds NaN or infinity.", "export the model again")
        for name, values in graph.constants.items()
        if not all_finite(values)
    ]
    if findings:
        raise findings_error(
            ModelError,
            f"constant {findings[0].where} must hold finite numbers, but it holds NaN or infinity "
            f"({len(findings)} such constants in all).",
            findings,
            "export the model again; its training may have diverged",
        )


def check_constraints(graph: Graph) -> None:
    """UnsupportedError with every model constraint that a node of the quantized graph breaks."""
    findings = constraint_findings(graph)
    if findings:
        more = f" ({len(findings)} findings in all)" if len(findings) > 1 else ""
        raise findings_error(
            UnsupportedError,
            f"node {findings[0]}{more}",
            findings,
            "the scales come from the pictures: others, or another range method (-qm), give others",
        )
