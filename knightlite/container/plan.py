"""The ``plan`` of a ``.cfg``: what a reader without JSON needs, in records of fixed size.

It says nothing that the description does not say: whoever reads both compares them. The layout is
declared once, here; the page on formats and the header of the runtime in C are generated from it.
All numbers are little-endian; a text is (offset, bytes) in the texts at the end.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np

from knightlite.container.description import (
    Attribute,
    Constant,
    Description,
    ElementType,
    HostOperator,
    KeptState,
    Made,
    Side,
    StoredTensor,
)
from knightlite.dtypes import S8, S16, U8
from knightlite.errors import FormatError
from knightlite.json_records import canonical_json, to_json

DIGEST_BYTES = 32
NOWHERE = (1 << 32) - 1
ELEMENT_TYPES: tuple[str, ...] = get_args(ElementType)
TYPE_CODES = {dtype.name: code for code, dtype in enumerate((U8, S8, S16))}
"""As in the fields of instructions."""


@dataclass(frozen=True, slots=True)
class Item:
    """A field of a record. ``code``: as ``struct`` has it."""

    name: str
    code: str
    doc: str


@dataclass(frozen=True, slots=True)
class Record:
    """A record of fixed size: its fields one after the other, without gaps."""

    name: str
    doc: str
    items: tuple[Item, ...]

    @property
    def form(self) -> struct.Struct:
        """Packs and unpacks it."""
        return struct.Struct("<" + "".join(item.code for item in self.items))

    @property
    def offsets(self) -> tuple[int, ...]:
        """Where its fields begin."""
        sizes = [struct.calcsize("<" + item.code) for item in self.items]
        return tuple(sum(sizes[:at]) for at in range(len(sizes)))


def _text(name: str, doc: str) -> tuple[Item, Item]:
    return Item(f"{name}_offset", "I", f"{doc}: where in the texts"), Item(
        f"{name}_bytes", "I", f"{doc}: how long, in UTF-8"
    )


HEAD = Record(
    "head",
    "Once, at the start.",
    (
        Item("pair", "32s", "identity of the program, 0 where it is hashed"),
        Item("description", "32s", "SHA-256 of `meta` with an empty text for `pair`"),
        Item("chip_digest", "32s", "`chip_digest`"),
        Item("ddr_bytes", "Q", "`ddr_bytes`"),
        Item("constants_bytes", "Q", "`constants_bytes`"),
        Item("chip_ddr_bytes", "Q", "fact of the chip"),
        Item("fspm_bytes", "Q", "fact of the chip"),
        Item("wspm_bytes", "Q", "fact of the chip"),
        Item("mspm_bytes", "Q", "fact of the chip"),
        Item("wspm_align_bytes", "Q", "fact of the chip"),
        Item("inputs_address", "Q", "`address` of the inputs' own memory; 0: they have none"),
        Item("inputs_size", "Q", "its `size`; 0: they have none"),
        Item("outputs_address", "Q", "the same of the outputs"),
        Item("outputs_size", "Q", "the same of the outputs"),
        Item("once", "Q", "`instructions` of what stays on the chip; 0: nothing does"),
        Item("kept_wspm_address", "Q", "its `wspm_address`"),
        Item("kept_wspm_bytes", "Q", "its `wspm_bytes`"),
        Item("kept_mspm_address", "Q", "its `mspm_address`"),
        Item("kept_mspm_bytes", "Q", "its `mspm_bytes`"),
        Item("layers", "I", "number of layers"),
        Item("tensors", "I", "number of tensors"),
        Item("inputs", "I", "number of inputs"),
        Item("outputs", "I", "number of outputs"),
        Item("scales", "I", "number of scales"),
        Item("host_operators", "I", "number of operators that the host runs behind the chip"),
        Item("general_layers", "I", "number of layers that the host runs between segments"),
        Item("general_reads", "I", "number of tensors that they read"),
        Item("host_operands", "I", "number of what they read and make"),
        Item("host_attributes", "I", "number of their attributes"),
        Item("numbers", "I", "number of numbers"),
        Item("results", "I", "number of outputs of the network"),
        Item("states", "I", "number of states that stay between frames"),
        *_text("name", "name of the network"),
        *_text("chip", "chip name"),
        *_text("res_version", "`res_version`"),
    ),
)
LAYER = Record("layer", "One per layer, in the order of execution.", _text("name", "its name"))
TENSOR = Record(
    "tensor",
    "One per tensor that lies in DDR, in the order of `tensors`.",
    (
        *_text("name", "its name"),
        Item("type", "I", "0 u8, 1 s8, 2 s16"),
        Item("scales", "I", "how many scales it has: 1, or one per channel"),
        Item("scale_index", "I", "which of the scales is its first"),
        Item("reserved", "I", "0"),
        Item("channels", "Q", "C"),
        Item("height", "Q", "H"),
        Item("width", "Q", "W"),
        Item("address", "Q", "byte address in DDR"),
        Item("row_stride", "Q", "bytes between rows"),
        Item("column_stride", "Q", "bytes between pixels of a row"),
        Item("first", "q", "as `first`"),
        Item("ready", "q", "as `ready`"),
    ),
)
GENERAL = Record(
    "general",
    "One per layer that the host runs between segments, in the order of `general`.",
    (
        *_text("name", "its name"),
        *_text("op", "kinds of its operators, joined by a comma"),
        Item("at", "Q", "as `at`"),
        Item("output", "I", "which of the tensors it writes"),
        Item("reads", "I", "how many tensors it reads"),
        Item("first_read", "I", "which of the tensors that such layers read is its first"),
        Item("layer_type", "I", "as `layer_type`"),
        Item("first_operator", "I", "which of the operators is its first"),
        Item("operators", "I", "how many it has, which follow those of the layer before"),
        Item("result", "I", "which of its values it writes"),
    ),
)
PLACE = Record(
    "place",
    "One per input, then one per output, then one per tensor that a general layer reads.",
    (Item("tensor", "I", "which of the tensors it is"),),
)
SCALE = Record("scale", "One per scale.", (Item("value", "f", "what 1 is worth"),))
HOST_OPERATOR = Record(
    "host_operator",
    "One per operator that the host runs behind the chip, then one per operator of the layers that "
    "it runs between segments, in their order.",
    (
        *_text("name", "of the node"),
        *_text("op", "ONNX operator"),
        Item("first_operand", "I", "which of the operands is its first"),
        Item("inputs", "I", "how many of them it reads"),
        Item("outputs", "I", "how many follow these, which it makes"),
        Item("first_attribute", "I", "which of the attributes is its first"),
        Item("attributes", "I", "how many it has, sorted by name"),
    ),
)
HOST_OPERAND = Record(
    "host_operand",
    "One per operand of these operators. Values are counted from what the chip leaves: its "
    "outputs, or the tensors that the layer reads; then what its operators make.",
    (
        *_text("name", "what the operator reads or makes; empty: left out"),
        Item("value", "I", "which of the values it is; of a constant, or left out, 4294967295"),
        Item("type", "I", "of a constant or a result: which of the types of `Constant`; else "
             "4294967295"),
        Item("axes", "I", "of a constant or a result: how many axes it has"),
        Item("first_size", "I", "of a constant or a result: which of the numbers is its first "
             "size"),
        Item("data_offset", "I", "of a constant: where in the texts its elements are"),
        Item("data_bytes", "I", "of a constant: how many bytes they have"),
    ),
)  # fmt: skip
HOST_ATTRIBUTE = Record(
    "host_attribute",
    "One per attribute of these operators.",
    (
        *_text("name", "its name"),
        Item("kind", "I", "0 whole numbers, 1 float64, 2 texts: (bytes * 2^32) + offset"),
        Item("is_list", "I", "1 where it is a list, else 0"),
        Item("count", "I", "how many it has"),
        Item("first_number", "I", "which of the numbers is its first"),
    ),
)
RESULT = Record("result", "One per output of the network.", _text("name", "its name"))
STATE = Record(
    "state",
    "One per state, in the order of `states`.",
    (
        Item("input", "I", "which of the tensors its input is"),
        Item("output", "I", "which of the tensors its output is"),
        *_text("initial", "little-endian elements of the input before the first frame, one per "
               "channel; none: 0"),
    ),
)  # fmt: skip
NUMBER = Record("number", "One per number.", (Item("value", "q", "a whole number, or 64 bits"),))
RECORDS = (
    HEAD, LAYER, TENSOR, GENERAL, PLACE, SCALE,
    HOST_OPERATOR, HOST_OPERAND, HOST_ATTRIBUTE, RESULT, STATE, NUMBER,
)  # fmt: skip
"""In the order of the file; behind them lie the texts."""


class _Texts:
    """Texts one after the other, equal ones once."""

    def __init__(self) -> None:
        self.data = bytearray()
        self._known: dict[bytes, tuple[int, int]] = {}

    def place(self, text: str) -> tuple[int, int]:
        """(Offset, bytes)."""
        return self.put(text.encode("utf-8", "surrogatepass"))  # JSON may hold half characters

    def put(self, data: bytes) -> tuple[int, int]:
        """The same of bytes."""
        if data not in self._known:
            self._known[data] = (len(self.data), len(data))
            self.data += data
        return self._known[data]


def plan_bytes(meta: Description, pair: str = "00" * DIGEST_BYTES) -> bytes:
    """The section of a description; ``pair``: the identity, 64 hexadecimal digits.

    FormatError where a number does not fit its field.
    """
    try:
        return _plan_bytes(meta, bytes.fromhex(pair))
    except (struct.error, OverflowError) as error:
        raise FormatError(
            f"the description of {meta.name} does not fit its plan: {error}."
        ) from error


def _plan_bytes(meta: Description, pair: bytes) -> bytes:
    texts, chip = _Texts(), meta.chip_values
    described = canonical_json(to_json(replace(meta, pair="")))
    scales: list[float] = []
    tensors = meta.tensors_in_ddr
    host = _Host(texts)
    steps, _ = host.operators(_names(meta.outputs), meta.host)
    general, inner = _general(meta, texts, host)
    steps += inner
    head = HEAD.form.pack(
        pair, hashlib.sha256(described).digest(), bytes.fromhex(meta.chip_digest),
        meta.ddr_bytes, meta.constants_bytes, chip.ddr_bytes, chip.fspm_bytes, chip.wspm_bytes,
        chip.mspm_bytes, chip.wspm_align_bytes, *_region(meta, "inputs"),
        *_region(meta, "outputs"), *_once(meta), len(meta.layers), len(tensors),
        len(meta.inputs), len(meta.outputs), sum(map(_scale_count, tensors)), len(meta.host),
        len(meta.general), sum(len(item.reads) for item in meta.general),
        len(host.operands), len(host.attributes), len(host.numbers), len(meta.graph_outputs),
        len(meta.states),
        *texts.place(meta.name), *texts.place(meta.chip), *texts.place(meta.res_version),
    )  # fmt: skip
    parts = [head]
    parts += [LAYER.form.pack(*texts.place(layer.name)) for layer in meta.layers]
    parts += [_tensor(entry, texts, scales) for entry in tensors]
    parts += general
    reads = [name for item in meta.general for name in item.reads]
    for names in (_names(meta.inputs), _names(meta.outputs), reads):
        parts += [PLACE.form.pack(at) for at in _places(meta, names)]
    parts += [SCALE.form.pack(value) for value in scales]
    parts += [*steps, *host.operands, *host.attributes]
    parts += [RESULT.form.pack(*texts.place(name)) for name in meta.graph_outputs]
    parts += [_state(meta, state, texts) for state in meta.states]
    parts += [NUMBER.form.pack(value) for value in host.numbers]
    return b"".join([*parts, bytes(texts.data)])


class _Host:
    """Records of what the host runs, one list for all operators."""

    def __init__(self, texts: _Texts) -> None:
        self._texts = texts
        self.operands: list[bytes] = []
        self.attributes: list[bytes] = []
        self.numbers: list[int] = []

    def operators(
        self, given: Iterable[str], steps: Iterable[HostOperator]
    ) -> tuple[list[bytes], dict[str, int]]:
        """The records of operators, and the numbers of all values; ``given``: the first ones."""
        values = {name: at for at, name in enumerate(given)}
        found, count = [], len(values)
        for step in steps:
            found.append(self._operator(step, values, count))
            values.update({name: count + at for at, name in enumerate(step.outputs) if name})
            count += len(step.outputs)
        return found, values

    def _operator(self, step: HostOperator, values: Mapping[str, int], count: int) -> bytes:
        """The record of an operator, once those of its operands and attributes are made."""
        first_operand, first_attribute = len(self.operands), len(self.attributes)
        for name in step.inputs:
            known = step.constants.get(name)
            value = NOWHERE if known else values.get(name, NOWHERE)
            self.operands.append(self._operand(name, value, known, known.data if known else None))
        for at, name in enumerate(step.outputs):
            made = step.makes[at] if step.makes else None
            self.operands.append(self._operand(name, count + at, made, None))
        self.attributes += [self._attribute(*item) for item in sorted(step.attributes.items())]
        return HOST_OPERATOR.form.pack(
            *self._texts.place(step.name), *self._texts.place(step.op), first_operand,
            len(step.inputs), len(step.outputs), first_attribute, len(step.attributes),
        )  # fmt: skip

    def _operand(
        self, name: str, value: int, kind: Constant | Made | None, data: bytes | None
    ) -> bytes:
        if kind is None:
            return HOST_OPERAND.form.pack(*self._texts.place(name), value, NOWHERE, 0, 0, 0, 0)
        first_size = len(self.numbers)
        self.numbers += kind.shape
        return HOST_OPERAND.form.pack(
            *self._texts.place(name), value, ELEMENT_TYPES.index(kind.type), len(kind.shape),
            first_size, *((0, 0) if data is None else self._texts.put(data)),
        )  # fmt: skip

    def _attribute(self, name: str, value: Attribute) -> bytes:
        values = value if isinstance(value, tuple) else (value,)
        kind, first = next(iter(map(_kind, values)), 0), len(self.numbers)
        self.numbers += map(self._number, values)
        return HOST_ATTRIBUTE.form.pack(
            *self._texts.place(name), kind, isinstance(value, tuple), len(values), first
        )

    def _number(self, value: float | str) -> int:
        if isinstance(value, int):
            return value
        if isinstance(value, str):
            offset, size = self._texts.place(value)
            return size << 32 | offset
        bits: int = struct.unpack("<q", struct.pack("<d", value))[0]
        return bits


def _kind(value: float | str) -> int:
    return 2 if isinstance(value, str) else 1 if isinstance(value, float) else 0


def _scale_count(entry: StoredTensor) -> int:
    return len(entry.scale) if isinstance(entry.scale, tuple) else 1


def _tensor(entry: StoredTensor, texts: _Texts, scales: list[float]) -> bytes:
    _, channels, height, width = entry.shape
    first_scale = len(scales)
    scales += entry.scale if isinstance(entry.scale, tuple) else (entry.scale,)
    return TENSOR.form.pack(
        *texts.place(entry.name), TYPE_CODES[entry.type], _scale_count(entry), first_scale, 0,
        channels, height, width, entry.address, entry.row_stride, entry.column_stride, entry.first,
        entry.ready,
    )  # fmt: skip


def _state(meta: Description, state: KeptState, texts: _Texts) -> bytes:
    kind = state.input.dtype.numpy.newbyteorder("<")
    initial = np.asarray(state.initial, kind).tobytes()
    places = _places(meta, (state.input.name, state.output.name))
    return STATE.form.pack(*places, *texts.put(initial))


def _general(meta: Description, texts: _Texts, host: _Host) -> tuple[list[bytes], list[bytes]]:
    """The records of general layers, and of their operators."""
    found: list[bytes] = []
    inner: list[bytes] = []
    first = 0
    for item in meta.general:
        operators, values = host.operators(item.reads, item.operators)
        place = len(meta.host) + len(inner)
        inner += operators
        found.append(
            GENERAL.form.pack(
                *texts.place(item.name), *texts.place(item.op), item.at,
                *_places(meta, [item.output]), len(item.reads), first, item.layer_type,
                place, len(operators), values.get(item.output, NOWHERE),
            )
        )  # fmt: skip
        first += len(item.reads)
    return found, inner


def _region(meta: Description, side: Side) -> tuple[int, int]:
    """Address and size."""
    found = meta.region(side)
    return (0, 0) if found is None else (found.address, found.size)


def _once(meta: Description) -> tuple[int, ...]:
    found = meta.once
    if found is None:
        return (0,) * 5
    return (
        found.instructions, found.wspm_address, found.wspm_bytes, found.mspm_address,
        found.mspm_bytes,
    )  # fmt: skip


def _names(entries: Iterable[StoredTensor]) -> list[str]:
    return [entry.name for entry in entries]


def _places(meta: Description, names: Iterable[str]) -> list[int]:
    """Where they stand among the tensors; NOWHERE is refused where the description is read."""
    known = {entry.name: at for at, entry in enumerate(meta.tensors_in_ddr)}
    return [known.get(name, NOWHERE) for name in names]
