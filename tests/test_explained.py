"""What is said of a layer in a schedule: every number of a sentence, worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest

from assembled import TINY
from knightlite import chip_files
from knightlite.compiler import plan_graph
from knightlite.lower import work_of
from knightlite.schedule.blocks import Block, Key
from knightlite.schedule.layers import Part
from knightlite.schedule.regions import Region
from knightlite.schedule.tiling import Tiling, geometry
from quantized_nets import QuantizedNet

explained: Any = import_module("knightlite.schedule.explained")  # a function has its name


def made(**fields: Any) -> Any:
    return SimpleNamespace(**fields)


def named(count: int, **fields: Any) -> list[Any]:
    return [made(node=made(name=f"l{at}"), index=at, height=10, **fields) for at in range(count)]


def test_level_0() -> None:
    """Bands of rows, parts of output channels, parts of input channels: 2, 4 and 3."""
    net = QuantizedNet()
    graph = net.build(net.conv(net.input("x", 48, 8, 8), "y", 96))
    shape = geometry(graph, work_of(graph, graph.nodes[0]), TINY)
    layer = made(tiling=Tiling(5, 24, 16, False, 1), geometry=shape, fspm_bytes=3210)
    assert explained._in_turn(layer) == (
        "level 0: from DDR to DDR in 2 bands of rows x 4 parts of its output channels x 3 of its "
        "input channels; 3,210 bytes of FSPM's 4,096."
    )


# ------------------------------------------------------------------ how it is walked


def step(band: int, rows: tuple[int, int], *moves: Any) -> Any:
    return made(band=band, tile=made(rows=rows), moves=moves)


def walked(region: Region, *steps: Any) -> str:
    layers = named(5)
    return str(explained._walked(made(layers=layers), region, layers[1], steps))


MOVE = made(rows=(3, 5), width=7, channels=(4, 10), size=2)  # 2 x 7 x 6 x 2 bytes
BANDS = (step(0, (0, 4)), step(1, (4, 8)), step(2, (8, 10)))


@pytest.mark.parametrize(
    ("region", "steps", "sentence"),
    [
        (Region(1, 2, 1, tiling=Tiling(1, 1, 1, False, 1)), (),
         "walked alone: from DDR to DDR in tiles of its own, as at level 0."),
        (Region(1, 2, 1), (), "walked as a whole, in one band."),
        (Region(1, 4, 1), (), "walked with l1 .. l3."),
        (Region(1, 2, 3), BANDS, "walked in 3 bands of rows."),
        (Region(0, 2, 3), BANDS, "walked in 3 bands of rows with l0 .. l1 (2 layers)."),
        # two parts of the channels of a band are the same rows
        (Region(1, 4, 3), (*BANDS, *BANDS), "walked in 3 bands of rows with l1 .. l3 (3 layers)."),
        (Region(1, 2, 3), (step(0, (0, 5)), step(1, (4, 8)), step(2, (6, 10))),
         "walked in 3 bands of rows; 3 rows are computed again, beside its 10."),
        (Region(1, 2, 3), (step(0, (0, 5)), step(1, (5, 8), MOVE, MOVE), step(2, (8, 10), MOVE)),
         "walked in 3 bands of rows; rows that two bands read are kept, 504 bytes of them moved on "
         "chip."),
        (Region(1, 2, 2), (step(0, (0, 5), MOVE), step(1, (4, 10))),
         "walked in 2 bands of rows; rows that two bands read are kept, 168 bytes of them moved on "
         "chip; 1 rows are computed again, beside its 10."),
    ],
)  # fmt: skip
def test_how_a_layer_is_walked(region: Region, steps: tuple[Any, ...], sentence: str) -> None:
    assert walked(region, *steps) == sentence


# ------------------------------------------------------------------ where its output lives


def block(kind: str, name: str, size: int = 0, last: int = 0, inside: Block | None = None) -> Block:
    return Block(Key(kind, name), (0, 1), (0, 1), size, first=0, last=last, inside=inside)


def order(live: list[int], steps: list[Any], size: int = 90, **more: Any) -> Any:
    """A tensor t of ``size`` bytes in a network of four layers, on a chip with 100."""
    buffer = made(name="t", delivered=False, first=1, last=2, whole_bytes=lambda chip: size)
    network = made(
        layers=named(4, engine=1, y=made(buffer="t")), buffers={"t": buffer},
        chip=made(fspm_bytes=100), loaded_as_weights={},
    )  # fmt: skip
    for name, value in more.items():
        setattr(buffer if name == "delivered" else network, name, value)
    return made(network=network, laid=made(live=live, steps=steps))


def at(layer: int, *, x: Any = None, z: Any = None, y: Any = None, **more: Any) -> Any:
    return made(**{"layer": layer, "x": x, "z": z, "y": y, "stores": (), "alone": False, **more})


def resident(*reads: tuple[str, int], y_of_reader: Block | None = None, whole: Block) -> str:
    """What is said of layer 1, which writes channels 0 to 4 of t; ``reads``: (x or z, from)."""
    found = order([0] * 5, [at(0), at(1, y=whole), at(1, y=whole)])
    layers, steps = found.network.layers, found.laid.steps
    for item in layers:
        item.x, item.z = Part("u", "u", (0, 4), True), None
        item.y = Part("t", "t", (0, 4), True)
    for layer, (name, channel) in enumerate(reads, 2):
        setattr(layers[layer], name, Part("t", "t", (channel, channel + 4), True))
        steps.append(at(layer, y=block("whole", "v"), **{name: whole}))
    steps[-1].y = y_of_reader or steps[-1].y
    return str(explained._lives(found, layers[1], steps[1:3]))


def test_what_stays_says_until_when() -> None:
    """Until its last reader, not of the block's last step: later layers may write in its place."""
    whole = block("whole", "t", last=9)
    told = "resident: its output (90 bytes) stays whole in FSPM until {}."
    assert resident(("x", 0), ("z", 2), whole=whole) == told.format("l3 has read it")
    assert resident(("x", 0), ("z", 4), whole=whole) == told.format("l2 has read it")  # others
    assert resident(whole=whole) == told.format("it is stored")
    replaced = "l2 has read it, which writes its own output in that place"
    for root in (whole, block("whole", "r", last=9)):
        own = whole if root is whole else block("whole", "t", last=3, inside=root)
        y = block("whole", "v", last=9, inside=root)
        assert resident(("x", 0), whole=own, y_of_reader=y) == told.format(replaced)
    other = block("whole", "v", inside=block("whole", "w"))
    assert resident(("x", 0), whole=whole, y_of_reader=other) == told.format("l2 has read it")


def test_what_is_replaced_in_a_network_ends_with_its_reader() -> None:
    """A sum takes the place of a convolution's output, and is read on there."""
    net = QuantizedNet()
    x = net.conv(net.input("x", 8, 4, 4), "a", 8)
    y = net.add(net.conv(x, "b", 8), net.conv(x, "c", 8), "sum")
    plan = plan_graph(net.build(net.conv(y, "y", 8)), chip_files.find("TX5368AV200"), "T", level=1)
    told = [item for item in explained.explained(plan) if "resident" in item.sentence]
    stays = "resident: its output (128 bytes) stays whole in FSPM until"
    assert [(item.nodes[-1], item.sentence) for item in told] == [
        ("a", f"{stays} sum has read it."),
        ("b", f"{stays} sum has read it, which writes its own output in that place."),
        ("sum", f"{stays} y has read it."),
    ]


def test_segments_are_told_by_the_largest() -> None:
    sizes = [at(1, y=block("band", "t", size)) for size in (1100, 1300, 1200)]
    found = order([0] * 3, sizes)
    assert explained._lives(found, found.network.layers[1], sizes) == (
        "on chip: its output lives only in segments of up to 1,300 bytes in FSPM."
    )


def spilled(found: Any, **layer: Any) -> str:
    own = replace_fields(found.network.layers[1], layer)
    steps = [at(1, y=block("band", "t", 5)), at(1, y=block("band", "t", 5), stores=("one",))]
    alone = [at(1, y=block("slots", "1"), alone=True)]
    told = explained._lives(found, own, steps)
    assert explained._lives(found, own, alone) == told
    start = "spilled: its output goes to DDR, "
    assert told.startswith(start)
    return str(told).removeprefix(start)


def replace_fields(item: Any, fields: dict[str, Any]) -> Any:
    return made(**{**vars(item), **fields})


def test_what_must_be_in_ddr() -> None:
    assert spilled(order([], [], delivered=True)) == "where the host reads it."
    assert spilled(order([], []), engine=None) == "as what is only moved goes from DDR to DDR."
    assert spilled(order([], [], loaded_as_weights={"t": 3})) == (
        "from where l3 loads it as weights: WSPM is filled from DDR alone."
    )
    assert spilled(order([], [], size=1100)) == "as whole it is 1,100 bytes and FSPM has 100."


def test_what_finds_no_room_is_told_where() -> None:
    """Beside what else is alive while it lives; the first of steps where that is most."""
    own, other = block("band", "t", 7), block("band", "u", 5)
    inside = block("band", "t", 3, inside=other)
    steps = [
        at(0),  # before it lives
        at(1, x=other, y=own),
        at(1, x=own, y=own, z=inside),  # each of its blocks once, none that lies in another
        at(2, x=own, y=other),
        at(2, x=other, z=own),
        at(3),  # behind
    ]
    for live, beside, name in (
        ([99, 27, 22, 27, 26, 99], 20, "l1"),
        ([99, 26, 28, 27, 27, 99], 21, "l1"),
        ([99, 17, 17, 27, 28, 99], 21, "l2"),
    ):
        assert spilled(order(live, steps)) == (
            f"as whole it is 90 bytes, beside {beside} at {name}: {90 + beside} of FSPM's 100 do "
            "not fit."
        )
    assert spilled(order([0, 17, 17, 17, 17, 0], steps)) == (
        "as whole it is 90 bytes, beside 10 at l1: FSPM's 100 would do, but the estimates found it "
        "no faster."
    )


# ------------------------------------------------------------------ why no further


@pytest.mark.parametrize(
    ("borders", "engine", "joins", "bands", "sentences"),
    [
        ((3,), None, False, 2, ["not walked with l3: the host computes before it."]),
        ((2,), None, False, 2,
         ["not walked with l3, which no engine computes: it is moved from DDR to DDR."]),
        ((), 1, False, 1,
         ["not walked with l3: one of both cuts its tensors otherwise than by channels, or writes "
          "bytes that the other still reads."]),
        ((), 1, True, 4,
         ["not walked with l3: the estimates found 2 layers in 4 bands cheaper than with one "
          "more."]),
        ((), 1, True, 1, []),
    ],
)  # fmt: skip
def test_why_the_next_layer_is_not_walked_with_it(
    borders: tuple[int, ...], engine: Any, joins: bool, bands: int, sentences: list[str]
) -> None:
    layers = [*named(3, engine=1), *(replace_fields(x, {"engine": engine}) for x in named(5)[3:])]
    asked: list[Any] = []

    def answer(layer: Any, behind: list[Any]) -> bool:
        asked.append((layer.index, [item.index for item in behind]))
        return joins

    with patch.object(explained, "joins", answer):
        region = replace(Region(0, 3, bands), first=1)
        found = list(explained._border(made(layers=layers, borders=borders), region))
    assert found == sentences
    assert asked in ([], [(2, [3])])
