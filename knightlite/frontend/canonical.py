"""From a resolved ONNX model to the canonical graph: every node at once, all findings together.

Canonical features are [1, C, H, W]. An ONNX value is therefore kept as a canonical tensor plus the
shape the file gives it: Reshape, Flatten, Squeeze and Unsqueeze only change that shape, and a
reader says whether it can take the tensor so. What remains at the outputs becomes host operations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from knightlite import ops
from knightlite.errors import Finding, ModelError, UnsupportedError
from knightlite.frontend import (
    any_operators,
    batches,
    carrying,
    comparisons,
    compute,
    decompose,
    einsums,
    expansions,
    focus,
    host,
    host_values,
    known_values,
    logarithms,
    long_kernels,
    long_pools,
    network_inputs,
    opsets,
    pad_values,
    padding,
    picks,
    pointwise,
    products,
    recurrent,
    repeats,
    selections,
    simplify,
    spelled,
    split,
    views,
)
from knightlite.frontend import general as general_layers
from knightlite.frontend.endings import BY_GENERAL, advised
from knightlite.frontend.general import in_trips, traffic
from knightlite.frontend.importer import Importer
from knightlite.frontend.source import SourceModel, SourceNode
from knightlite.frontend.tail import Tail
from knightlite.ir import Graph, HostOp, verify
from knightlite.ir.large import all_finite
from knightlite.ops.host import told

Handler = Callable[[Importer, SourceNode], None]
HANDLERS: dict[str, Handler] = {
    "Neg": compute.negate,
    **dict.fromkeys(decompose.DECOMPOSED, decompose.decompose),
    "Where": selections.where,
    **dict.fromkeys(ops.BY_ONNX_TYPE, compute.compute),  # an operator of its own comes first
    "Einsum": products.einsum,
    **dict.fromkeys(compute.CHAINS, compute.chain),
    **dict.fromkeys(views.VIEWS, views.view),
    **dict.fromkeys(views.SAME, views.same),
    "Pad": pad_values.pad,
    "Tile": repeats.tile,
    "Split": split.split,
    **dict.fromkeys(picks.PICKS, picks.compute),
    "LogSoftmax": host.compute,
    "Softmax": products.softmax,
    **dict.fromkeys(recurrent.GATES, recurrent.refuse),
    **dict.fromkeys(spelled.REFUSED, spelled.refuse),
    **dict.fromkeys(any_operators.ONLY, any_operators.only_here),
}


@dataclass(frozen=True, slots=True)
class Result:
    """The canonical graph where there are no errors, all findings, and which nodes run where.

    ``supported``: names of source nodes, ``hosted`` those of them that run on the host.
    """

    graph: Graph | None
    findings: tuple[Finding, ...]
    supported: frozenset[str]
    hosted: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()
    at_input: frozenset[str] = frozenset()


def canonicalize(model: SourceModel, general: bool = False) -> Result:
    """The canonical form of ``model``; nothing is raised for what is not supported.

    ``general``: what the chip cannot do goes to the host, at the end and in the middle.
    """
    if model.user_layers:
        model = general_layers.with_user_layers(model)
    whole, model = model, spelled.of_later_opsets(model)
    result = _canonicalized(model, general)
    left = {node.name for node in model.nodes} - result.supported
    failed = {*spelled.nodes_of([*left], whole).values()}
    return replace(result, supported=result.supported - failed) if failed else result


def _canonicalized(model: SourceModel, general: bool) -> Result:
    result = _walked(model, general)
    # without the host, where it is no way out, and with inputs of any rank
    for hosting, any_rank in ((False, False), (True, True), (False, True)):
        if result.graph is None:
            other = _walked(model, general, hosting, any_rank)
            # an input of another rank that could be read is not what is wrong with the network
            nearer = any_rank and len(errors(other.findings)) < len(errors(result.findings))
            other = _with_remedy(other, result, model) if nearer else other
            result = other if other.graph is not None or nearer else result
    if result.graph is not None or not errors(result.findings):
        return result
    whole, reason = _with_host(model)
    if general and whole is not None:
        return whole
    by_general = ""
    if not general and whole is not None and whole.graph is not None:
        found = traffic(whole.graph)
        by_general = BY_GENERAL if found is None else f"-gp runs {found.sentence}"
    if by_general and result.at_input:
        told = (
            replace(item, hint=by_general) if item.severity == "error" else item
            for item in result.findings
        )
        return replace(result, findings=tuple(told))

    def runs(other: SourceModel) -> bool:
        return _walked(other, False).graph is not None

    return replace(result, findings=advised(model, result.findings, by_general, reason, runs))


def _with_remedy(result: Result, before: Result, model: SourceModel) -> Result:
    """What was said of the batch of an input, at the nodes that cannot take this batch.

    Those that ``before`` refuses, the network without the batch, would be no better of one frame.
    """
    told = [item.hint for item in errors(before.findings) if item.where in model.inputs]
    hint = next(filter(None, told), "")
    known = {item.where for item in errors(before.findings)}
    findings = (
        replace(item, hint=hint)
        if item.severity == "error" and not item.hint and item.where not in known
        else item
        for item in result.findings
    )
    return replace(result, findings=tuple(findings)) if hint else result


MOST_TURNS = 64  # of a network that is looked at again with more on the host


def _with_host(model: SourceModel) -> tuple[Result | None, str]:
    """With the host's help wherever the chip refuses; None and why where that is no way either."""
    names: frozenset[str] = frozenset()
    forced: frozenset[str] = frozenset()  # at the end of the network, but of the network's input
    known = {node.name: node for node in model.nodes}
    current = model
    for _ in range(MOST_TURNS):
        try:
            result = _walked(current, True)
        except ModelError:  # what the host is to read nobody makes: a file that is wrong there
            return None, ""
        if result.graph is not None:
            if general_layers.refusal(result.graph):
                return None, ""  # a node that is wrong anywhere: its finding says how
            supported, hosted = result.supported | names, result.hosted | names
            return replace(result, supported=supported, hosted=hosted), ""
        forced |= result.at_input
        wanted = (result.refused | result.at_input) - names
        more = [known[name] for name in sorted(wanted) if name in known]
        if not more:
            break
        reason = next(filter(None, (general_layers.obstacle(model, node) for node in more)), "")
        if reason:
            return None, reason
        names = general_layers.joined(model, names | {node.name for node in more})
        try:
            current = general_layers.with_general(model, names, forced)
        except UnsupportedError as error:
            return None, error.sentence.rstrip(".")
    return None, ""


def _walked(
    model: SourceModel, general: bool, hosting: bool = True, any_rank: bool = False
) -> Result:
    """The same as the network stands, without hints where something is not supported.

    ``hosting``: the host may take the network's end. ``any_rank``: inputs need not be pictures,
    signals or vectors.
    """
    whole, model = model, known_values.simplified(expansions.leave_out(model))
    model = batches.folded(model) if any_rank else model
    model = pad_values.taken_by_pools(model)
    model = comparisons.spelled_out(spelled.spelled_out(einsums.spelled_out(model)))
    model = recurrent.unrolled(long_kernels.folded(model))
    trailing = Tail(model, general, hosting)
    model = logarithms.spelled_out(picks.as_reals(model, trailing.nodes), trailing.nodes)
    state = Importer(model, general, hosting, any_rank)
    for name in model.inputs:
        network_inputs.declare(state, name)
    fusion = pointwise.find(model)
    for node in model.nodes:
        if node.name not in fusion.absorbed:
            _visit(state, node, fusion.regions.get(node.name))
    for name in model.outputs:
        if state.values.get(name) is not None:
            padding.settle(state, name)
        host_values.check_output(state, name)
    failed = state.unseen | {item.where for item in errors(state.findings)}
    for name, region in fusion.regions.items():
        failed |= set(region.nodes) & fusion.absorbed if name in failed else set()
    failed |= set(spelled.nodes_of([*failed], whole).values())
    supported = frozenset(node.name for node in whole.nodes if node.name not in failed)
    if state.failed:
        findings = (*whole.warnings, *state.findings)
        at_fault = (state.blamed.get(name, {name}) for name in failed - state.unseen)
        refused = frozenset(name for names in at_fault for name in names)
        return Result(None, findings, supported, _hosted(state, supported), refused)
    host_values.sink_concats(state)
    outputs = tuple(host_values.deliver(state, name) for name in model.outputs)
    with np.errstate(over="ignore"):
        built = long_pools.shortened(focus.fold_focus(state.builder.build(outputs)))
        graph = in_trips(simplify.simplify(built))
    verify(graph)
    types = network_inputs.other_types(model, graph)
    problems = [*_left_to_host(graph, state.kept_off), *_overflows(graph)]
    problems += [] if problems or model.quantized else _ending(graph)
    findings = (*whole.warnings, *state.findings, *types, *problems, *_warnings(graph))
    hosted = _hosted(state, supported)
    read = set(graph.inputs) if problems else set()
    at_input = frozenset(
        node.name for node in state.model.nodes if node.name in hosted and read & {*node.inputs}
    )
    return Result(None if problems else graph, findings, supported, hosted, frozenset(), at_input)


def _hosted(state: Importer, supported: frozenset[str]) -> frozenset[str]:
    """The source nodes that the host computes."""
    made = (
        (node.name, state.values.get(name)) for node in state.model.nodes for name in node.outputs
    )
    found = {node for node, value in made if value is not None and value.on_host}
    return supported & (found - state.typed_by_host)


def errors(findings: Sequence[Finding]) -> list[Finding]:
    """The findings of severity error."""
    return [item for item in findings if item.severity == "error"]


def _left_to_host(graph: Graph, reasons: Mapping[str, str]) -> list[Finding]:
    """The host's operators that read a network input: the chip delivers only what it computes.

    ``reasons``: why the chip refused an operator, by its first output.
    """
    read = [name for name in graph.chip_outputs if name in graph.inputs]
    if all(node.host for node in graph.nodes):
        kinds = ", ".join(dict.fromkeys(op.op for op in _host_operations(graph))) or "no operator"
        why = _in_brackets(next(iter(reasons.values()), ""))
        return [
            Finding(
                graph.outputs[0],
                f"nothing is left for the NPU: {kinds} would run on the host{why}, from the "
                f"network input {', '.join(read or graph.inputs)} on.",
                "run this network with ONNX Runtime, or export it with the layers in front of it",
            )
        ]
    return [
        Finding(
            op.name,
            f"{op.op} would run on the host{_in_brackets(reasons.get(op.output, ''))} and read the "
            f"network input {name}, but the host gets only what the NPU computes.",
            "leave this output out with -on, and compute it of the input in your program",
        )
        for name in read
        for op in graph.host
        if name in op.inputs
    ]


def _ending(graph: Graph) -> list[Finding]:
    """What ONNX Runtime does not run behind the chip."""
    reason = general_layers.ending_refusal(graph)
    hint = "end the network before it, and compute it in your program"
    return [Finding(graph.outputs[0], f"{reason}.", hint)] if reason else []


def _host_operations(graph: Graph) -> Iterator[HostOp]:
    for node in graph.nodes:
        yield from node.host
    yield from graph.host


def _in_brackets(reason: str) -> str:
    return f" ({reason.rstrip('.')})" if reason else ""


def _overflows(graph: Graph) -> list[Finding]:
    """Nodes whose constants no longer fit float32 once BatchNorm is folded in."""
    return [
        Finding(
            node.name,
            f"{node.op}: its constant {name} overflows float32 when its neighbours are folded in.",
            "the model's weights or BatchNorm statistics are out of any useful range",
        )
        for node in graph.nodes
        for name in node.inputs
        if name in graph.constants and not all_finite(graph.constants[name])
    ]


def _warnings(graph: Graph) -> list[Finding]:
    """What works, but deserves a word."""
    return [
        *general_layers.told(graph),
        *(told(op) for op in graph.host if op.op != "Reshape"),
    ]


def _visit(state: Importer, node: SourceNode, region: pointwise.Region | None) -> None:
    """Import one node (of a region: its last), or find what is wrong with it.

    Then the walk goes on with a value of its shape.
    """
    problem: UnsupportedError | None = None
    try:
        with np.errstate(all="ignore"):  # results are checked to be finite
            _on_chip_or_host(state, node, region)
    except UnsupportedError as error:
        problem = error
    except (ValueError, IndexError, KeyError, TypeError) as error:
        text = f"{node.op_type} {node.name} is malformed ({type(error).__name__}: {error})."
        problem = UnsupportedError(text, "export the model again")
    if problem is not None:
        state.findings.append(Finding(node.name, problem.sentence, problem.hint))
    for name in node.outputs:
        if problem is not None or name not in state.values:
            state.values[name] = state.stand_in(name)


def _on_chip_or_host(state: Importer, node: SourceNode, region: pointwise.Region | None) -> None:
    """On the chip where it can, else on the host where nothing behind it needs the chip.

    A region goes to the host node by node.
    """
    members = [node]
    if region is not None:
        members = [item for item in state.model.nodes if item.name in region.nodes]
    for item in members:
        _require_known_version(item, state.model.opset)
        _require_finite(item)
    if any(item.name not in state.tail.nodes for item in members):
        _dispatch(state, node, region)
        return
    undo = state.mark()
    try:
        _dispatch(state, node, region)
    except UnsupportedError as refusal:
        undo()
        try:
            for item in members:
                if not host_values.is_made(state, item.outputs[0]):  # by another region
                    host.compute(state, item)
        except (UnsupportedError, KeyError):
            undo()
        else:
            state.kept_off.update((item.outputs[0], refusal.sentence) for item in members)
            return
        raise


def _makers_on_host(state: Importer, names: Sequence[str]) -> set[str]:
    """The nodes that make those of these values which the host computes."""
    found: set[str] = set()
    for name in names:
        value = state.values.get(name)
        if value is not None and value.on_host:
            found.update(node.name for node in state.model.nodes if name in node.outputs)
    return found


def _of_constants(state: Importer, node: SourceNode) -> UnsupportedError:
    """Why a node that reads constants only was not computed while reading."""
    finding = state.model.uncomputed.get(node.name)
    if finding is not None:
        return UnsupportedError(finding.sentence, finding.hint)
    return UnsupportedError(f"{node.op_type} {node.name} must read features, not constants only.")


def _require_known_version(node: SourceNode, opset: int) -> None:
    """The host computes what versions up to KNOWN mean, as the chip does."""
    new = opsets.difference(node, opset)
    if new:
        raise UnsupportedError(
            f"{node.op_type} {node.name} of opset {opset} has {new}, which opset {opsets.KNOWN} "
            "has not.",
            f"export it with opset {opsets.KNOWN} or older",
        )


def _require_finite(node: SourceNode) -> None:
    """Attributes are numbers; of bounds and of what a Pad adds their readers judge."""
    if node.op_type in ("Clip", "Pad"):
        return
    for name, value in node.attributes.items():
        if isinstance(value, float) and not np.isfinite(value):
            raise UnsupportedError(
                f"{node.op_type} {node.name} must have finite attributes, but {name} is {value}.",
                "export the model again",
            )


def _dispatch(state: Importer, node: SourceNode, region: pointwise.Region | None) -> None:
    """Check what holds for every operator and call its handler."""
    kind, reader = node.op_type, f"{node.op_type} {node.name}"
    hosted = general_layers.is_general(node)
    if node.name in state.model.uncomputed:
        raise _of_constants(state, node)
    if kind in recurrent.GATES and not node.domain and not hosted:
        recurrent.refuse(state, node)
    if region is None and not hosted and (node.domain or kind not in HANDLERS):
        raise UnsupportedError(f"{node.kind} is not supported yet.")
    for name in node.outputs[1:]:
        if name and state.is_read(name) and kind not in split.SEVERAL_OUTPUTS:
            raise UnsupportedError(f"the second output {name} of {kind} is not supported yet.")
    features = state.features(node) if region is None else [region.root]
    if not features:
        raise _of_constants(state, node)
    values = [value for name in features if (value := state.values.get(name)) is not None]
    if len(values) < len(features):
        state.unseen.add(node.name)  # an earlier finding is the cause
        return
    if node.outputs[0] not in state.model.shapes:
        host.require_alike(state, node)
        raise UnsupportedError(f"the output shape of {reader} cannot be determined.")
    if 0 in (made := state.model.shapes[node.outputs[0]]):
        raise UnsupportedError(
            f"{reader} makes an empty tensor, {made}.", "export the model without this branch"
        )
    if kind not in (*host.HOST, *views.SAME) and any(v.on_host for v in values):
        state.blamed[node.name] = _makers_on_host(state, features)
        raise UnsupportedError(
            f"{reader} reads what runs on the host, after the NPU: it would have to run there too."
        )
    if kind not in (*padding.TAKERS, *padding.HAND_ON):
        for name in features:
            padding.settle(state, name)
    if hosted:
        general_layers.compute(state, node)
    elif region is not None:
        pointwise.compute(state, node, region)
    elif kind in views.SAME or kind in any_operators.ONLY:
        HANDLERS[kind](state, node)
    elif any(asks(state, node) for asks in any_operators.ASKED):
        any_operators.compute(state, node, HANDLERS[kind])
    else:
        _compute(state, node)


def _compute(state: Importer, node: SourceNode) -> None:
    """In the order that the values have; where that is refused, in any layout."""
    kind = node.op_type
    undo = state.mark()
    try:
        if kind in views.VIEWS or not carrying.carry(state, node, HANDLERS[kind]):
            HANDLERS[kind](state, node)
    except UnsupportedError as refusal:
        undo()
        if node.name in state.tail.nodes or any(
            (value := state.values.get(name)) is None or value.on_host or value.stands_in
            for name in state.features(node)
        ):
            raise
        try:
            any_operators.compute(state, node, HANDLERS[kind])
        except UnsupportedError:
            undo()
            raise refusal from None
