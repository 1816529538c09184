"""What a ``.cfg`` says of its program: one frozen record per kind of thing, checked when read.

The page on formats is generated from these records. A change of a key is a change of the format:
:data:`knightlite.container.sections.VERSION`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from knightlite import dtypes
from knightlite.chip import Chip
from knightlite.container.schedule_notes import ScheduleNotes
from knightlite.container.sections import REMEDY
from knightlite.dtypes import DType
from knightlite.errors import FormatError
from knightlite.json_records import (
    AtLeast,
    AtMostCharacters,
    AtMostItems,
    Between,
    Hexadecimal,
    NotEmpty,
    PositiveFloat32,
    key,
    shown,
)
from knightlite.layouts import Layout

MAX_RES_VERSION = 16
MAX_DIMENSIONS = 32  # of a constant; what every numpy can hold
MAX_ELEMENTS = 1 << 40  # of a constant, were no dimension 0
DDR_BITS = 40  # of an address

Count = Annotated[int, AtLeast(0)]
Positive = Annotated[int, AtLeast(1)]
Bytes = Annotated[int, Between(0, 1 << DDR_BITS)]
Digest = Annotated[str, Hexadecimal(64)]
Scale = Annotated[float, PositiveFloat32()]
FedAs = Literal["float32", "uint8", "int8", "int16"]
IntegerType = Literal["u8", "s8", "s16"]
ElementType = Literal[
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float16", "float32", "float64",
]  # fmt: skip
Side = Literal["inputs", "outputs"]
Attribute = int | float | str | tuple[int, ...] | tuple[float, ...] | tuple[str, ...]
Fault = tuple[str, str, str]
"""A key, what it must be, and what it is: two ends of a sentence."""


@dataclass(frozen=True, slots=True)
class InputNote:
    """How an input of the network is fed that is not plain float32."""

    type: FedAs = key("what it is fed with")
    mean: tuple[float, ...] = key("what the network subtracts, per channel or for all")
    std: tuple[float, ...] = key("what it divides by then")


@dataclass(frozen=True, slots=True)
class StateNote:
    """A state of a network of one step: what its output is, its input is in the next step."""

    input: str = key("name of the input")
    output: str = key("name of the output")
    initial: tuple[float, ...] = key(
        "what the input is in the first step, a number per channel; none: 0", default=()
    )


@dataclass(frozen=True, slots=True)
class QuantizationNotes:
    """What ``quant`` was asked for and what came of it, as ``X_quantize.onnx`` notes it."""

    bias_correction: str = key(
        "off, or how biases were corrected; `fast (sequential undone)` where that gained nothing, "
        "`fast (sequential not tried)` where it was left out"
    )
    bit_width: Literal[8, 16] = key("of features and weights")
    chip: str = key("chip name")
    data: str = key("what the network was fed with, in words")
    data_sha256: Digest = key("of all arrays that the network was fed with")
    effort: str = key("how much was tried")
    input_layout: Literal["nchw"] = key("layout of raw input files")
    method: str = key("how ranges were chosen")
    model_sha256: Digest = key(
        "of the float model's file; of the weights, or else the script, where a function builds it"
    )
    pictures: Positive = key("how many were seen")
    recipe: str | None = key("TOML text that prepares pictures")
    rounding: str = key(
        "how weights were rounded; `nearest (adaptive undone)` where that step lost, "
        "`nearest (adaptive not tried)` where it was left out"
    )
    seed: Count = key("of what is drawn at random")
    inputs: Mapping[str, InputNote] | None = key(
        "with `-qid`, `--mean` or `--std`, by input name", default=None
    )
    output_scales: bool | None = key(
        "where it was asked for: whether scales were moved by what the outputs keep", default=None
    )
    wide_tensors: bool | None = key(
        "false where no rule was to give 16 bits at 8 (`--wide-tensors off`)", default=None
    )
    ir_batch: Positive = key("frames that `sim` runs where none are asked for", default=1)
    declared_inputs: tuple[str, ...] = key(
        "where the model declares inputs that nothing reads, which are left out: all inputs in its "
        "order",
        default=(),
    )
    states: tuple[StateNote, ...] = key(
        "with `--unfixloop`: what stays from one step of a sequence to the next", default=()
    )


@dataclass(frozen=True, slots=True)
class Origin:
    """What a program was made from, and by what: the part of its description that is not the plan.

    See :class:`Description` for the keys.
    """

    version: str
    model_sha256: str
    input_layout: Layout = "nchw"
    res_version: str = "1.0"
    recipe: str | None = None
    quantization: QuantizationNotes | None = None


@dataclass(frozen=True, slots=True)
class Tile:
    """How a layer is cut into pieces that fit the scratchpads."""

    rows: Positive = key("output rows of a tile")
    output_channels: Positive = key("output channels of a tile")
    input_channels: Positive = key("input channels of a tile")
    order: Literal["channels", "rows"] = key("what the outer loop goes over")
    buffers: Positive = key("tiles of each operand that FSPM holds at once")


@dataclass(frozen=True, slots=True)
class Layer:
    """A node of the network, or several in one pass."""

    name: str = key("of the node")
    op: str = key("operators, joined by +")
    macs: Count = key("multiply-accumulates")
    estimated_cycles: Count = key("what the scheduler expects")
    tile: Tile = key("how it is cut")


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows of a tensor that lie in FSPM for a while."""

    row: Count = key("the first of them")
    rows: Positive = key("how many")
    address: Bytes = key("byte address in FSPM")
    row_stride: Bytes = key("bytes between rows")
    column_stride: Bytes = key("bytes between pixels of a row")
    first: Count = key("index of the first instruction that writes of them")
    ready: Count = key("index of the instruction after which they are complete")


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor: value = integer * scale. Pixels are apart by strides, channels dense.

    It lies in DDR, or nowhere as a whole: then ``pieces`` say where its rows are, and the address
    and the strides are those of the first piece.
    """

    name: str = key("of the tensor")
    shape: tuple[Literal[1], Positive, Positive, Positive] = key("1, C, H, W")
    type: IntegerType = key("of the integers")
    scale: Scale | tuple[Scale, ...] = key("what 1 is worth, or a list per channel")
    address: Bytes = key("byte address in DDR")
    row_stride: Bytes = key("bytes between rows")
    column_stride: Bytes = key("bytes between pixels of a row")
    first: Annotated[int, AtLeast(-1)] = key(
        "index of the instruction from which on its bytes are its own; -1: from the start"
    )
    ready: Annotated[int, AtLeast(-1)] = key(
        "index of the instruction after which it is complete; -1: from the start"
    )
    pieces: tuple[Piece, ...] = key(
        "of a tensor that is in FSPM only: its rows from the top, each complete for a while",
        default=(),
    )

    @property
    def dtype(self) -> DType:
        """Its element type."""
        return dtypes.BY_NAME[self.type]

    @property
    def pixel_bytes(self) -> int:
        """Bytes of all channels of a pixel."""
        return self.shape[1] * self.dtype.size_bytes

    @property
    def end(self) -> int:
        """One past its last byte in DDR; 0 where it is not there."""
        if self.pieces:
            return 0
        _, _, height, width = self.shape
        before = (height - 1) * self.row_stride + (width - 1) * self.column_stride
        return self.address + before + self.pixel_bytes

    def piece_end(self, piece: Piece) -> int:
        """One past the last byte in FSPM of one of its pieces."""
        before = (piece.rows - 1) * piece.row_stride
        before += (self.shape[3] - 1) * piece.column_stride
        return piece.address + before + self.pixel_bytes

    def misfits(self) -> Iterator[Fault]:
        """What two keys contradict each other in."""
        _, channels, height, width = self.shape
        if isinstance(self.scale, tuple) and len(self.scale) != channels:
            yield "scale", f"a list of {channels}, one per channel", f"a list of {len(self.scale)}"
        steps = (
            (self.column_stride, width, "column_stride"),
            (self.row_stride, height, "row_stride"),
        )
        reach = self.pixel_bytes
        for stride, count, name in sorted(steps):  # of a transposed tensor, rows are the shorter
            if count > 1 and stride < reach:
                yield name, f"at least {reach}", str(stride)
            reach += (count - 1) * stride
        yield from self._misfitting_pieces()
        if self.first > self.ready or (self.first < 0) != (self.ready < 0):
            wanted = "-1, as its first is" if self.first < 0 else f"at least {self.first}"
            yield "ready", wanted, str(self.ready)

    def _misfitting_pieces(self) -> Iterator[Fault]:
        """Pieces that leave rows out, or hold some twice."""
        row = 0
        for at, piece in enumerate(self.pieces):
            if piece.row != row:
                yield f"pieces[{at}].row", str(row), str(piece.row)
            if piece.first > piece.ready:
                yield f"pieces[{at}].ready", f"at least {piece.first}", str(piece.ready)
            row += piece.rows
        if not self.pieces:
            return
        if row != self.shape[2]:
            yield "pieces", f"those of {self.shape[2]} rows", f"of {row}"
        begin = self.pieces[0]
        for name, wanted in (
            ("address", begin.address),
            ("row_stride", begin.row_stride),
            ("column_stride", begin.column_stride),
            ("first", min(piece.first for piece in self.pieces)),
            ("ready", max(piece.ready for piece in self.pieces)),
        ):
            if getattr(self, name) != wanted:
                yield name, f"{wanted}, as its pieces are", str(getattr(self, name))


@dataclass(frozen=True, slots=True)
class KeptState:
    """What stays from one frame to the next: behind a frame its output is copied to its input.

    Nobody feeds or delivers it. Both lie in DDR; nothing else ever does where the input is.
    """

    input: StoredTensor = key("tensor that holds it while a frame runs")
    output: StoredTensor = key("tensor that holds it behind the frame")
    initial: tuple[int, ...] = key(
        "integers of the input before the first frame, one per channel; none: 0", default=()
    )

    @property
    def first(self) -> NDArray[Any]:
        """What the input is before the first frame, [1, C, H, W]."""
        values = np.zeros(self.input.shape, self.input.dtype.numpy)
        if self.initial:
            values += np.asarray(self.initial, values.dtype).reshape(1, -1, 1, 1)
        return values

    def misfits(self) -> Iterator[Fault]:
        """Whether the bytes of one are those of the other, and the first ones are of their type."""
        for name in ("shape", "type", "scale"):
            own, other = getattr(self.input, name), getattr(self.output, name)
            if own != other:
                yield f"output.{name}", f"{own}, as its input has", str(other)
        _, channels, height, width = self.input.shape
        if self.initial and (len(self.initial), height, width) != (channels, 1, 1):
            wanted = f"a list of {channels}, one per channel of a pixel"
            yield "initial", wanted, f"a list of {len(self.initial)}"
        kind = self.input.dtype
        for at, value in enumerate(self.initial):
            if not kind.minimum <= value <= kind.maximum:
                yield f"initial[{at}]", f"{kind.minimum} to {kind.maximum}", str(value)


@dataclass(frozen=True, slots=True)
class Constant:
    """An array that a host operator reads."""

    type: ElementType = key("numpy's name of the elements")
    shape: Annotated[tuple[Count, ...], AtMostItems(MAX_DIMENSIONS)] = key("sizes of the axes")
    data: bytes = key("little-endian elements, the last axis fastest")

    @property
    def array(self) -> NDArray[Any]:
        """The values; read only."""
        return np.frombuffer(self.data, np.dtype(self.type).newbyteorder("<")).reshape(self.shape)

    def misfits(self) -> Iterator[Fault]:
        """Whether the shape is that of the data, found out before an array is made."""
        largest = math.prod(max(1, size) for size in self.shape)
        wanted = math.prod(self.shape) * np.dtype(self.type).itemsize
        if largest > MAX_ELEMENTS:
            yield "shape", f"that of at most {MAX_ELEMENTS} elements", f"of {largest}"
        elif wanted != len(self.data):
            yield "data", f"{wanted} bytes as its shape says", str(len(self.data))


def constant(values: NDArray[Any]) -> Constant:
    """The record of an array."""
    little = np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<"))
    kind = cast(ElementType, str(values.dtype))  # another is refused where it is written
    return Constant(kind, values.shape, little.tobytes())


@dataclass(frozen=True, slots=True)
class Made:
    """What an operator of the host makes."""

    type: ElementType = key("numpy's name of the elements")
    shape: Annotated[tuple[Count, ...], AtMostItems(MAX_DIMENSIONS)] = key("sizes of the axes")

    @property
    def size_bytes(self) -> int:
        """Bytes of all elements."""
        return math.prod(self.shape) * np.dtype(self.type).itemsize


@dataclass(frozen=True, slots=True)
class HostOperator:
    """An ONNX operator (opset 21) that the host runs behind the chip, on real numbers."""

    name: str = key("of the node")
    op: str = key("ONNX operator")
    inputs: Annotated[tuple[str, ...], NotEmpty()] = key(
        "outputs of the chip, of operators before, or constants; an empty name: left out"
    )
    outputs: Annotated[tuple[str, ...], NotEmpty()] = key("what it computes")
    attributes: Mapping[str, Attribute] = key(
        "those of ONNX; of Reshape also `shape`, of Pad `pads`, of Slice `starts`, `ends`, `axes`, "
        "`steps`"
    )
    constants: Mapping[str, Constant] = key("by the name that the operator reads them by")
    makes: tuple[Made, ...] = key(
        "where they are known, type and shape of each output, for one frame", default=()
    )

    def misfits(self) -> Iterator[Fault]:
        """Whether all outputs are told of, or none."""
        if self.makes and len(self.makes) != len(self.outputs):
            yield "makes", f"those of {len(self.outputs)} outputs", f"of {len(self.makes)}"

    def misfit(self, results: Iterable[tuple[str, Sequence[int]]]) -> str:
        """How results (type and shape of each) differ from what the operator makes, or ""."""
        for name, made, (kind, shape) in zip(self.outputs, self.makes, results, strict=False):
            if (made.type, made.shape) != (kind, tuple(shape)):
                told = f"{made.type} of shape {made.shape}"
                return f"{name} must be {told}, not {kind} of shape {tuple(shape)}"
        return ""


@dataclass(frozen=True, slots=True)
class GeneralLayer:
    """What the host computes between two segments of the chip, of tensors in DDR.

    Real values of what it reads go in; what comes out is quantized as an input is.
    """

    name: str = key("of the node")
    at: Count = key("index of the instruction before which it runs; all before it have ended")
    operators: Annotated[tuple[HostOperator, ...], NotEmpty()] = key(
        "in order, in float32; their inputs are tensors that it reads, of the shape given there"
    )
    reads: Annotated[tuple[str, ...], NotEmpty()] = key("tensors, by name")
    output: str = key("the tensor that it writes, and the output of an operator that it is made of")
    layer_type: Annotated[int, Between(0, (1 << 31) - 1)] = key(
        "of a user-defined layer the number of its handler on a board; 0: none", default=0
    )

    @property
    def op(self) -> str:
        """The kinds of its operators that compute, each once."""
        kinds = [item.op for item in self.operators if item.op != "Reshape"]
        return ", ".join(dict.fromkeys(kinds or ["Reshape"]))


@dataclass(frozen=True, slots=True)
class Region:
    """DDR outside the network's memory, of all its inputs or outputs: the host has it elsewhere."""

    of: Side = key("whose")
    address: Bytes = key("byte address in DDR, behind the network's memory")
    size: Annotated[int, Between(1, 1 << DDR_BITS)] = key("bytes")

    @property
    def end(self) -> int:
        """One past its last byte."""
        return self.address + self.size


@dataclass(frozen=True, slots=True)
class Once:
    """Constants that stay in WSPM and MSPM: the first instructions load them, once for all frames.

    A memory of which nothing is kept has 0 bytes, at 0.
    """

    instructions: Positive = key("how many of the program's: loads into those memories, no tokens")
    wspm_address: Count = key("first byte in WSPM that is kept")
    wspm_bytes: Count = key("bytes of it")
    mspm_address: Count = key("first byte in MSPM that is kept")
    mspm_bytes: Count = key("bytes of it")

    def misfits(self) -> Iterator[Fault]:
        """Nothing that is kept at all, or an address of nothing."""
        if not self.wspm_bytes and not self.mspm_bytes:
            yield "wspm_bytes", "at least 1 where mspm_bytes is 0", "0"
        for name in ("wspm", "mspm"):
            address = getattr(self, f"{name}_address")
            if address and not getattr(self, f"{name}_bytes"):
                yield f"{name}_address", f"0 where {name}_bytes is 0", str(address)


def crosses(regions: Sequence[Region], first: int, last: int) -> bool:
    """Whether bytes [first, last) of DDR lie in more than one memory: the network's, regions."""
    if not regions or last <= regions[0].address:
        return False
    return not any(item.address <= first and last <= item.end for item in regions)


def is_given(regions: Iterable[Region], address: int) -> bool:
    """Whether a byte of DDR is in the inputs' own memory, where only the host writes."""
    return any(item.of == "inputs" and item.address <= address < item.end for item in regions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """A compiled program: for which chip, made from what, its layers, and where its tensors lie."""

    name: str = key("of the network")
    version: str = key("of knightlite")
    pair: Digest = key("[identity](#pair) of the program, which both files carry")
    chip: str = key("chip name")
    chip_family: str = key("family of the chip")
    chip_values: Chip = key("the [facts](machine.md#chips) compiled for")
    chip_digest: Digest = key("their SHA-256")
    model_sha256: Digest = key("of `X_quantize.onnx`")
    quantization: QuantizationNotes | None = key(
        "what `quant` noted there; `{}` for a model of others", none_as_empty=True
    )
    recipe: str | None = key("TOML text that prepares pictures")
    input_layout: Layout = key("layout of raw input files: the model's, or as `--input-order` says")
    res_version: Annotated[str, AtMostCharacters(MAX_RES_VERSION)] = key("as `--res-version` says")
    schedule_level: Count = key("as `--opt-group` says")
    layers: tuple[Layer, ...] = key("in the order of execution")
    fspm_peak: tuple[Count, ...] = key("per layer: bytes of FSPM")
    ddr_bytes: Bytes = key("bytes of DDR in all")
    constants_bytes: Bytes = key("of them constants, from address 0")
    inputs: Annotated[tuple[StoredTensor, ...], NotEmpty()] = key("tensors that the host writes")
    outputs: Annotated[tuple[StoredTensor, ...], NotEmpty()] = key("tensors that the host reads")
    tensors: tuple[StoredTensor, ...] = key("every tensor that the program writes to memory")
    graph_outputs: Annotated[tuple[str, ...], NotEmpty()] = key("names of the network's outputs")
    host: tuple[HostOperator, ...] = key("what runs behind the chip, in order")
    general: tuple[GeneralLayer, ...] = key(
        "what runs on the host between segments of the chip, in order", default=()
    )
    states: tuple[KeptState, ...] = key(
        "with `--unfixloop`: what stays from one frame to the next", default=()
    )
    schedule: ScheduleNotes | None = key(
        "above level 0: how layers are walked, and the lower bound", default=None
    )
    regions: tuple[Region, ...] = key(
        "of `--input-indep` and `--output-indep`: what lies outside the network's memory, in order",
        default=(),
    )
    once: Once | None = key(
        "of `--onceload-m` and `--onceload-w`: what stays on the chip from frame to frame",
        default=None,
    )

    @property
    def declared_inputs(self) -> tuple[str, ...]:
        """The names of the inputs, with those that the model declares and nothing reads."""
        noted = () if self.quantization is None else self.quantization.declared_inputs
        return noted or tuple(entry.name for entry in self.inputs)

    @property
    def usual_frames(self) -> int:
        """The frames that ``sim`` runs where none are asked for."""
        return 1 if self.quantization is None else self.quantization.ir_batch

    @property
    def once_instructions(self) -> int:
        """The first instructions, which run once before all frames."""
        return self.once.instructions if self.once else 0

    @property
    def own_end(self) -> int:
        """One past the network's own memory in DDR: behind it are only regions."""
        return self.regions[0].address if self.regions else self.ddr_bytes

    def region(self, side: Side) -> Region | None:
        """What lies outside of the inputs or outputs; None where they are inside."""
        return next((item for item in self.regions if item.of == side), None)

    @property
    def given(self) -> tuple[StoredTensor, ...]:
        """The tensors that are there before the first instruction: inputs, then states."""
        return (*self.inputs, *(state.input for state in self.states))

    @property
    def kept(self) -> tuple[StoredTensor, ...]:
        """The tensors that must still be there behind the last one: outputs, then states."""
        known = {entry.name: entry for entry in self.outputs}
        known |= {state.output.name: state.output for state in self.states}
        return tuple(known.values())

    @property
    def tensors_in_ddr(self) -> tuple[StoredTensor, ...]:
        """Those that lie in DDR as a whole."""
        return tuple(entry for entry in self.tensors if not entry.pieces)

    @property
    def trips(self) -> tuple[tuple[GeneralLayer, ...], ...]:
        """General layers, those together that the host computes in one go."""
        found: dict[int, list[GeneralLayer]] = {}
        for item in self.general:
            found.setdefault(item.at, []).append(item)
        return tuple(map(tuple, found.values()))

    def layer(self, index: int) -> Layer:
        """The layer that an instruction names; FormatError where there is none."""
        if index >= len(self.layers):
            sentence = f"an instruction must name one of {len(self.layers)} layers, not {index}."
            raise FormatError(sentence, REMEDY)
        return self.layers[index]

    def misfits(self) -> Iterator[Fault]:
        """What keys contradict each other in."""
        if len(self.fspm_peak) != len(self.layers):
            found = f"a list of {len(self.fspm_peak)}"
            yield "fspm_peak", f"a list of {len(self.layers)}, one per layer", found
        room = self.chip_values.fspm_bytes
        for at, peak in enumerate(self.fspm_peak):
            if peak > room:
                yield f"fspm_peak[{at}]", f"at most {room}, what the chip has", str(peak)
        walked = sum(region.layers for region in self.schedule.regions) if self.schedule else -1
        if walked not in (-1, len(self.layers)):
            yield "schedule.regions", f"those of {len(self.layers)} layers", f"of {walked}"
        if self.constants_bytes > self.ddr_bytes:
            yield "constants_bytes", f"at most {self.ddr_bytes}", str(self.constants_bytes)
        yield from self._misplaced()
        yield from self._misfitting_regions()
        for name in ("wspm", "mspm") if self.once else ():
            room = getattr(self.chip_values, f"{name}_bytes")
            first = getattr(self.once, f"{name}_address")
            size = getattr(self.once, f"{name}_bytes")
            if first + size > room:
                yield f"once.{name}_bytes", f"at most {room - first} from {first} on", str(size)
        yield from self._unconnected()
        yield from self._misfitting_general()

    def _misplaced(self) -> Iterator[Fault]:
        """Tensors that are described twice, or beyond the program's DDR."""
        known: dict[str, StoredTensor] = {}
        for at, tensor in enumerate(self.tensors):
            if tensor.name in known:
                yield f"tensors[{at}].name", "a name of its own", f"{shown(tensor.name)} again"
            if tensor.end > self.ddr_bytes:
                wanted = f"such that it ends within {self.ddr_bytes} bytes"
                yield f"tensors[{at}].address", wanted, str(tensor.address)
            room = self.chip_values.fspm_bytes
            for number, piece in enumerate(tensor.pieces):
                if tensor.piece_end(piece) > room:
                    wanted = f"such that it ends within {room} bytes"
                    yield f"tensors[{at}].pieces[{number}].address", wanted, str(piece.address)
            known[tensor.name] = tensor
        for side, tensors in (
            ("inputs", self.inputs),
            ("outputs", self.outputs),
            ("states.input", tuple(state.input for state in self.states)),
            ("states.output", tuple(state.output for state in self.states)),
        ):
            side, _, part = side.partition(".")
            for at, tensor in enumerate(tensors):
                path = f"{side}[{at}]" + (f".{part}" if part else "")
                if known.get(tensor.name) != tensor:
                    yield path, "one of the tensors", f"another {shown(tensor.name)}"
                if tensor.pieces:
                    yield f"{path}.pieces", "none", f"{len(tensor.pieces)}"
                if tensor in tensors[:at]:
                    yield path, "listed once", f"{shown(tensor.name)} again"
        yield from self._misplaced_inputs()
        yield from self._misplaced_states()

    def _misfitting_regions(self) -> Iterator[Fault]:
        """Regions that meet each other or the constants; what lies across their borders."""
        least, sides = self.constants_bytes, [region.of for region in self.regions]
        for at, region in enumerate(self.regions):
            if region.of in sides[:at] or (at and region.of == "inputs"):
                yield f"regions[{at}].of", "inputs, then outputs, each once", region.of
            if region.address < least:
                yield f"regions[{at}].address", f"at least {least}", str(region.address)
            if region.end > self.ddr_bytes:
                wanted = f"such that it ends within {self.ddr_bytes} bytes"
                yield f"regions[{at}].size", wanted, str(region.size)
            least = region.end
            entries = self.inputs if region.of == "inputs" else self.outputs
            for number, entry in enumerate(entries):
                if not region.address <= entry.address < entry.end <= region.end:
                    wanted = f"such that it lies in the {region.of}' own memory"
                    yield f"{region.of}[{number}].address", wanted, str(entry.address)
        for at, entry in enumerate(self.tensors_in_ddr if self.regions else ()):
            if crosses(self.regions, entry.address, entry.end):
                wanted = "in one memory, the network's or that of its inputs or outputs"
                yield f"tensors[{at}].address", wanted, str(entry.address)
            elif entry.first >= 0 and is_given(self.regions, entry.address):
                yield f"tensors[{at}].address", "outside the inputs' own memory", str(entry.address)

    def _misplaced_inputs(self) -> Iterator[Fault]:
        """Inputs that are not there from the start, or not each in a place of its own."""
        fed = len(self.inputs)
        for at, tensor in enumerate(self.given):
            path = f"inputs[{at}]" if at < fed else f"states[{at - fed}].input"
            if tensor.ready != -1:
                yield f"{path}.ready", "-1", str(tensor.ready)
            for other in self.given[:at]:
                if _meet(tensor, other):
                    wanted = f"outside input {shown(other.name)}"
                    yield f"{path}.address", wanted, str(tensor.address)

    def _misplaced_states(self) -> Iterator[Fault]:
        """States whose copy, behind a frame, would take bytes that the host reads then."""
        for at, state in enumerate(self.states):
            for other in self.kept:
                if _meet(state.input, other):
                    wanted = f"outside output {shown(other.name)}"
                    yield f"states[{at}].input.address", wanted, str(state.input.address)

    def _unconnected(self) -> Iterator[Fault]:
        """What is read and nobody computes."""
        known = {tensor.name for tensor in self.outputs}
        for at, step in enumerate(self.host):
            readable = {"", *known, *step.constants}  # "": an input that is left out
            yield from _unknown(f"host[{at}].inputs", step.inputs, readable)
            yield from _again(f"host[{at}].outputs", step.outputs, readable)
            known.update(step.outputs)
        yield from _unknown("graph_outputs", self.graph_outputs, known)
        yield from _again("graph_outputs", self.graph_outputs, set())

    def _misfitting_general(self) -> Iterator[Fault]:
        """General layers out of order, of tensors that are not in DDR, or of nothing they read."""
        tensors = {tensor.name: tensor for tensor in self.tensors}
        given = {tensor.name for tensor in self.given}
        at = 0
        for index, item in enumerate(self.general):
            path = f"general[{index}]"
            if item.at < at:
                yield f"{path}.at", f"at least {at}, as the one before it", str(item.at)
            at = item.at
            for name in (*item.reads, item.output):
                key_name = "output" if name == item.output else "reads"
                if name not in tensors or tensors[name].pieces:
                    yield f"{path}.{key_name}", "tensors that lie in DDR", shown(name)
            if item.output in given or item.output in item.reads:
                yield f"{path}.output", "no input, and not what it reads", shown(item.output)
            made = tensors.get(item.output)
            if made is not None and made.ready != item.at - 1:
                wanted = f"a tensor that is ready after instruction {item.at - 1}"
                yield f"{path}.output", wanted, f"one that is after {made.ready}"
            known = set(item.reads)
            for number, step in enumerate(item.operators):
                readable = {"", *known, *step.constants}
                yield from _unknown(f"{path}.operators[{number}].inputs", step.inputs, readable)
                outputs = tuple(filter(None, step.outputs))
                yield from _again(f"{path}.operators[{number}].outputs", outputs, readable)
                known.update(outputs)
            if item.output not in known:
                yield f"{path}.output", "what one of its operators makes", shown(item.output)


def _meet(one: StoredTensor, other: StoredTensor) -> bool:
    return one.address < other.end and other.address < one.end


def _again(path: str, names: Iterable[str], known: set[str]) -> Iterator[Fault]:
    """Names that something else has already."""
    seen = set(known)
    for at, name in enumerate(names):
        if name in seen:
            yield f"{path}[{at}]", "a name of its own", shown(name)
        seen.add(name)


def _unknown(path: str, names: Iterable[str], known: set[str]) -> Iterator[Fault]:
    for at, name in enumerate(names):
        if name not in known:
            yield f"{path}[{at}]", "what the chip or the host computes", shown(name)


@dataclass(frozen=True, slots=True)
class WeightDescription:
    """What a ``.weight`` file says of itself."""

    name: str = key("of the network")
    pair: Digest = key("[identity](#pair) of the program, which both files carry")
