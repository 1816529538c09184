"""From plan to bytes: tokens, code, constants and the metadata that both files carry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast, get_args

from knightlite import schedule
from knightlite.allocate import Location, is_hosted, is_placed, trips
from knightlite.chip import Chip, ChipFamily
from knightlite.container import (
    Description,
    GeneralLayer,
    HostOperator,
    KeptState,
    Layer,
    LowerBound,
    Made,
    Once,
    Origin,
    Piece,
    Program,
    Region,
    RegionNote,
    ScheduleNotes,
    StoredTensor,
    Tile,
    constant,
    paired,
)
from knightlite.container.description import ElementType, IntegerType, Side
from knightlite.emit.resident import resident
from knightlite.emit.tokens import with_tokens
from knightlite.errors import CapacityError, Finding, findings_error
from knightlite.ir import Graph, HostOp, Node, Tensor
from knightlite.ir.graph import flatten_chains
from knightlite.isa import Instruction, Space, Store, assemble, in_program
from knightlite.json_records import LARGEST_WHOLE
from knightlite.lower import skips_zeros
from knightlite.ops import BY_NAME, View, general, host
from knightlite.schedule import LayerPlan, Plan, frame_cycles, plan_instructions


def program_code(plan: Plan) -> list[Instruction]:
    """All instructions of a plan in order, with their layers' numbers and with tokens."""
    return _with_tokens(plan, _in_order(plan))


def _in_order(plan: Plan) -> list[Instruction]:
    """The same without tokens."""
    if plan.order is not None:
        return list(plan.order.code)
    return [
        in_program(item, index, 0, 0)
        for index, instructions in enumerate(plan_instructions(plan))
        for item in instructions
    ]


def _with_tokens(plan: Plan, code: Sequence[Instruction]) -> list[Instruction]:
    borders = sorted({border for border, _ in trips(plan.graph)})
    return with_tokens(code, plan.order is None and plan.level.in_turn, borders=borders)


@dataclass(frozen=True, slots=True)
class _Code:
    """``loads`` run once and stand first; ``frame``: the rest, with tokens of its own.

    ``places``: where an instruction of the plan is in the program; None: as it is.
    """

    loads: tuple[Instruction, ...]
    frame: list[Instruction]
    once: Once | None = None
    places: Mapping[int, int] | None = None

    def at(self, place: int) -> int:
        """Where an instruction of the plan is in the program."""
        return place if self.places is None else len(self.loads) + self.places[place]


def _code(plan: Plan, chip: Chip, once: Mapping[Space, int]) -> _Code:
    """The program of a plan; ``once``: offsets from which constants stay in their memories."""
    code = _in_order(plan)
    if not once:
        return _Code((), _with_tokens(plan, code))
    found = resident(code, len(plan.constants), once, chip)
    if not found.once:
        return _Code((), _with_tokens(plan, code))
    areas = [found.areas.get(space, (0, 0)) for space in (Space.WSPM, Space.MSPM)]
    (wspm, wspm_end), (mspm, mspm_end) = areas
    told = Once(len(found.once), wspm, wspm_end - wspm, mspm, mspm_end - mspm)
    return _Code(found.once, _with_tokens(plan, found.frame), told, found.places)


def emit_program(
    plan: Plan,
    family: ChipFamily,
    chip_name: str,
    origin: Origin,
    once: Mapping[Space, int] | None = None,
) -> Program:
    """The program of a plan; ``origin``: what its model came from.

    ``once``: offsets in WSPM and MSPM from which constants stay there. CapacityError where they do
    not fit, or where a layer takes more cycles than the .cfg counts.
    """
    found = _code(plan, family.chip, once or {})
    if found.once is not None:
        plan = _repriced(plan, found.frame)
    _check_cycles(plan)
    instructions = [*found.loads, *found.frame]
    code = assemble(instructions)
    graph = plan.graph
    hosted = _general(graph, found.frame, len(found.loads))
    tensors = _tensors(plan, instructions, {item.output: item.at for item in hosted}, found)
    meta = Description(
        name=graph.name,
        version=origin.version,
        pair="",
        chip=chip_name,
        chip_family=family.family,
        chip_values=family.chip,
        chip_digest=family.digest,
        model_sha256=origin.model_sha256,
        quantization=origin.quantization,
        recipe=origin.recipe,
        input_layout=origin.input_layout,
        res_version=origin.res_version,
        schedule_level=plan.level.number,
        layers=tuple(_layer(graph, layer) for layer in plan.layers),
        fspm_peak=tuple(layer.fspm_bytes for layer in plan.layers),
        ddr_bytes=plan.ddr_bytes,
        constants_bytes=len(plan.constants),
        inputs=tuple(tensors[name] for name in graph.fed_inputs),
        outputs=tuple(tensors[name] for name in graph.seen_chip_outputs),
        tensors=tuple(tensors.values()),
        graph_outputs=graph.seen_outputs,
        host=_behind(graph),
        general=hosted,
        states=tuple(
            KeptState(tensors[state.input], tensors[state.output], tuple(map(int, state.initial)))
            for state in graph.states
        ),
        schedule=None if found.once is not None else _schedule_notes(plan, family),
        regions=tuple(
            Region(cast(Side, item.of), item.address, item.size_bytes) for item in plan.regions
        ),
        once=found.once,
    )
    host_model = b""
    if host.needs_onnx_runtime(graph):
        host_model = host.model(graph).SerializeToString(deterministic=True)
    return paired(Program(meta, code, plan.constants, host_model))


def _repriced(plan: Plan, frame: Sequence[Instruction]) -> Plan:
    """The plan whose layers take what they take in a frame without loads of constants."""
    cycles = frame_cycles(plan, frame)
    layers = (
        replace(layer, estimated_cycles=cycles[index]) for index, layer in enumerate(plan.layers)
    )
    return replace(plan, layers=tuple(layers))


def _check_cycles(plan: Plan) -> None:
    findings = [
        Finding(
            layer.node.name,
            f"it takes {layer.estimated_cycles} cycles, a .cfg counts up to {LARGEST_WHOLE}.",
        )
        for layer in plan.layers
        if layer.estimated_cycles > LARGEST_WHOLE
    ]
    if findings:
        raise findings_error(
            CapacityError,
            f"{len(findings)} layer(s) take more cycles on this chip than can be counted: "
            f"{findings[0]}",
            findings,
            "check clock_hz, the setup cycles and the figures of the DDR in the chip file",
        )


def _schedule_notes(plan: Plan, family: ChipFamily) -> ScheduleNotes | None:
    """Of a plan that is in order; what goes layer by layer says nothing more than its layers."""
    if plan.order is None:
        return None
    regions = plan.order.decisions.regions
    return ScheduleNotes(
        bound_record(plan.graph, family.chip),
        tuple(RegionNote(region.last - region.first, region.bands) for region in regions),
    )


def bound_record(graph: Graph, chip: Chip) -> LowerBound | None:
    """What no schedule of a graph behind the passes is faster than, as a ``.cfg`` has it.

    None where blocks of zeros are skipped: the bound does every product.
    """
    if skips_zeros(graph):
        return None
    bound = schedule.lower_bound(graph, chip)
    return LowerBound(bound.vector_cycles, bound.ddr_cycles, bound.weight_cycles, bound.layer)


def _layer(graph: Graph, layer: LayerPlan) -> Layer:
    parts = flatten_chains([layer.node])
    tiling = layer.tiling
    ins, outs = layer.geometry.tile_channels(tiling)
    order: Literal["channels", "rows"] = "channels" if tiling.outs_outer else "rows"
    return Layer(
        name=layer.node.name,
        op="+".join(part.op for part in parts),
        macs=sum(BY_NAME[part.op].macs(View(graph, part)) for part in parts),
        estimated_cycles=layer.estimated_cycles,
        tile=Tile(tiling.rows, outs, ins, order, tiling.buffers),
    )


def _general(
    graph: Graph, code: Sequence[Instruction], before: int = 0
) -> tuple[GeneralLayer, ...]:
    """What the host computes in the middle, with the instructions that wait for it."""
    return tuple(
        GeneralLayer(
            name=node.name,
            at=before + sum(item.layer < border for item in code),
            operators=_operators(graph, node),
            reads=tuple(dict.fromkeys(node.inputs)),
            output=node.output,
            layer_type=int(str(node.attributes.get(general.LAYER_TYPE, 0))),
        )
        for border, node in trips(graph)
    )


def _behind(graph: Graph) -> tuple[HostOperator, ...]:
    """What the host computes behind the chip."""
    if not graph.host:
        return ()
    known = host.shapes(host.share(graph, batch=1))
    return tuple(_host_operator(op, known) for op in graph.host)


def _operators(graph: Graph, node: Node) -> tuple[HostOperator, ...]:
    """Those of a General, which call tensors by the names that these have in the program."""
    read, made = general.reads_of(node), general.made_by(node)
    inputs = {
        name: graph.tensors[given].shape for name, given in zip(read, node.inputs, strict=True)
    }
    known = host.shapes(
        general.float_model(node.host, inputs, made, graph.tensors[node.output].shape)
    )
    names = dict(zip(read, node.inputs, strict=True))
    names[made] = node.output

    def called(given: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(names.get(name, name) for name in given)

    return tuple(
        replace(_host_operator(op, known), inputs=called(op.inputs), outputs=called(op.outputs))
        for op in node.host
    )


def _tensors(
    plan: Plan, code: Sequence[Instruction], hosted: Mapping[str, int], placed: _Code
) -> dict[str, StoredTensor]:
    """Every tensor that the program makes, inputs first.

    ``hosted``: those that the host makes, and before which instruction.
    """
    graph = plan.graph
    in_fspm = {} if plan.order is None else plan.order.pieces
    stores: dict[int, tuple[int, int]] = {}  # layer -> its first and its last store
    for index, item in enumerate(code):
        if isinstance(item, Store):
            stores[item.layer] = (stores.get(item.layer, (index,))[0], index)
    lives = dict.fromkeys(graph.inputs, (-1, -1))
    executed = {layer.node.output: index for index, layer in enumerate(plan.layers)}
    found: dict[str, StoredTensor] = {}
    for name in graph.inputs:
        found[name] = _stored(graph.tensors[name], plan.locations[name], -1, -1)
    for node in graph.nodes:
        name = node.output
        if name in in_fspm:
            pieces = [
                item._replace(first=placed.at(item.first), ready=placed.at(item.ready))
                for item in in_fspm[name]
            ]
            found[name] = _in_pieces(graph.tensors[name], pieces)
            continue
        if is_placed(node):  # its bytes are those of its inputs, or among them
            parts = [lives[item] for item in node.inputs]
            lives[name] = (min(a for a, _ in parts), max(b for _, b in parts))
        elif is_hosted(node):
            lives[name] = (hosted[name] - 1, hosted[name] - 1)
        else:
            lives[name] = stores[executed[name]]
        if name in plan.locations:
            found[name] = _stored(graph.tensors[name], plan.locations[name], *lives[name])
    return found


def _host_operator(op: HostOp, known: Mapping[str, host.Described]) -> HostOperator:
    """``known``: shapes and types of values as ONNX infers them."""
    makes = [_made(known.get(name)) for name in op.outputs]
    return HostOperator(
        name=op.name,
        op=op.op,
        inputs=op.inputs,
        outputs=op.outputs,
        attributes=op.attributes,
        constants={name: constant(values) for name, values in sorted(op.constants.items())},
        makes=() if None in makes else tuple(filter(None, makes)),
    )


def _made(described: host.Described | None) -> Made | None:
    """None where a size is not known, or numpy has no such type."""
    from onnx import helper

    shape, kind = described or (None, 0)
    if shape is None or not kind:
        return None
    sizes = tuple(size for size in shape if isinstance(size, int))
    name = str(helper.tensor_dtype_to_np_dtype(kind))
    if len(sizes) != len(shape) or name not in get_args(ElementType):
        return None
    return Made(cast(ElementType, name), sizes)


def _stored(
    tensor: Tensor, location: Location, first: int, ready: int, pieces: tuple[Piece, ...] = ()
) -> StoredTensor:
    _, channels, height, width = tensor.shape
    assert tensor.scale is not None
    scale = tensor.scale.tolist()
    kind = cast(IntegerType, tensor.dtype.name)  # another is refused where it is written
    return StoredTensor(
        name=tensor.name,
        shape=(1, channels, height, width),
        type=kind,
        scale=tuple(scale) if isinstance(scale, list) else scale,
        address=location.address,
        row_stride=location.row_stride,
        column_stride=location.column_stride,
        first=first,
        ready=ready,
        pieces=pieces,
    )


def _in_pieces(tensor: Tensor, pieces: Sequence[schedule.Piece]) -> StoredTensor:
    """A tensor that is in FSPM only."""
    found = tuple(
        Piece(
            row=item.rows[0],
            rows=item.rows[1] - item.rows[0],
            address=item.place.address,
            row_stride=item.place.row_stride,
            column_stride=item.place.column_stride,
            first=item.first,
            ready=item.ready,
        )
        for item in pieces
    )
    first, ready = min(item.first for item in found), max(item.ready for item in found)
    return _stored(tensor, Location(*pieces[0].place), first, ready, found)
