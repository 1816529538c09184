"""Tensors inside one another: Concat and Slice cost no instruction, only another place.

A feature map lies pixel by pixel (NHWC), so a branch of 12 or 48 channels is a run of 12 or 48
bytes in every pixel: a Concat's inputs are written straight into their part of its output, and a
Slice's readers look into the tensor that is cut, rows and columns with larger strides. The price,
bursts that are not full, is counted by the transfer's ``ddr_bytes``.

Tensors that lie inside one another form a buffer, named after the tensor that spans it. First
every Slice lies in its source. Then, from the last Concat to the first, the buffers of a Concat's
inputs are merged into its own, where the bytes allow it: two layers may write the same bytes of a
buffer if what the one wrote is no longer read when the other writes (as in ShuffleNet v2: half a
shuffled tensor goes on to the next Concat, and the new branch overwrites the other half). Where
that is not possible, or the input is the network's, a Copy is inserted: an operand that is larger
than another keeps its place first, since its copy costs more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from knightlite.allocate.draft import Draft, Joined, Place, draft_of, is_placed
from knightlite.allocate.lives import Group, together
from knightlite.ir import Graph, Node, Tensor
from knightlite.ops import BY_NAME, Window

JOINED = "joined"  # attribute of a Concat of parts of one layer: they are written side by side


def place_tensors(
    graph: Graph, copies_joined: bool = False, outputs_apart: bool = False
) -> tuple[Graph, Mapping[str, Place]]:
    """The graph with Copies where needed, and the place of every feature tensor.

    ``copies_joined``: every input of a Concat of the network's is copied. Copies go through the
    vector engine, so that they may stay on the chip. What the compiler has cut (``JOINED``) is not.
    ``outputs_apart``: every output lies for itself, whole.
    """
    if outputs_apart:
        graph = _with_whole_outputs(graph)
    draft = draft_of(graph)
    if outputs_apart:
        draft.given.update(graph.chip_outputs)
    copies = {
        node.name: _place_operands(
            draft, position, node, copies_joined and JOINED not in node.attributes
        )
        for position, node in reversed(list(enumerate(graph.nodes)))
        if node.output in draft.waiting
    }
    nodes: list[Node] = []
    tensors: list[Tensor] = []
    for node in graph.nodes:
        inputs = list(node.inputs)
        for position, name in sorted(copies.get(node.name, {}).items()):
            source = inputs[position]
            nodes.append(Node(name, "Copy", (source,), (name,), {"computed": 1}))
            tensors.append(replace(graph.tensors[source], name=name))
            inputs[position] = name
        nodes.append(replace(node, inputs=tuple(inputs)))
    return graph.with_nodes(nodes).with_tensors(tensors), draft.places


def _with_whole_outputs(graph: Graph) -> Graph:
    """The graph whose outputs that would be a part of another tensor are copies of it."""
    outputs = set(graph.chip_outputs)
    nodes: list[Node] = []
    tensors: list[Tensor] = []
    for node in graph.nodes:
        name = node.output
        if name not in outputs or not is_placed(node) or BY_NAME[node.op].cuts is None:
            nodes.append(node)
            continue
        inner = f"{name}/part_of_{node.inputs[0]}"
        nodes.append(replace(node, outputs=(inner,)))
        nodes.append(Node(f"{name}/copy", "Copy", (inner,), (name,), {"computed": 1}))
        tensors.append(replace(graph.tensors[name], name=inner))
    return graph.with_nodes(nodes).with_tensors(tensors)


# ------------------------------------------------------------------ one Concat


def _place_operands(draft: Draft, position: int, node: Node, copies_joined: bool) -> dict[int, str]:
    """Place the inputs of one Concat; returns the operands that need a copy."""
    output = node.output
    pending = draft.waiting[output]
    if not copies_joined and _share(draft, output):
        return {}
    by_size = (
        []
        if copies_joined
        else sorted(pending, key=lambda index: -draft.graph.tensors[node.inputs[index]].elements)
    )
    for index in by_size:
        part = pending.pop(index)
        life = draft.lives.get(draft.places[output].buffer, {}).pop((output, index), None)
        if not _take_place(draft, output, part):
            pending[index] = part
            if life is not None:
                draft.lives[draft.places[output].buffer][output, index] = life
    copies: dict[int, str] = {}
    for index, part in sorted(pending.items()):
        name = copies[index] = f"{part.tensor}/copy_for_{node.name}_{index}"
        place = draft.places[output]
        draft.graph = draft.graph.with_tensors(
            [replace(draft.graph.tensors[part.tensor], name=name)]
        )
        draft.add(name, Place(place.buffer, part.window.within(place.window)))
        draft.written[name] = draft.read[name] = position
        draft.views[name] = [output]
        draft.executed.add(name)
    draft.claimed.add(draft.places[output].buffer)
    if copies:
        draft.lives.pop(draft.places[output].buffer, None)
    pending.clear()
    return copies


def _share(draft: Draft, output: str) -> bool:
    """Put the Concat where all its inputs already lie as it wants them; False where they do not."""
    pending = draft.waiting[output]
    if output in draft.given:
        return False
    parts = list(pending.values())
    first = draft.places[parts[0].tensor]
    whole = _shifted(first.window, parts[0].window)
    if first.buffer == draft.places[output].buffer or any(
        draft.places[part.tensor] != Place(first.buffer, part.window.within(whole))
        for part in parts
    ):
        return False
    if len(parts) == 1 and first.buffer not in draft.claimed:
        return False  # an input that lies alone can move as well
    kept = dict(pending)
    pending.clear()
    draft.lives.pop(draft.places[output].buffer, None)
    if _merge(draft, output, whole, first.buffer):
        return True
    pending.update(kept)
    draft.lives.pop(draft.places[output].buffer, None)
    return False


def _shifted(place: Window, part: Window) -> Window:
    """Where a whole lies of which ``part``, without steps of its own, lies at ``place``."""
    row, column = (part.column, part.row) if place.turned else (part.row, part.column)
    return replace(
        place,
        channel=place.channel - part.channel,
        row=place.row - row * place.row_step,
        column=place.column - column * place.column_step,
    )


def _take_place(draft: Draft, output: str, part: Joined) -> bool:
    """Let an input lie in its part of the Concat; False where it needs a copy."""
    whole, own = draft.places[output], draft.places[part.tensor]
    wanted = Place(whole.buffer, part.window.within(whole.window))
    if own.buffer == wanted.buffer:
        return own == wanted
    if own.buffer in draft.given or own.buffer in draft.claimed:
        return False
    return _merge(draft, part.tensor, wanted.window, wanted.buffer)


# ------------------------------------------------------------------ two buffers


def _merge(draft: Draft, tensor: str, wanted: Window, buffer: str) -> bool:
    """Merge the buffer of ``tensor`` into ``buffer`` so that it lies at ``wanted``, if it may.

    One of them must span the other, and nothing may be overwritten that is still read.
    """
    own = draft.places[tensor]
    if replace(own.window, channel=0, row=0, column=0) != replace(
        wanted, channel=0, row=0, column=0
    ):
        return False  # other steps
    shift = (
        wanted.channel - own.window.channel,
        wanted.row - own.window.row,
        wanted.column - own.window.column,
    )
    inner, outer = draft.sizes(own.buffer), draft.sizes(buffer)
    moving, staying = Group(draft, own.buffer), Group(draft, buffer)
    if all(
        begin >= 0 and begin + small <= large
        for begin, small, large in zip(shift, inner, outer, strict=True)
    ):
        span, moving = buffer, moving.moved(shift)
    elif buffer not in draft.given and all(
        begin <= 0 and large <= begin + small
        for begin, small, large in zip(shift, inner, outer, strict=True)
    ):
        span, staying = own.buffer, staying.moved((-shift[0], -shift[1], -shift[2]))
    else:
        return False
    windows = staying.windows | moving.windows
    lives = together(draft, staying, moving)
    if lives is None:
        return False
    taken = {own.buffer, buffer} & draft.claimed
    draft.claimed -= {own.buffer, buffer}
    if taken:
        draft.claimed.add(span)
    for name in (own.buffer, buffer):
        del draft.members[name]
        draft.lives.pop(name, None)
    draft.members[span] = list(windows)
    draft.lives[span] = lives
    draft.places.update({name: Place(span, window) for name, window in windows.items()})
    return True
