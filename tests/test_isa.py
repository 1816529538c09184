"""Every field of every instruction round-trips; what does not fit or is damaged is refused."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assembled import make
from conftest import Golden
from knightlite.errors import FormatError, MachineError
from knightlite.isa import (
    ALL_INSTRUCTIONS,
    Affine,
    Eltwise,
    EltwiseMode,
    Engine,
    FieldLayout,
    Instruction,
    Load,
    Lookup,
    Matrix,
    Move,
    Pick,
    Pool,
    PoolMode,
    Resize,
    ResizeMode,
    Softmax,
    Space,
    SparseMatrix,
    Store,
    assemble,
    disassemble,
    layout,
    listing_line,
    size_bytes,
)

HEADER = 4
RECORDS = pytest.mark.parametrize("record", ALL_INSTRUCTIONS, ids=lambda item: item.__name__)


def number(item: FieldLayout) -> st.SearchStrategy[int]:
    """Any value of a field, its ends often."""
    ends = st.sampled_from((item.minimum, item.maximum))
    return st.one_of(ends, st.integers(item.minimum, item.maximum))


def instruction_of(record: type[Instruction]) -> st.SearchStrategy[Instruction]:
    fields = {item.name: number(item) for item in layout(record)}
    return st.builds(record, **fields)


ANY = st.one_of(*(instruction_of(record) for record in ALL_INSTRUCTIONS))


def by_hand(item: Instruction) -> bytes:
    """The packing once more, bit by bit, from its description: bit 0 upwards in declared order."""
    bits: list[int] = []
    for field in layout(type(item)):
        value = getattr(item, field.name)
        bits += [(value >> place) & 1 for place in range(field.width)]
    bits += [0] * (-len(bits) % 32)
    packed = [sum(bit << place for place, bit in enumerate(bits[i : i + 8]))
              for i in range(0, len(bits), 8)]  # fmt: skip
    opcode = 1 + ALL_INSTRUCTIONS.index(type(item))
    return bytes([opcode, 0, 0, 0, *packed])


@given(st.lists(ANY, max_size=6))
def test_code_and_instructions_round_trip(items: list[Instruction]) -> None:
    code = assemble(items)
    assert code == b"".join(map(by_hand, items))
    assert disassemble(code) == items
    assert assemble(disassemble(code)) == code


@RECORDS
def test_fields_do_not_touch_each_other(record: type[Instruction]) -> None:
    """Each field alone at its ends, all others zero or least, and the other way round."""
    fields = layout(record)
    assert [item.offset for item in fields] == [
        sum(before.width for before in fields[:place]) for place in range(len(fields))
    ]
    zero = {item.name: max(0, item.minimum) for item in fields}
    full = {item.name: item.minimum if item.signed else item.maximum for item in fields}
    for rest, ends in ((zero, "maximum"), (zero, "minimum"), (full, "minimum"), (full, "maximum")):
        for item in fields:
            one = record(**{**rest, item.name: getattr(item, ends)})
            assert disassemble(assemble([one])) == [one]


@RECORDS
def test_out_of_range_is_refused(record: type[Instruction]) -> None:
    for item in layout(record):
        for value in (item.minimum - 1, item.maximum + 1):
            bad = make(record, **{item.name: value})
            sentence = (
                f"field {item.name} of {record.__name__} must lie in "
                f"[{item.minimum}, {item.maximum}], not {value}."
            )
            with pytest.raises(MachineError, match=f"^{re.escape(sentence)}$"):
                assemble([bad])


# ------------------------------------------------------------------ counts

_TILES = ("x_height", "x_width", "x_channels", "y_height", "y_width", "y_channels")
_WINDOW = (*_TILES, "kernel_height", "kernel_width", "stride_height", "stride_width")
COUNTS: dict[type[Instruction], tuple[str, ...]] = {
    Load: ("rows", "columns", "run_bytes"),
    Store: ("rows", "columns", "run_bytes"),
    Matrix: (*_WINDOW, "dilation_height", "dilation_width", "groups"),
    Affine: _TILES,
    Eltwise: _TILES,
    Pool: _WINDOW,
    Lookup: _TILES,
    Resize: (*_TILES, "unit_height", "unit_width"),
    Move: ("run_bytes", "count0", "count1", "count2", "count3"),
    Softmax: _TILES,
    Pick: _TILES,
    SparseMatrix: (
        *_WINDOW,
        "dilation_height",
        "dilation_width",
        "groups",
        "block_inputs",
        "block_outputs",
        "blocks",
    ),
}


@RECORDS
def test_counts_are_at_least_one(record: type[Instruction]) -> None:
    """None is written, none is read; all other fields may be 0."""
    code = assemble([make(Store), make(record)])
    first = len(assemble([make(Store)]))
    for item in layout(record):
        bad = make(record, **{item.name: 0})
        if item.name not in COUNTS[record]:
            assert disassemble(assemble([bad])) == [bad]
            continue
        with pytest.raises(MachineError, match=f"^field {item.name} of .* not 0.$"):
            assemble([bad])
        place = 8 * (first + HEADER) + item.offset
        damaged = int.from_bytes(code, "little") & ~(((1 << item.width) - 1) << place)
        with pytest.raises(FormatError) as caught:
            disassemble(damaged.to_bytes(len(code), "little"))
        assert caught.value.sentence == (
            f"the instruction at byte {first} ({record.MNEMONIC}) must have {item.name} of at "
            "least 1, not 0."
        )


# ------------------------------------------------------------------ damage


@RECORDS
def test_code_cut_short_is_refused(record: type[Instruction]) -> None:
    code = assemble([make(Load), make(record)])
    first = HEADER + size_bytes(Load)
    for length in range(1, len(code)):
        if length == first:
            assert disassemble(code[:length]) == [make(Load)]
            continue
        begin = 0 if length < first else first
        with pytest.raises(FormatError) as caught:
            disassemble(code[:length])
        if length - begin >= HEADER:
            wanted = f"the code ends inside the instruction at byte {begin}."
            assert caught.value.sentence == wanted
        else:
            assert f"at byte {begin}" in caught.value.sentence


@pytest.mark.parametrize("opcode", [0, len(ALL_INSTRUCTIONS) + 1, 255])
def test_unknown_opcode_is_refused(opcode: int) -> None:
    code = assemble([make(Store)])
    damaged = code + bytes([opcode]) + code[1:]
    with pytest.raises(FormatError) as caught:
        disassemble(damaged)
    assert caught.value.sentence == (
        f"the code holds no instruction at byte {len(code)} (opcode {opcode})."
    )


@RECORDS
def test_bits_that_mean_nothing_must_be_zero(record: type[Instruction]) -> None:
    """So that assemble(disassemble(code)) is the code, whatever was accepted."""
    code = assemble([make(record)])
    last = layout(record)[-1]
    spare = range(8 * HEADER + last.offset + last.width, 8 * len(code))
    for place in (*range(8, 8 * HEADER), *spare):
        damaged = bytearray(code)
        damaged[place // 8] ^= 1 << place % 8
        with pytest.raises(FormatError, match="at byte 0"):
            disassemble(bytes(damaged))


@given(st.lists(st.sampled_from(ALL_INSTRUCTIONS), min_size=2, max_size=5), st.data())
def test_of_several_faults_the_first_is_told(
    records: list[type[Instruction]], data: st.DataObject
) -> None:
    """Of instructions by their place in the code, of counts by that in the record."""
    items = [make(record) for record in records]
    code = bytearray(assemble(items))
    begins = [len(assemble(items[:at])) for at in range(len(items))]
    wrong = data.draw(st.sets(st.sampled_from(range(len(items))), min_size=1))
    first: dict[int, str] = {}
    for at in wrong:
        counts = [item for item in layout(records[at]) if item.name in COUNTS[records[at]]]
        chosen = data.draw(st.sets(st.sampled_from(range(len(counts))), min_size=1))
        for item in (counts[number] for number in chosen):
            bit = 8 * (begins[at] + HEADER) + item.offset  # all others are 0: of a count of 1
            code[bit // 8] &= ~(1 << bit % 8)
        first[at] = counts[min(chosen)].name
    with pytest.raises(FormatError) as caught:
        disassemble(bytes(code))
    at = min(wrong)
    assert caught.value.sentence == (
        f"the instruction at byte {begins[at]} ({records[at].MNEMONIC}) must have {first[at]} of "
        "at least 1, not 0."
    )


# ------------------------------------------------------------------ listing


def listed() -> list[Instruction]:
    """One of each kind, every named value of its fields, tokens of every engine."""
    signals = {"wait": 0b1001, "signal": 0b0100}
    return [
        make(Load, space=Space.WSPM, layer=3, ddr_address=1 << 39, run_bytes=256, **signals),
        make(Store, wait=1 << Engine.RCCN, rows=7, columns=9, run_bytes=48),
        make(Matrix, depthwise=1, prologue=1, prologue_type=1, residual=1, residual_type=2,
             multiplier=-16384, residual_multiplier=32767, shift=31, y_type=1),
        make(Pool, mode=PoolMode.SUM, kernel_height=3, kernel_width=3, multiplier=29127, shift=18),
        make(Eltwise, mode=EltwiseMode.MUL, z_type=1),
        make(Lookup, table_address=512, x_type=1, y_low=-128, y_high=127),
        make(Resize, mode=ResizeMode.LINEAR, step_height=2, offset_height=-1, unit_height=4,
             multiplier=32767, shift=54),
        make(Softmax, table_address=512, numerator=255),
        make(Pick, least=1, last=1),
    ]  # fmt: skip


def test_listing(golden: Golden) -> None:
    lines = [listing_line(index, item) for index, item in enumerate(listed())]
    golden.text("isa_listing.txt", "\n".join(lines) + "\n")


@given(ANY)
def test_listing_says_every_field(item: Instruction) -> None:
    """The listing alone tells two instructions apart; codes without a meaning are numbers."""
    line = listing_line(0, item)
    words = dict(word.split("=", 1) for word in line.split() if "=" in word)
    for field in layout(type(item)):
        value = int(getattr(item, field.name))
        shown: Any = words[field.name]
        if field.name in ("wait", "signal"):
            names = [] if shown == "-" else shown.split("+")
            assert sum(1 << Engine[name] for name in names) == value
        elif field.names and value < len(field.names):
            assert shown == field.names[value]
        else:
            assert int(shown) == value
