"""Slices cost nothing, and buffers are shared in time: how many copies, and every byte exact."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from conformance_checks import build, random_inputs, reference, run
from knightlite.allocate import Place, place_tensors, places
from knightlite.allocate.draft import Draft, Joined, Life, LifeKey
from knightlite.allocate.lives import Group, lives_of, together
from knightlite.ir import Graph
from knightlite.ops import Window
from quantized_nets import QuantizedNet


def copies(graph: Graph) -> list[str]:
    """The copied tensors."""
    found, _ = place_tensors(graph)
    return [node.inputs[0] for node in found.nodes if node.op == "Copy"]


def exact(graph: Graph) -> None:
    """Every tensor, for two pictures one after the other, against the integer references."""
    built = build(graph, "TX5112CV201", level=1)
    for seed in range(2):
        inputs = random_inputs(graph, np.random.default_rng(seed))
        found, wanted = run(built, inputs), reference(graph, inputs)
        assert set(wanted) <= set(found)
        for name, values in wanted.items():
            np.testing.assert_array_equal(found[name], values, name)


windows = st.builds(
    Window, *[st.integers(0, 9)] * 3, st.integers(1, 4), st.integers(1, 4), st.booleans()
)


def place_in(window: Window, channel: int, row: int, column: int) -> tuple[int, int, int]:
    """Where an element of a part lies in the tensor."""
    if window.turned:
        row, column = column, row
    return (
        window.channel + channel,
        window.row + row * window.row_step,
        window.column + column * window.column_step,
    )


@settings(max_examples=60)
@given(windows, windows, st.tuples(*[st.integers(0, 5)] * 3))
def test_a_part_of_a_part(outer: Window, inner: Window, at: tuple[int, int, int]) -> None:
    assert place_in(inner.within(outer), *at) == place_in(outer, *place_in(inner, *at))


def halves(net: QuantizedNet, x: str, stem: str) -> tuple[str, str]:
    count = net.channels(x)
    _, _, high, wide = net.builder.tensors[x].shape
    middle = count // 2
    return (
        net.cut(x, f"{stem}0", ends=(middle, high, wide)),
        net.cut(x, f"{stem}1", starts=(middle, 0, 0)),
    )


def chunk(net: QuantizedNet) -> Graph:
    """CSP: two halves of a tensor, one through convolutions, joined again: b over the half."""
    c = net.conv(net.input("x", 3, 6, 6), "c", 8)
    left, right = halves(net, c, "s")
    branch = net.conv(net.conv(right, "a", 4), "b", 4)
    return net.build(net.conv(net.concat("j", left, branch), "y", 4))


def shuffle_units(net: QuantizedNet) -> Graph:
    """ShuffleNet v2 without its shuffles (their place is taken by convolutions)."""
    x = net.conv(net.input("x", 3, 6, 6), "c", 8)
    for index in range(3):
        kept, worked = halves(net, x, f"s{index}")
        worked = net.conv(net.conv(worked, f"a{index}", 4), f"b{index}", 4)
        x = net.conv(net.concat(f"j{index}", kept, worked), f"c{index}", 8)
    return net.build(x)


def chunk_at_once(net: QuantizedNet) -> Graph:
    """One convolution reads the half that its output would overwrite: it may not."""
    c = net.conv(net.input("x", 3, 6, 6), "c", 8)
    left, right = halves(net, c, "s")
    return net.build(net.conv(net.concat("j", left, net.conv(right, "b", 4)), "y", 4))


def half_still_read(net: QuantizedNet) -> Graph:
    """The half that the branch would overwrite is read once more: now a copy is needed."""
    c = net.conv(net.input("x", 3, 6, 6), "c", 8)
    left, right = halves(net, c, "s")
    joined = net.concat("j", left, net.conv(net.conv(right, "a", 4), "b", 4))
    return net.build(net.conv(joined, "y", 4), net.conv(right, "z", 4))


def whole_still_read(net: QuantizedNet) -> Graph:
    c = net.conv(net.input("x", 3, 6, 6), "c", 8)
    left, right = halves(net, c, "s")
    net.concat("j", left, net.conv(net.conv(right, "a", 4), "b", 4))
    return net.build("j", net.conv(c, "z", 4))


def split_outputs(net: QuantizedNet) -> Graph:
    """Slices, and a slice of a slice, that the network delivers."""
    c = net.conv(net.input("x", 3, 6, 7), "c", 8)
    left, right = halves(net, c, "s")
    return net.build(left, net.cut(right, "inner", (1, 1, 2), (3, 6, 7), (1, 2, 3)))


def of_the_input(net: QuantizedNet) -> Graph:
    """Focus of the network's input: four strided slices, each needs a copy behind the others."""
    x = net.input("x", 3, 8, 6)
    parts = [
        net.cut(x, f"p{row}{column}", (0, row, column), steps=(1, 2, 2))
        for column in (0, 1)
        for row in (0, 1)
    ]
    return net.build(net.conv(net.concat("f", *parts), "y", 4, (3, 3), pads=(1, 1, 1, 1)))


def halves_of_the_input(net: QuantizedNet) -> Graph:
    """Two inputs in one, as for a stereo pair, and joined again: nothing moves."""
    x = net.input("x", 6, 5, 5)
    left, right = halves(net, x, "s")
    whole = net.concat("j", left, right)
    return net.build(net.conv(left, "a", 4), net.conv(right, "b", 4), net.conv(whole, "c", 4))


def swapped(net: QuantizedNet) -> Graph:
    c = net.conv(net.input("x", 3, 5, 5), "c", 8)
    left, right = halves(net, c, "s")
    return net.build(net.conv(net.concat("j", right, left), "y", 4))


def rows_and_columns(net: QuantizedNet) -> Graph:
    """A picture put together from four."""
    x = net.input("x", 3, 5, 6)
    a, b, c, d = (net.conv(x, name, 4) for name in "abcd")
    top, bottom = net.concat("top", a, b, axis=3), net.concat("bottom", c, d, axis=3)
    whole = net.concat("whole", top, bottom, axis=2)
    return net.build(net.conv(whole, "y", 3, (3, 3), pads=(1, 1, 1, 1)))


def uneven(net: QuantizedNet) -> Graph:
    """The Concat is larger than the tensor of which it keeps a part."""
    c = net.conv(net.input("x", 3, 6, 6), "c", 8)
    left, right = halves(net, c, "s")
    joined = net.concat("j", net.conv(right, "b", 12), left)
    return net.build(net.conv(joined, "y", 4))


def dual_path(net: QuantizedNet) -> Graph:
    """DPN: a convolution's halves go to an Add and to a Concat that grows."""
    x = net.input("x", 3, 5, 5)
    residual, dense = halves(net, net.conv(x, "c", 8), "s")
    for index in range(2):
        new = net.conv(net.concat(f"i{index}", residual, dense), f"c{index}", 6)
        kept = net.cut(new, f"k{index}", ends=(4, 5, 5))
        grown = net.cut(new, f"g{index}", (4, 0, 0))
        residual = net.add(residual, kept, f"a{index}", scale=0.05)
        dense = net.concat(f"d{index}", dense, grown)
    return net.build(net.concat("y", residual, dense))


CASES: dict[Callable[[QuantizedNet], Graph], int] = {
    chunk: 0,
    chunk_at_once: 1,
    shuffle_units: 0,
    half_still_read: 1,
    whole_still_read: 1,
    split_outputs: 0,
    of_the_input: 4,
    halves_of_the_input: 0,
    swapped: 2,
    rows_and_columns: 0,
    uneven: 1,
    dual_path: 3,
}


@pytest.mark.parametrize("make", CASES, ids=lambda item: item.__name__)
def test_copies(make: Callable[[QuantizedNet], Graph]) -> None:
    graph = make(QuantizedNet())
    assert len(copies(graph)) == CASES[make], copies(graph)
    exact(graph)


def test_the_larger_of_two_operands_keeps_its_place() -> None:
    """A part in front of the whole: either could stay, and a copy of the part costs less."""
    net = QuantizedNet()
    x = net.input("x", 3, 4, 4)
    b = net.conv(x, "b", 5)
    s = net.cut(b, "s", starts=(1, 0, 0))
    graph = net.build(net.concat("k", x, s, net.concat("j", s, b)))
    assert copies(graph) == ["s", "x", "s"]
    exact(graph)


def test_bytes_are_shared_in_time() -> None:
    """The branch overwrites the half that nobody reads any more."""
    _, found = place_tensors(chunk(QuantizedNet()))
    assert {name: found[name] for name in ("c", "s0", "s1", "b", "j")} == {
        "c": Place("j"), "s0": Place("j"), "s1": Place("j", Window(4)),
        "b": Place("j", Window(4)), "j": Place("j"),
    }  # fmt: skip


def test_without_the_look_at_lives_bytes_are_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check is what keeps ``half_still_read`` exact."""
    monkeypatch.setattr(places, "together", lambda draft, one, other: one.lives | other.lives)
    graph = half_still_read(QuantizedNet())
    assert copies(graph) == []
    with pytest.raises(AssertionError, match="z"):
        exact(graph)


def test_windows_of_windows() -> None:
    inner, outer = Window(1, 2, 3, 2, 3), Window(4, 1, 1, 5, 7)
    assert inner.within(outer) == Window(5, 11, 22, 10, 21)
    assert inner.within(Window()) == inner == Window().within(inner)


@st.composite
def tangles(draw: st.DrawFn, most: int) -> Graph:
    """Slices and Concats of one another, with convolutions that overwrite."""
    net = QuantizedNet()
    known = [net.conv(net.input("x", 3, 4, 4), "a", 4), net.conv("x", "b", 4), "x"]
    for index in range(draw(st.integers(2, most))):
        kind, x = draw(st.sampled_from(["cut", "join", "work"])), draw(st.sampled_from(known))
        _, channels, height, width = net.builder.tensors[x].shape
        if kind == "cut":
            starts, ends = [], []
            for size in (channels, height, width):
                starts.append(draw(st.integers(0, (size - 1) // 2)))
                ends.append(draw(st.integers(starts[-1] + 1, size)))
            steps = (1, draw(st.integers(1, 2)), draw(st.integers(1, 2)))
            known.append(net.cut(x, f"s{index}", tuple(starts), tuple(ends), steps))  # type: ignore[arg-type]
        elif kind == "join":
            axis = draw(st.integers(1, 3))
            sizes = list(net.builder.tensors[x].shape)
            fitting = [
                name
                for name in known
                if [s for i, s in enumerate(net.builder.tensors[name].shape) if i != axis]
                == [s for i, s in enumerate(sizes) if i != axis]
            ]
            more = draw(st.lists(st.sampled_from(fitting), min_size=1, max_size=3))
            known.append(net.concat(f"j{index}", x, *more, axis=axis))
        else:
            known.append(net.conv(x, f"c{index}", draw(st.integers(1, 5))))
    wanted = [name for name in known if name != "x"]
    outputs = st.lists(st.sampled_from(wanted), min_size=1, max_size=2, unique=True)
    return net.build(*draw(outputs))


@settings(max_examples=30)
@given(tangles(7))
def test_random_slices_and_concats(graph: Graph) -> None:
    """All bytes exact."""
    exact(graph)


@settings(max_examples=100)
@given(tangles(14))
def test_what_comes_is_held_against_all_that_is_there(graph: Graph) -> None:
    """The look at what is new finds what a look at every pair in the buffer finds."""
    looks = []

    def look(draft: Draft, one: Group, other: Group) -> dict[LifeKey, Life] | None:
        found = together(draft, one, other)
        windows = one.windows | other.windows
        whole = lives_of(draft, windows, windows)
        clash = any(a.clashes(b) for a, b in itertools.combinations(whole.values(), 2))
        assert found == (None if clash else whole)
        looks.append(clash)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(places, "together", look)
        place_tensors(graph)
    event(f"merged {looks.count(False)}, refused {looks.count(True)}")


@pytest.mark.parametrize("kept", ["", "given", "claimed"])
def test_what_lies_for_itself_is_copied_into_a_join(
    kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the host writes, and what another join needs as it is; all else goes in its part."""
    net = QuantizedNet()
    a, b = net.conv(net.input("x", 3, 4, 4), "a", 4), net.conv("x", "b", 8)
    draft = Draft(net.build(net.concat("j", a, b)))
    for name in "abj":
        draft.add(name, Place(name))
    if kept:
        getattr(draft, kept).add("a")
    asked: list[tuple[str, Window, str]] = []

    def merge(of: Draft, tensor: str, window: Window, buffer: str) -> bool:
        asked.append((tensor, window, buffer))
        return True

    monkeypatch.setattr(places, "_merge", merge)
    assert places._take_place(draft, "j", Joined("a", Window(8))) == (not kept)
    assert asked == ([] if kept else [("a", Window(8), "j")])
