"""Tokens: enough that every overlap of the queues is safe, and each one that is needed is there.

The judge beside the machine's own check is a plain closure over what surely happens before what.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from assembled import load, make, store
from conformance_checks import Built, artificial, build, random_inputs
from knightlite.chip_files import find
from knightlite.container import StoredTensor
from knightlite.emit.tokens import with_tokens
from knightlite.errors import MachineError
from knightlite.ir import Graph
from knightlite.isa import Affine, Engine, Instruction, Matrix, Space, Store, assemble
from knightlite.sim import Machine, simulate_time
from knightlite.sim.ordering import check_races, order
from quantized_nets import SCALE, QuantizedNet

SMALL = artificial(
    replace(
        find("TX5368AV200").chip,
        fspm_bytes=2560,
        wspm_bytes=1536,
        mspm_bytes=768,
        wspm_align_bytes=64,
        mspm_align_bytes=64,
        matrix_input_lanes=8,
        matrix_output_lanes=16,
    )
)


def network() -> Graph:
    """Every engine, tiles in both orders, partial sums, a copy, layers that could overlap."""
    net = QuantizedNet()
    x = net.input("x", 12, 8, 8)
    a = net.conv(net.affine(x, "t"), "a", 20, (3, 3), pads=(1, 1, 1, 1))
    b = net.add(a, net.conv(a, "c", 20), "b", scale=SCALE)
    w = net.concat("w", net.max_pool(x, "p", kernel=(1, 1)), b, x)
    return net.build(net.table(net.conv(w, "d", 9), "y"))


@pytest.fixture(scope="module")
def built() -> Built:
    return build(network(), SMALL)


# ------------------------------------------------------------------ the other judge

Pair = tuple[int, int]  # sender, receiver: positions in the program


def tokens(items: Sequence[Instruction]) -> Iterator[tuple[Engine, Engine, list[int], list[int]]]:
    """Per pair of engines: who sends a token, and who waits for one, in order."""
    for sender in Engine:
        for receiver in Engine:
            sent = [
                i
                for i, item in enumerate(items)
                if sender == item.ENGINE and item.signal >> receiver & 1
            ]
            taken = [
                i
                for i, item in enumerate(items)
                if receiver == item.ENGINE and item.wait >> sender & 1
            ]
            yield sender, receiver, sent, taken


def before(items: Sequence[Instruction]) -> NDArray[np.bool_] | None:
    """``[i, j]``: instruction i has surely ended when j starts.

    None where one waits for ever, or a token is left at the end.
    """
    found = np.zeros((len(items), len(items)), np.bool_)
    for engine in Engine:
        queue = [i for i, item in enumerate(items) if engine == item.ENGINE]
        for first, second in pairwise(queue):
            found[first, second] = True
    for _, _, sent, taken in tokens(items):
        if len(taken) != len(sent):
            return None
        for first, second in zip(sent, taken, strict=True):
            if first >= second:
                return None
            found[first, second] = True
    for middle in range(len(items)):  # Warshall: all edges go forward
        found |= np.outer(found[:, middle], found[middle])
    return found


def conflicts(items: Sequence[Instruction]) -> list[Pair]:
    """Pairs that touch a common byte of a memory, at least one of them writing."""
    found = []
    accesses = [item.accesses() for item in items]
    for j in range(len(items)):
        for i in range(j):
            if any(
                a.space == b.space
                and a.first < b.last
                and b.first < a.last
                and (a.write or b.write)
                for a in accesses[i]
                for b in accesses[j]
            ):
                found.append((i, j))
    return found


def safe(items: Sequence[Instruction], pairs: Sequence[Pair]) -> bool:
    """Whether every conflict is decided."""
    surely = before(items)
    return surely is not None and all(surely[pair] for pair in pairs)


def accepted(items: Sequence[Instruction]) -> bool:
    """The machine's own opinion."""
    layers = [str(index) for index in range(8)]
    try:
        check_races(items, order(items, layers), layers)
    except MachineError:
        return False
    return True


def without(items: Sequence[Instruction], taker: int, sender: Engine) -> list[Instruction]:
    """The program without the token that instruction ``taker`` consumes from ``sender``."""
    changed = list(items)
    for source, receiver, sent, taken in tokens(items):
        if source == sender and receiver == items[taker].ENGINE:
            giver = sent[taken.index(taker)]
            changed[giver] = replace(items[giver], signal=items[giver].signal & ~(1 << receiver))
            changed[taker] = replace(items[taker], wait=items[taker].wait & ~(1 << sender))
    return changed


def all_tokens(items: Sequence[Instruction]) -> list[tuple[int, Engine]]:
    return [
        (index, engine)
        for index, item in enumerate(items)
        for engine in Engine
        if item.wait >> engine & 1
    ]


# ------------------------------------------------------------------ a compiled program


def test_program_uses_every_engine(built: Built) -> None:
    items = built.machine.instructions
    assert {item.ENGINE for item in items} == set(Engine)
    assert any(isinstance(item, Matrix) and item.accumulate_in for item in items)
    assert 60 < len(items) < 400
    assert safe(items, conflicts(items))
    assert accepted(items)


def test_every_token_is_sent_and_taken(built: Built) -> None:
    for sender, receiver, sent, taken in tokens(built.machine.instructions):
        assert len(sent) == len(taken)
        assert sender != receiver or not sent
        assert all(first < second for first, second in zip(sent, taken, strict=True))


def test_a_missing_token_is_found(built: Built) -> None:
    """Without any one token the check fails, or the token was implied by the others."""
    items = built.machine.instructions
    pairs = conflicts(items)
    found = implied = 0
    for taker, sender in all_tokens(items):
        damaged = without(items, taker, sender)
        verdict = accepted(damaged)
        assert verdict == safe(damaged, pairs)
        found += not verdict
        implied += verdict
    assert found > 2 * implied > 0


def test_a_token_that_is_not_sent_is_found(built: Built) -> None:
    """Taking away only the signal, or only the wait, is found as well: the counter is not 0."""
    items = built.machine.instructions
    for taker, sender in all_tokens(items):
        (sent,) = (row[2] for row in tokens(items) if row[:2] == (sender, items[taker].ENGINE))
        silent = list(items)
        last = sent[-1]
        silent[last] = replace(items[last], signal=items[last].signal & ~(1 << items[taker].ENGINE))
        assert not accepted(silent)
        deaf = list(items)
        deaf[taker] = replace(items[taker], wait=items[taker].wait & ~(1 << sender))
        assert not accepted(deaf)


def test_machine_says_what_a_missing_token_does(built: Built) -> None:
    """The first Matrix does not wait for its loads: the program is refused before it runs."""
    items = list(built.machine.instructions)
    index = next(i for i, item in enumerate(items) if isinstance(item, Matrix))
    damaged = without(items, index, Engine.RDMA)
    program = replace(built.program, code=assemble(damaged))
    with pytest.raises(MachineError, match=r"a race with instruction .*: no token orders") as e:
        Machine(program, SMALL).check()
    layer = built.program.meta.layers[items[index].layer].name
    assert e.value.sentence.startswith(f"instruction {index} (matrix, layer {layer}) reads ")


def other_order(items: Sequence[Instruction], rng: np.random.Generator) -> list[int]:
    """The same queues, interleaved otherwise, as tokens allow: which instruction is next."""
    surely = before(items)
    assert surely is not None
    left = set(range(len(items)))
    found = []
    while left:
        free = [j for j in sorted(left) if not any(surely[i, j] for i in left)]
        place = int(rng.choice(free))
        left.remove(place)
        found.append(place)
    return found


def moved(entry: StoredTensor, old: Sequence[Instruction], new: Sequence[int]) -> StoredTensor:
    """The entry of a layer's output where its stores have other numbers."""
    layer = old[entry.ready].layer
    stores = [at for at, i in enumerate(new) if isinstance(old[i], Store) and old[i].layer == layer]
    return replace(entry, first=min(stores), ready=max(stores))


def test_any_legal_order_gives_the_same_bytes(built: Built, rng: np.random.Generator) -> None:
    graph, items, meta = network(), built.machine.instructions, built.program.meta
    inputs = random_inputs(graph, rng)
    wanted = built.machine.run(inputs)["y"].tobytes()
    seen = set()
    for _ in range(5):
        order = other_order(items, rng)
        code = assemble(items[i] for i in order)
        assert code not in seen
        seen.add(code)
        y = tuple(moved(entry, items, order) for entry in meta.outputs)
        changed = replace(meta, outputs=y, tensors=(*meta.inputs, *y))
        machine = Machine(replace(built.program, meta=changed, code=code), SMALL)
        assert machine.run(inputs)["y"].tobytes() == wanted


# ------------------------------------------------------------------ any program


@st.composite
def instructions(draw: st.DrawFn) -> Instruction:
    """An instruction on few bytes, so that conflicts are many."""
    place, other = draw(st.integers(0, 12)), draw(st.integers(0, 12))
    size = draw(st.integers(1, 4))
    kind = draw(st.integers(0, 3))
    if kind == 0:
        space = draw(st.sampled_from((Space.FSPM, Space.WSPM, Space.MSPM)))
        return load(space, place, size, other)
    if kind == 1:
        return store(place, other, size)
    feature = {"x_address": place, "y_address": other, "x_channels": size, "y_channels": size}
    if kind == 2:
        return make(Matrix, **feature, weight_address=draw(st.integers(0, 12)))
    return make(Affine, **feature, parameter_address=draw(st.integers(0, 12)))


@given(st.lists(instructions(), max_size=25))
def test_any_program_becomes_safe(plain: list[Instruction]) -> None:
    items = with_tokens(plain)
    assert [replace(item, wait=0, signal=0) for item in items] == plain
    pairs = conflicts(items)
    assert safe(items, pairs)
    assert accepted(items)
    assert simulate_time(items, find("TX5368AV200").chip).total_cycles >= 0  # no deadlock
    for _, _, sent, taken in tokens(items):
        assert len(sent) == len(taken)
    # never more tokens than conflicts between engines
    across = sum(items[i].ENGINE != items[j].ENGINE for i, j in pairs)
    assert len(all_tokens(items)) <= across


def plainly(items: Sequence[Instruction]) -> list[Instruction]:
    """The tokens of a look at every pair of instructions."""
    wait, signal = [0] * len(items), [0] * len(items)
    waited: dict[Pair, int] = {}
    pairs = conflicts(items)
    for index, item in enumerate(items):
        for source in set(Engine) - {item.ENGINE}:
            earlier = [a for a, b in pairs if b == index and source == items[a].ENGINE]
            latest, key = max(earlier, default=-1), (int(source), int(item.ENGINE))
            if latest > waited.get(key, -1):
                waited[key] = latest
                wait[index] |= 1 << source
                signal[latest] |= 1 << item.ENGINE
    return [
        replace(item, wait=wait[index], signal=signal[index]) for index, item in enumerate(items)
    ]


@given(st.lists(instructions(), max_size=40))
def test_tokens_are_those_of_a_look_at_every_pair(plain: list[Instruction]) -> None:
    assert with_tokens(plain) == plainly(plain)
    numbers = [index // 3 for index in range(len(plain))]
    numbered = [replace(item, layer=number) for item, number in zip(plain, numbers, strict=True)]
    assert with_tokens(plain, True, numbers) == with_tokens(numbered, True)


@given(st.lists(instructions(), min_size=2, max_size=12), st.data())
def test_both_judges_agree_on_any_damage(plain: list[Instruction], data: st.DataObject) -> None:
    items = with_tokens(plain)
    index = data.draw(st.integers(0, len(items) - 1))
    bits = st.integers(0, 15)
    items[index] = replace(items[index], wait=data.draw(bits), signal=data.draw(bits))
    assert accepted(items) == safe(items, conflicts(items))


def test_two_engines_by_hand() -> None:
    """Load, compute, store twice over one buffer: who waits for whom, written out."""
    plain = [
        load(Space.FSPM, 0, 4, 0),
        make(Affine, x_address=0, y_address=8, x_channels=4, y_channels=4),
        store(8, 64, 4),
        load(Space.FSPM, 4, 4, 0),
        make(Affine, x_address=0, y_address=8, x_channels=4, y_channels=4),
        store(8, 68, 4),
    ]
    rdma, wdma, rcvt = 1 << Engine.RDMA, 1 << Engine.WDMA, 1 << Engine.RCVT
    assert [(item.wait, item.signal) for item in with_tokens(plain)] == [
        (0, rcvt),
        (rdma, wdma | rdma),  # its end feeds the store, and frees x for the next load
        (rcvt, rcvt),
        (rcvt, rcvt),
        (rdma | wdma, wdma),  # y is free once the store has read it
        (rcvt, 0),
    ]
