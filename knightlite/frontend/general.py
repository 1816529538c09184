"""General layers (-gp): what the chip cannot do in the middle of a network, the host does there.

Nodes that the chip refuses are joined with those that only they feed and read, and with whatever
goes between them in anything but real numbers: so one trip to the host is one, however many
operators it has. For every value of theirs that the chip reads there is one node of the domain
``knightlite`` that holds all it takes to compute it. It becomes a ``General`` of the graph.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from onnx import TensorProto, defs
from onnx.checker import ValidationError

from knightlite import ops
from knightlite.errors import Finding, KnightliteError, UnsupportedError
from knightlite.frontend import constant_runs, host
from knightlite.frontend.host_values import as_seen, leave_name
from knightlite.frontend.importer import Importer, Value
from knightlite.frontend.source import Shape, SourceModel, SourceNode
from knightlite.frontend.tail import BUILT_IN, Tail
from knightlite.ir import Graph, HostOp, Node
from knightlite.ops import general
from knightlite.ops import host as host_share
from knightlite.ops.general import GENERAL_NAME, LAYER_TYPE
from knightlite.ops.onnx_io import OPSET

DOMAIN = "knightlite"
NODES = "nodes"  # attribute: what it takes to compute the output
PLAIN = frozenset((*BUILT_IN, "And", "Or", "Not", "Equal", "Greater", "Less", "Where", "Gather"))
"""What goes to the host with its neighbours, where that saves a trip."""


def is_general(node: SourceNode) -> bool:
    """True for a node that stands for general layers."""
    return node.domain == DOMAIN and node.op_type == GENERAL_NAME


def obstacle(model: SourceModel, node: SourceNode) -> str:
    """Why the host cannot compute a node between two segments of the chip, or ""."""
    what = f"{node.op_type} {node.name}"
    if constant_runs.is_random(node, model.constants):
        return f"{what} makes other numbers at every run"
    if node.attributes.get("training_mode", 0):
        return f"{what} is in training form"
    if node.domain or not defs.has(node.op_type, OPSET):
        return f"{node.kind} is no operator of ONNX {OPSET}"
    if any(type(value).__name__ == "GraphProto" for value in node.attributes.values()):
        return f"{what} runs other operators"
    for name in (*node.inputs, *node.outputs):
        if not name or name in model.constants:
            continue
        if name not in model.shapes:
            return f"the shape of {name} at {what} depends on the values"
        if 0 in model.shapes[name]:
            return f"{name} at {what} is empty"
    if all(name in model.constants for name in node.inputs if name):
        return f"{what} reads no features"
    return ""


# ------------------------------------------------------------------ which nodes go together


class _Links:
    """Who makes and who reads the values of a model."""

    def __init__(self, model: SourceModel) -> None:
        self.model = model
        self.makers = {name: node for node in model.nodes for name in node.outputs if name}
        self.readers: dict[str, list[SourceNode]] = {}
        for node in model.nodes:
            for name in dict.fromkeys(node.inputs):
                self.readers.setdefault(name, []).append(node)
        self.tail = Tail(model, True)
        self.trailing = self.tail.if_general

    def is_feature(self, name: str) -> bool:
        """Whether the chip can hold a value: real numbers, and quantized in a quantized file."""
        if self.model.quantized and name not in self.model.quantized:
            return False
        return self.model.types.get(name, TensorProto.FLOAT) == TensorProto.FLOAT


def joined(model: SourceModel, names: Collection[str]) -> frozenset[str]:
    """The nodes ``names`` with all that must, or had better, run on the host beside them."""
    links, found = _Links(model), set(names)
    before = -1
    while before != len(found):
        before = len(found)
        for node in model.nodes:
            if node.name in found or is_general(node):
                continue
            made = [
                name for name in node.inputs if (m := links.makers.get(name)) and m.name in found
            ]
            if node.name in links.trailing:
                continue
            if (
                any(not links.is_feature(name) for name in made)
                or _between(links, node, made, found)
                or any(
                    not links.is_feature(name) and reader.name in found
                    for name in filter(None, node.outputs)
                    for reader in links.readers.get(name, ())
                )
            ):
                found.add(node.name)
    return frozenset(found)


def _between(links: _Links, node: SourceNode, made: Sequence[str], found: Collection[str]) -> bool:
    """Whether a node only passes something on from the host to the host."""
    if node.domain or node.op_type not in PLAIN:
        return False
    features = [name for name in node.inputs if name and name not in links.model.constants]
    readers = [reader for name in node.outputs for reader in links.readers.get(name, ())]
    given = set(links.model.outputs) & set(node.outputs)
    return (
        bool(features and readers)
        and not given
        and set(features) == set(made)
        and all(reader.name in found for reader in readers)
    )


# ------------------------------------------------------------------ the model with general nodes


@dataclass(slots=True)
class _Copies:
    """Nodes that are written again: every value but one gets a name of its own."""

    taken: set[str]
    used: set[str]  # what has been computed already, or will be under its own name

    def of(self, nodes: Sequence[SourceNode], kept: Collection[str]) -> tuple[SourceNode, ...]:
        """The nodes, with new names for what others compute as well; ``kept`` stay."""
        names: dict[str, str] = {}
        for name in (name for node in nodes for name in node.outputs if name):
            names[name] = name
            if name not in kept and name in self.used:
                count = 1
                while f"{name}.{count}" in self.taken:
                    count += 1
                names[name] = f"{name}.{count}"
                self.taken.add(names[name])
            self.used.add(name)
        return tuple(
            replace(
                node,
                name=node.name if names[_first(node)] == _first(node) else names[_first(node)],
                inputs=tuple(names.get(name, name) for name in node.inputs),
                outputs=tuple(names.get(name, name) for name in node.outputs),
            )
            for node in nodes
        )


def _first(node: SourceNode) -> str:
    return next(filter(None, node.outputs))


def with_general(
    model: SourceModel, names: Collection[str], forced: Collection[str] = ()
) -> SourceModel:
    """The model whose nodes ``names`` are computed by the host, in general nodes.

    What only the end of the network reads of them is computed there once more, but for those of
    ``forced``, which read the network's input. UnsupportedError for a value that the chip would
    have to read and cannot hold.
    """
    links = _Links(model)
    wanted: list[str] = []  # by the chip
    ending: list[str] = []  # by the end of the network, or its user
    for node in model.nodes:
        for name in filter(None, node.outputs if node.name in names else ()):
            outside = [item for item in links.readers.get(name, ()) if item.name not in names]
            chip = [item for item in outside if item.name not in links.trailing]
            needed_here = chip or (node.name in forced and (outside or name in model.outputs))
            if needed_here and links.is_feature(name):
                wanted.append(name)
            elif chip:
                raise UnsupportedError(
                    f"{chip[0].op_type} {chip[0].name} reads {name}, which the host makes and the "
                    "NPU cannot hold: it must be real numbers."
                )
            elif outside or name in model.outputs:
                ending.append(name)
    for name in tuple(ending):  # what is too much for the end of a network is no part of it
        heavy = [n for n in _closure(model, links, names, (), [name]) if not links.tail.may(n)]
        if heavy and links.is_feature(name):
            ending.remove(name)
            wanted.append(name)
        elif heavy:
            maker = links.makers[name]
            raise UnsupportedError(
                f"{name}, which {maker.op_type} {maker.name} makes, must be real numbers."
            )
    return _rewritten(model, links, names, frozenset(wanted), ending)


def _rewritten(
    model: SourceModel,
    links: _Links,
    names: Collection[str],
    wanted: frozenset[str],
    ending: Sequence[str],
) -> SourceModel:
    taken = {*links.makers, *model.inputs, *model.constants}
    copies = _Copies(taken, {*wanted, *ending})
    nodes: list[SourceNode] = []
    shapes, types = dict(model.shapes), dict(model.types)

    def describe(old: Sequence[SourceNode], new: Sequence[SourceNode]) -> None:
        for one, other in zip(old, new, strict=True):
            for before, after in zip(one.outputs, other.outputs, strict=True):
                if before in shapes:
                    shapes[after] = shapes[before]
                if before in types:
                    types[after] = types[before]

    for node in model.nodes:
        if node.name not in names:
            nodes.append(node)
            continue
        for name in filter(None, node.outputs):
            if name in wanted:
                inner = _closure(model, links, names, wanted - {name}, [name])
                made = copies.of(inner, {name})
                describe(inner, made)
                nodes.append(_general_node(model, name, made))
    inner = _closure(model, links, names, wanted, ending)
    if inner:
        made = copies.of(inner, set(ending))
        describe(inner, made)
        nodes = _in_front(nodes, made)
    return replace(model, nodes=tuple(nodes), shapes=shapes, types=types)


def _closure(
    model: SourceModel,
    links: _Links,
    names: Collection[str],
    stops: Collection[str],
    outputs: Iterable[str],
) -> list[SourceNode]:
    """The nodes of ``names`` that it takes to compute values, in order, up to ``stops``."""
    waiting, found = list(outputs), set[str]()
    while waiting:
        maker = links.makers.get(waiting.pop())
        if maker is None or maker.name not in names or maker.name in found:
            continue
        found.add(maker.name)
        waiting += [name for name in maker.inputs if name and name not in stops]
    return [node for node in model.nodes if node.name in found]


def _general_node(model: SourceModel, output: str, inner: Sequence[SourceNode]) -> SourceNode:
    made = {name for node in inner for name in node.outputs}
    read = dict.fromkeys(
        name
        for node in inner
        for name in node.inputs
        if name and name not in model.constants and name not in made
    )
    attributes = {NODES: tuple(inner)}
    return SourceNode(output, GENERAL_NAME, DOMAIN, tuple(read), (output,), attributes)


def _in_front(nodes: Sequence[SourceNode], more: Sequence[SourceNode]) -> list[SourceNode]:
    """All nodes in an order in which everything is made before it is read."""
    waiting, made = [*nodes, *more], set[str]()
    makers = {name for node in waiting for name in node.outputs if name}
    found: list[SourceNode] = []
    while waiting:
        ready = [n for n in waiting if all(x in made or x not in makers for x in n.inputs)]
        found += ready
        made.update(name for node in ready for name in node.outputs)
        known = {node.name for node in ready}
        waiting = [node for node in waiting if node.name not in known]
        assert ready, "a model has no cycles"
    return found


def with_user_layers(model: SourceModel) -> SourceModel:
    """The model with a general node for everything that user-defined layers make."""
    links, all_names = _Links(model), {node.name for node in model.nodes}
    copies = _Copies({*links.makers, *model.inputs, *model.constants}, set(model.user_layers))
    behind: dict[str, list[SourceNode]] = {}  # by the node in whose place it stands
    spelled: set[str] = set()
    for output, (number, reads) in model.user_layers.items():
        if output not in links.makers:
            continue  # nobody reads it
        inner = _closure(model, links, all_names, reads, [output])
        whole = _general_node(model, output, copies.of(inner, {output}))
        whole = replace(whole, attributes={**whole.attributes, LAYER_TYPE: number})
        behind.setdefault(inner[-1].name, []).append(whole)
        spelled.update(node.name for node in inner)
    nodes: list[SourceNode] = []
    for node in model.nodes:
        nodes += [] if node.name in spelled else [node]
        nodes += behind.get(node.name, ())
    shapes = {**model.shapes, **_shapes_of_copies(model, nodes)}
    return replace(model, nodes=tuple(nodes), shapes=shapes)


def _shapes_of_copies(model: SourceModel, nodes: Iterable[SourceNode]) -> dict[str, Shape]:
    """Those of values that are computed again under another name, ``name.number``."""
    made = (
        name
        for node in nodes
        for inner in (node.attributes[NODES] if is_general(node) else ())
        for name in inner.outputs
    )
    return {
        name: model.shapes[name.rpartition(".")[0]]
        for name in made
        if name not in model.shapes and name.rpartition(".")[0] in model.shapes
    }


def numbered(model: SourceModel, numbers: Mapping[str, int]) -> SourceModel:
    """The model whose general nodes have the numbers of user-defined layers; 0: none."""
    return replace(
        model,
        nodes=tuple(
            replace(node, attributes={**node.attributes, LAYER_TYPE: numbers[node.outputs[0]]})
            if is_general(node) and numbers.get(node.outputs[0])
            else node
            for node in model.nodes
        ),
    )


def inside(
    nodes: Iterable[SourceNode], quantized: Collection[str], outputs: Collection[str]
) -> frozenset[str]:
    """The nodes of a quantized file that compute ``outputs``, each from quantized values on."""
    makers = {name: node for node in nodes for name in node.outputs if name}
    waiting, found = [name for name in outputs if name in makers], set[str]()
    while waiting:
        maker = makers.get(waiting.pop())
        if maker is not None and maker.name not in found:
            found.add(maker.name)
            waiting += [name for name in maker.inputs if name not in quantized]
    return frozenset(found)


# ------------------------------------------------------------------ one general node


def compute(state: Importer, node: SourceNode) -> None:
    """Append the General that a general node stands for."""
    output = node.outputs[0]
    number = {key: value for key, value in node.attributes.items() if key == LAYER_TYPE}
    if number and not state.tail.general:
        raise UnsupportedError(
            f"{output} is made by user-defined layer {number[LAYER_TYPE]}, which runs on the host.",
            "-gp runs it there",
        )
    if state.model.types.get(output, TensorProto.FLOAT) != TensorProto.FLOAT:
        raise UnsupportedError(f"{output} must be float32, since the NPU reads it.")
    seen = state.seen(output)
    operations, reads = _operations(state, node)
    canonical = canonical_shape(seen)
    made = output
    if canonical != seen:
        made = state.builder.fresh(f"{output}.real")
        operations = [_renamed(op, output, made) for op in operations]
        state.builder.tensor(made, seen)
        shape = {"shape": canonical}
        last = HostOp(output, "Reshape", (made,), (output,), shape)
        operations.append(last)
    state.builder.tensors.pop(output, None)
    state.declare(output, canonical)
    state.builder.nodes.append(
        Node(
            output,
            GENERAL_NAME,
            tuple(reads.values()),
            (output,),
            {"reads": tuple(reads), "makes": output, **number},
            host=tuple(operations),
        )
    )
    state.values[output] = Value(output)


def _operations(state: Importer, node: SourceNode) -> tuple[list[HostOp], dict[str, str]]:
    """What the host does, and the tensors that it reads, by the names that it knows them by."""
    for name in node.inputs:
        leave_name(state, name)
    builder, model, values = state.builder, state.model, state.values
    before, builder.host = builder.host, []
    state.values = dict(values)
    state.model = replace(model, outputs=())
    try:
        reads: dict[str, str] = {}
        for name in node.inputs:
            reads.setdefault(tensor := state.value(name).tensor, tensor)
            state.values[name] = Value(as_seen(state, name), on_host=True)
        for inner in node.attributes[NODES]:
            host.compute(state, inner, anything=True)
        return builder.host, reads
    finally:
        builder.host, state.values = before, values
        state.model = replace(state.model, outputs=model.outputs)


def _renamed(op: HostOp, old: str, new: str) -> HostOp:
    def swap(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(new if name == old else name for name in names)

    return replace(
        op,
        name=new if op.name == old else op.name,
        inputs=swap(op.inputs),
        outputs=swap(op.outputs),
    )


def canonical_shape(seen: Shape) -> Shape:
    """The [1, C, H, W] of the same elements in the same order in which the chip holds a value."""
    if len(seen) == 4 and seen[0] == 1:
        return seen
    if len(seen) == 3 and seen[0] == 1:
        return (1, seen[1], 1, seen[2])
    if len(seen) == 2 and seen[0] == 1:
        return (1, seen[1], 1, 1)
    front = 1
    for size in seen[:-2]:
        front *= size
    return (1, front, *(1, 1, *seen)[-2:])


# ------------------------------------------------------------------ the graph


def in_trips(graph: Graph) -> Graph:
    """The graph in an order in which the fewest trips to the host are taken.

    The chip goes on as long as it can, then the host does all that it can.
    """
    if not any(node.host for node in graph.nodes):
        return graph
    known, waiting = {*graph.inputs, *graph.constants}, list(graph.nodes)
    found: list[Node] = []
    hosted, before = False, -1
    while waiting:
        left = []
        for node in waiting:
            if bool(node.host) == hosted and known.issuperset(node.inputs):
                found.append(node)
                known.update(node.outputs)
            else:
                left.append(node)
        if hosted and len(left) == before:
            break  # neither went on: what is left reads what nobody makes, as is said elsewhere
        if hosted:
            before = len(left)
        hosted, waiting = not hosted, left
    return graph.with_nodes([*found, *waiting])


def refusal(graph: Graph) -> str:
    """What ONNX Runtime says of the first general layer that it does not run, or ""."""
    from knightlite.inference import session

    for node in graph.nodes:
        if not node.host:
            continue
        names = general.reads_of(node)
        shapes = {
            name: graph.tensors[tensor].shape
            for name, tensor in zip(names, node.inputs, strict=True)
        }
        output = general.made_by(node)
        kinds = ", ".join(kinds_of(node))
        try:
            model = general.float_model(node.host, shapes, output, graph.tensors[node.output].shape)
            feeds = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
            (made,) = session(model, called=kinds, as_written=True).run([output], feeds)
        except KnightliteError as error:
            return error.sentence.rstrip(".")
        except ValidationError as error:
            return f"{kinds}: {' '.join(str(error).split()).rstrip('.')}"
        if made.shape != graph.tensors[node.output].shape:
            return f"{kinds} of zeros makes {made.shape}, not what the file says"
    return ""


def ending_refusal(graph: Graph) -> str:
    """What ONNX Runtime says of the network's end, where it is to run that, or ""."""
    from knightlite.inference import session

    if not host_share.needs_onnx_runtime(graph):
        return ""
    kinds = ", ".join(dict.fromkeys(op.op for op in graph.host if op.op != "Reshape"))
    feeds = {name: np.zeros(graph.tensors[name].shape, np.float32) for name in graph.chip_outputs}
    try:
        session(host_share.model(graph), called=kinds).run(None, feeds)
    except KnightliteError as error:
        return error.sentence.rstrip(".")
    except ValidationError as error:
        return f"{kinds}: {' '.join(str(error).split()).rstrip('.')}"
    return ""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What general layers cost beside the host's time. ``moved_bytes``: where not known, 8 bits."""

    kinds: tuple[str, ...]
    trips: int
    moved_bytes: int

    @property
    def sentence(self) -> str:
        """As the user reads it."""
        trips = "1 trip" if self.trips == 1 else f"{self.trips} trips"
        return (
            f"{', '.join(self.kinds)} in the middle of the network: {trips} from the NPU to the "
            f"host and back, {self.moved_bytes:,} bytes a picture"
        )


def traffic(graph: Graph) -> Traffic | None:
    """Of a graph's general layers; None where it has none."""
    kinds: dict[str, None] = {}
    trips = moved = 0
    away = False
    for node in graph.nodes:
        if not node.host:
            away = away and not ops.BY_NAME[node.op].executes
            continue
        trips += not away
        away = True
        kinds.update(dict.fromkeys(kinds_of(node)))
        tensors = [graph.tensors[name] for name in (*dict.fromkeys(node.inputs), node.output)]
        moved += sum(
            item.elements * (1 if item.scale is None else item.dtype.size_bytes) for item in tensors
        )
    return Traffic(tuple(kinds), trips, moved) if trips else None


def kinds_of(node: Node) -> tuple[str, ...]:
    """The operators of a General that compute, each once."""
    found = dict.fromkeys(op.op for op in node.host if op.op != "Reshape")
    return tuple(found) or ("Reshape",)


def told(graph: Graph) -> list[Finding]:
    """What every user of a network with general layers is told."""
    found = traffic(graph)
    if found is None:
        return []
    first = next(node for node in graph.nodes if node.host)
    return [
        Finding(
            first.name,
            f"the host computes {found.sentence}.",
            "sim, eval and Session run it, and profile leaves the host's time out; a program on a "
            "board has to do it itself",
            "warning",
        )
    ]
