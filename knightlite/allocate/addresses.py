"""DDR addresses by lifetime: buffers whose lives do not meet share bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from knightlite.allocate.draft import Place, is_hosted, is_placed
from knightlite.chip import Chip
from knightlite.errors import CapacityError, Finding
from knightlite.ir import Graph, Node

COLUMN_ALIGN = 4  # bytes: a pixel's channels are padded to whole words


@dataclass(frozen=True, slots=True)
class Buffer:
    """A block of DDR: its bytes, the strides inside, and the layers [first, last] it lives for."""

    name: str
    size_bytes: int
    row_stride: int
    column_stride: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Location:
    """Where a feature tensor lies in DDR: byte address, row stride, pixel stride."""

    address: int
    row_stride: int
    column_stride: int


@dataclass(frozen=True, slots=True)
class Region:
    """DDR outside the network's memory, of all its inputs or outputs: the host has it elsewhere."""

    of: str
    address: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Assigned:
    """Buffers with their addresses; one past the last byte in DDR; what lies outside, in order."""

    blocks: tuple[Buffer, ...]
    addresses: Mapping[str, int]
    total: int
    regions: tuple[Region, ...] = ()


def align(value: int, step: int) -> int:
    """``value`` rounded up to a multiple of ``step``."""
    return -(-value // step) * step


def layers(graph: Graph) -> tuple[Node, ...]:
    """The nodes that execute on the chip; others are only placements, or the host's."""
    return tuple(node for node in graph.nodes if not is_placed(node) and not is_hosted(node))


def trips(graph: Graph) -> tuple[tuple[int, Node], ...]:
    """The nodes that the host computes, each with the number of layers before it.

    Those before which equally many layers stand are one trip from the chip to the host and back.
    """
    found, executed = [], 0
    for node in graph.nodes:
        if is_hosted(node):
            found.append((executed, node))
        else:
            executed += not is_placed(node)
    return tuple(found)


def buffers(graph: Graph, places: Mapping[str, Place], chip: Chip) -> tuple[Buffer, ...]:
    """Every buffer with its size and life, in order of first use."""
    executed = layers(graph)
    lives: dict[str, tuple[int, int]] = {}

    def touch(tensor: str, layer: int) -> None:
        buffer = places[tensor].buffer
        first, last = lives.get(buffer, (layer, layer))
        lives[buffer] = (min(first, layer), max(last, layer))

    for name in graph.inputs:
        touch(name, -1)
    for index, node in enumerate(executed):
        for name in (*node.inputs, *node.outputs):
            if name in places:
                touch(name, index)
    for border, node in trips(graph):  # until then what others read there stays as well
        for name in (*node.inputs, *node.outputs):
            touch(name, border)
    # what stays between frames is written into its input behind the last layer
    for name in (*graph.chip_outputs, *(state.input for state in graph.states)):
        touch(name, len(executed))
    return tuple(_buffer(graph, name, first, last, chip) for name, (first, last) in lives.items())


def _buffer(graph: Graph, name: str, first: int, last: int, chip: Chip) -> Buffer:
    tensor = graph.tensors[name]
    _, channels, height, width = tensor.shape
    column_stride = align(channels * tensor.dtype.size_bytes, COLUMN_ALIGN)
    row_stride = width * column_stride
    size = align(height * row_stride, chip.ddr_align_bytes)
    return Buffer(name, size, row_stride, column_stride, first, last)


def assign(blocks: Sequence[Buffer], base: int) -> dict[str, int]:
    """Buffer name -> address: largest first, each at the lowest address free for its whole life."""
    done: list[tuple[Buffer, int]] = []
    for block in sorted(blocks, key=lambda item: (-item.size_bytes, item.first, item.name)):
        busy = sorted(
            (address, address + other.size_bytes)
            for other, address in done
            if other.first <= block.last and block.first <= other.last
        )
        position = base
        for begin, end in busy:
            if position + block.size_bytes <= begin:
                break
            position = max(position, end)
        done.append((block, position))
    return {block.name: address for block, address in done}


def assign_all(
    graph: Graph,
    places: Mapping[str, Place],
    blocks: Sequence[Buffer],
    base: int,
    chip: Chip,
    apart: Sequence[str] = (),
) -> Assigned:
    """Addresses of all buffers; ``apart``: ``inputs`` and ``outputs`` lie behind all others.

    There they are one behind the other, at whole words, and share no byte with anything.
    """
    sides = {"inputs": graph.fed_inputs, "outputs": graph.seen_chip_outputs}
    by_name = {block.name: block for block in blocks}
    outside = {
        side: tuple(dict.fromkeys(places[name].buffer for name in sides[side]))
        for side in sides
        if side in apart
    }
    moved = {name for names in outside.values() for name in names}
    own = [block for block in blocks if block.name not in moved]
    addresses = assign(own, base)
    total = max((addresses[block.name] + block.size_bytes for block in own), default=base)
    last = max((block.last for block in blocks), default=0)
    regions = []
    for side, names in outside.items():
        address = total = align(total, chip.ddr_align_bytes)
        for name in names:
            size = graph.tensors[name].shape[2] * by_name[name].row_stride
            by_name[name] = replace(by_name[name], size_bytes=size, first=-1, last=last)
            addresses[name] = total
            total += size
        regions.append(Region(side, address, total - address))
    return Assigned(tuple(by_name.values()), addresses, total, tuple(regions))


def check_budget(blocks: Sequence[Buffer], total: int, constants: int, chip: Chip) -> None:
    """CapacityError naming the tensors alive at the peak, where DDR does not suffice."""
    if total <= chip.ddr_bytes:
        return
    moments = {block.first for block in blocks}
    alive = max(
        ([b for b in blocks if b.first <= moment <= b.last] for moment in moments),
        key=lambda group: sum(block.size_bytes for block in group),
    )
    findings = [
        Finding(block.name, f"{block.size_bytes} bytes are alive at the peak.")
        for block in sorted(alive, key=lambda item: -item.size_bytes)
    ]
    raise CapacityError(
        f"the network needs {total} bytes of DDR ({constants} of constants), the chip gives "
        f"{chip.ddr_bytes}.",
        "use a smaller input size, or a chip description with more ddr_bytes",
        findings,
    )


def locations(
    graph: Graph,
    places: Mapping[str, Place],
    blocks: Sequence[Buffer],
    addresses: Mapping[str, int],
) -> dict[str, Location]:
    """Where every feature tensor lies."""
    by_name = {block.name: block for block in blocks}
    found = {}
    for name, part in places.items():
        if part.buffer not in by_name:
            continue  # never touched by a layer
        block = by_name[part.buffer]
        window = part.window
        strides = (block.row_stride * window.row_step, block.column_stride * window.column_step)
        found[name] = Location(
            addresses[part.buffer]
            + window.row * block.row_stride
            + window.column * block.column_stride
            + window.channel * graph.tensors[name].dtype.size_bytes,
            *(reversed(strides) if window.turned else strides),
        )
    return found
