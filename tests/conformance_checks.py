"""Bit exactness, checked: a quantized graph through bytes and machine against two other opinions.

The golden model in ONNX Runtime must agree byte for byte with every tensor the program writes; the
QDQ model, layer by layer on the golden model's own inputs, within one step. A tensor with fewer
than 16 distinct values over all pictures says little and does not count as compared.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import conftest
from compilers import has_compiler
from knightlite import dtypes
from knightlite.chip import Chip, ChipFamily, facts_digest
from knightlite.chip_files import families, find
from knightlite.compiler import Compiled, compile_graph
from knightlite.container import Origin, Program, decode_program, encode_program
from knightlite.emit import golden_model
from knightlite.inference import Session, session
from knightlite.ir import Graph
from knightlite.ir.graph import flatten_chains
from knightlite.native import NativeMachine, unknown
from knightlite.onnx_models import write_float, write_qdq
from knightlite.ops import BY_NAME, View
from knightlite.schedule import Budget
from knightlite.sim import Machine
from knightlite.sim.host import dequantize, quantize

Array = NDArray[Any]
Tensors = Mapping[str, Array]
# one chip of each family that ships; families that share every fact once, by the last of them
CHIPS = tuple({family.digest: family.names[0] for family in families()}.values())
MAIN, TIGHT = "TX5368AV200", "TX5112CV201"  # the common one, and the smallest memories
DISTINCT = 16
ORIGIN = Origin(version="0", model_sha256="0" * 64)
SHORT = Budget(evaluations=5)  # of a search for a schedule
THREADS = 1  # tests run side by side


def artificial(chip: Chip) -> ChipFamily:
    """A family of one chip with these facts."""
    return ChipFamily("test", ("test",), "artificial", chip, {}, facts_digest(chip))


# ------------------------------------------------------------------ through the bytes


@dataclass(frozen=True)
class Built:
    """A compiled network and the machine that holds its decoded bytes; ``size``: of both files."""

    compiled: Compiled
    program: Program
    machine: Machine
    size_bytes: int

    @cached_property
    def native(self) -> NativeMachine | None:
        """The same program in the runtime in C.

        None without a compiler, and where the host computes in the middle what it does not know.
        """
        general = self.program.meta.general
        if not has_compiler() or unknown(op.op for item in general for op in item.operators):
            return None
        return NativeMachine(self.program)


def build(graph: Graph, family: ChipFamily | str, level: int = 0, sparse: bool = False) -> Built:
    """Compile to bytes at a schedule level, decode them and check the program."""
    if isinstance(family, str):
        family = find(family)
    compiled = compile_graph(
        graph, family, family.names[0], ORIGIN, level=level, sparse=sparse, budget=SHORT
    )
    cfg, weight = encode_program(compiled.program)
    program = decode_program(cfg, weight, "x.cfg", "x.weight")
    machine = Machine(program, family)
    machine.check()
    return Built(compiled, program, machine, len(cfg) + len(weight))


def run(built: Built, inputs: Tensors) -> dict[str, Array]:
    """Every tensor that the program materialises, inputs included; no accumulator may saturate.

    The runtime in C makes the same bytes of each.
    """
    found: dict[str, Array] = {}
    outputs = built.machine.run(inputs, found.__setitem__)
    assert built.machine.saturations == 0
    if built.native is not None:
        assert_alike(built.native, inputs, found)
    for name, values in outputs.items():
        assert values.tobytes() == found[name].tobytes(), name
    return found


def assert_alike(native: NativeMachine, inputs: Tensors, wanted: Tensors) -> None:
    """The runtime in C makes the same bytes of every tensor of the program, and saturates nothing.

    An input whose place is used again is what it was at the start. Tile by tile all tensors are
    seen; fast, where tiles may lie in DDR, the outputs.
    """
    found: dict[str, Array] = {}
    native.run(inputs, found.__setitem__)
    assert native.saturations == 0
    for name, values in native.run(inputs).items():
        assert values.tobytes() == wanted[name].tobytes(), f"{name} is other bytes without tiles"
    assert native.saturations == 0
    assert set(found) == set(wanted)
    different = [name for name in found if found[name].tobytes() != wanted[name].tobytes()]
    assert not different, f"the runtime in C makes other bytes of {different[:3]}"


def multiplies_wide(graph: Graph) -> bool:
    """Whether a matrix operand of the graph has 16 bits."""
    return any(
        graph.tensors[name].dtype == dtypes.S16
        for node in flatten_chains(graph.nodes)
        if BY_NAME[node.op].kernel is not None or node.op == "MatMul"
        for name in node.inputs[:2]
    )


def random_inputs(graph: Graph, rng: np.random.Generator) -> dict[str, Array]:
    """Full-range integers for every network input."""
    found = {}
    for name in graph.inputs:
        tensor = graph.tensors[name]
        values = rng.integers(tensor.dtype.minimum, tensor.dtype.maximum + 1, tensor.shape)
        found[name] = values.astype(tensor.dtype.numpy)
    return found


def extreme_inputs(graph: Graph) -> list[dict[str, Array]]:
    """All inputs at the least, all at the largest value of their type."""
    return [
        {
            name: np.full(
                graph.tensors[name].shape,
                getattr(graph.tensors[name].dtype, end),
                graph.tensors[name].dtype.numpy,
            )
            for name in graph.inputs
        }
        for end in ("minimum", "maximum")
    ]


def reference(graph: Graph, inputs: Tensors) -> dict[str, Array]:
    """All tensors of a graph by the integer references of its operators, chains opened."""
    found = dict(inputs)
    for node in flatten_chains(graph.nodes):
        view = View(graph, node)
        features = tuple(found[name] for name in node.inputs if name not in graph.constants)
        found[node.output] = BY_NAME[node.op].reference(view, features)
    return found


# ------------------------------------------------------------------ the golden model


class Golden:
    """The golden model in ONNX Runtime: every tensor, also those that a chain keeps inside."""

    def __init__(self, graph: Graph) -> None:
        inner = [node.output for node in flatten_chains(graph.nodes)]
        self.names = [*dict.fromkeys((*graph.chip_outputs, *inner))]
        self.names = [name for name in self.names if name not in graph.inputs]
        model = golden_model(graph, self.names)
        self.model = model.SerializeToString(deterministic=True)
        self._session: Session | None = None

    def run(self, inputs: Tensors) -> dict[str, Array]:
        """Integers of all tensors, inputs included."""
        self._session = self._session or session(self.model, THREADS)
        found = self._session.run(self.names, dict(inputs))
        return {**inputs, **dict(zip(self.names, map(np.asarray, found), strict=True))}


@dataclass
class Tally:
    """What was compared: bytes, bytes that differ, and the values each tensor took."""

    bytes: int = 0
    differing: int = 0
    wrong: dict[str, str] = field(default_factory=dict)  # tensor -> first difference
    seen: dict[str, Array] = field(default_factory=dict)  # by code, whether it was taken

    def compare(self, found: Tensors, wanted: Tensors) -> None:
        """Byte for byte, every tensor in ``found``."""
        for name, have in found.items():
            want = wanted[name]
            assert (have.dtype, have.shape) == (want.dtype, want.shape), name
            self.bytes += have.nbytes
            codes = have.view(f"u{have.itemsize}")
            self.seen.setdefault(name, np.zeros(1 << 8 * have.itemsize, bool))[codes] = True
            if have.tobytes() == want.tobytes():
                continue
            a, b = (np.ascontiguousarray(item).view(np.uint8) for item in (have, want))
            self.differing += int(np.count_nonzero(a != b))
            place = tuple(int(axis[0]) for axis in np.nonzero(have != want))
            self.wrong.setdefault(
                name, f"{name}{list(place)} is {have[place]} on the chip, golden {want[place]}"
            )

    @property
    def few(self) -> list[str]:
        """Tensors that took fewer than 16 values: not counted."""
        return [name for name, taken in self.seen.items() if np.count_nonzero(taken) < DISTINCT]

    @property
    def counted(self) -> int:
        """Tensors that count as compared."""
        return len(self.seen) - len(self.few)


# ------------------------------------------------------------------ QDQ, layer by layer


def layers_apart(graph: Graph) -> Graph:
    """The quantized graph torn up: every layer reads network inputs called as the tensor it read.

    Its outputs are called ``<tensor>/made``. Written as QDQ this is one sub-model per layer, run
    in one session.
    """
    read = dict.fromkeys(
        name
        for node in flatten_chains(graph.nodes)
        for name in node.inputs
        if name not in graph.constants
    )
    nodes = [
        replace(node, outputs=(f"{node.output}/made",)) for node in flatten_chains(graph.nodes)
    ]
    made = [
        replace(graph.tensors[node.output], name=f"{node.output}/made")
        for node in flatten_chains(graph.nodes)
    ]
    torn = graph.with_nodes(nodes).with_tensors(made)
    outputs = tuple(tensor.name for tensor in made)
    return replace(torn, inputs=tuple(read), outputs=outputs, host=())


class Layers:
    """Every layer of the QDQ model by itself."""

    def __init__(self, graph: Graph) -> None:
        self.graph = layers_apart(graph)
        # as it is written: between layers that are apart there is nothing to fuse
        self._session = session(write_qdq(self.graph, {}), THREADS, as_written=True)

    def differences(self, golden: Tensors) -> dict[str, int]:
        """Largest difference in steps of each layer's output, by tensor.

        Each layer is fed the golden model's integers, as real numbers: quantizing those again
        gives the same integers, since a product and a quotient in float32 are off by 2^-23.
        """
        feeds = {name: self._real(name, golden[name]) for name in self.graph.inputs}
        found = self._session.run(list(self.graph.outputs), feeds)
        result = {}
        for name, values in zip(self.graph.outputs, found, strict=True):
            steps = np.rint(values / self._scale(name).astype(np.float64))
            source = name.removesuffix("/made")
            result[source] = int(np.max(np.abs(steps - golden[source].astype(np.float64))))
        return result

    def _scale(self, name: str) -> Array:
        scale = self.graph.tensors[name].scale
        assert scale is not None
        return scale.reshape((1, -1, 1, 1)) if scale.ndim else scale

    def _real(self, name: str, values: Array) -> Array:
        real: Array = values.astype(np.float32) * self._scale(name)
        return real


# ------------------------------------------------------------------ a whole network


@dataclass(frozen=True)
class Verdict:
    """What came out for one network on one chip. SQNR is at the chip's outputs, in dB."""

    tensors: int
    counted: int
    few: tuple[str, ...]
    bytes: int
    differing: int
    wrong: tuple[str, ...]
    lsb: Mapping[str, int]  # layer's output tensor -> golden against QDQ
    sqnr_db: float

    @property
    def max_lsb(self) -> int:
        """Of all layers."""
        return max(self.lsb.values())

    def check(self) -> None:
        """Fail with the first tensors that break a promise."""
        assert not self.wrong, "; ".join(self.wrong[:3])
        assert self.differing == 0
        too_far = {name: steps for name, steps in self.lsb.items() if steps > 1}
        assert not too_far, f"golden and QDQ differ by more than one step: {too_far}"
        # what a chain keeps inside is no tensor: the small ones of squeeze-excite weigh more
        assert self.counted >= 0.85 * self.tensors, f"nearly constant: {self.few}"


class Opinions:
    """What is said of a network whatever the chip: by golden model, QDQ layers, float network.

    A question that was asked before, for another chip, is not computed again.
    """

    def __init__(self, quantized: Graph, floating: Graph) -> None:
        self._layers = Layers(quantized)
        self._exact = session(write_float(floating, floating.chip_outputs), THREADS)
        self._differences: dict[tuple[bytes, ...], dict[str, int]] = {}
        self._outputs: dict[tuple[Any, ...], list[Array]] = {}
        self._golden: dict[tuple[bytes, ...], Tensors] = {}

    def golden(self, golden: Golden, inputs: Tensors) -> Tensors:
        """Of the golden model, which chips may share."""
        asked = (golden.model, *(inputs[name].tobytes() for name in sorted(inputs)))
        if asked not in self._golden:
            self._golden[asked] = golden.run(inputs)
        return self._golden[asked]

    def differences(self, golden: Tensors) -> dict[str, int]:
        """Of the layers: :meth:`Layers.differences`."""
        graph = self._layers.graph
        names = (*graph.inputs, *(name.removesuffix("/made") for name in graph.outputs))
        asked = tuple(golden[name].tobytes() for name in names)
        if asked not in self._differences:
            self._differences[asked] = self._layers.differences(golden)
        return self._differences[asked]

    def outputs(self, names: Sequence[str], picture: Tensors) -> list[Array]:
        """Of the float network."""
        asked = (*names, *(values.tobytes() for values in picture.values()))
        if asked not in self._outputs:
            self._outputs[asked] = self._exact.run(list(names), dict(picture))
        return self._outputs[asked]


def judge(
    built: Built,
    quantized: Graph,
    floating: Graph,
    pictures: Sequence[Tensors],
    opinions: Opinions | None = None,
) -> Verdict:
    """Run pictures (real numbers per network input, [1, C, H, W]) through machine, golden, QDQ.

    ``quantized`` is the graph of the QDQ file: golden model and program come from the rewritten
    one, and could agree on a wrong rewrite. ``opinions``: on these two, for several chips.
    """
    graph = built.compiled.graph
    golden, tally = Golden(graph), Tally()
    opinions = opinions or Opinions(quantized, floating)
    lsb: dict[str, int] = {}
    signal = noise = 0.0
    entries = {entry.name: entry for entry in built.program.meta.inputs}
    ends = {entry.name: entry for entry in built.program.meta.outputs}
    for picture in pictures:
        integers = {name: quantize(picture[name], entries[name]) for name in graph.inputs}
        wanted = opinions.golden(golden, integers)
        found = run(built, integers)
        assert set(found) == {*graph.inputs, *(node.output for node in graph.nodes)}
        tally.compare(found, wanted)
        for name, steps in opinions.differences(wanted).items():
            lsb[name] = max(steps, lsb.get(name, 0))
        for name, values in zip(ends, opinions.outputs(list(ends), picture), strict=True):
            real = np.asarray(values, np.float64)
            signal += float(np.sum(real**2))
            noise += float(np.sum((real - dequantize(wanted[name], ends[name])) ** 2))
    return Verdict(
        len(tally.seen),
        tally.counted,
        tuple(tally.few),
        tally.bytes,
        tally.differing,
        tuple(tally.wrong.values()),
        lsb,
        10 * math.log10(signal / noise),
    )


# ------------------------------------------------------------------ floors


def above_floor(golden: conftest.Golden, file: str, name: str, found_db: float) -> None:
    """Hold a figure above the floor in ``tests/golden/<file>``; ``--update-golden`` sets it.

    A new floor is a whole half dB at least 2 dB below: ONNX Runtime's float kernels differ with the
    processor and its version, and a range that moves by a hair has moved these networks by 1 dB.
    """
    path = conftest.GOLDEN / file
    floors: dict[str, float] = json.loads(path.read_text()) if path.is_file() else {}
    if golden.update:
        floors[name] = math.floor(2 * found_db - 4) / 2
        golden.json(file, floors)
        return
    assert name in floors, f"{path} has no floor for {name}: run pytest --update-golden"
    assert found_db >= floors[name], f"{name}: {found_db:.2f} dB, floor {floors[name]} dB"


@dataclass(frozen=True)
class Pictures:
    """A workload over pictures in memory [N, C, H, W], one at a time, without a metric."""

    batch: Array
    description: str = "pictures in memory"

    def run(self, forward: Any) -> None:
        for place in range(len(self.batch)):
            forward((self.batch[place : place + 1],))


def single(name: str, batch: Iterable[Array]) -> list[dict[str, Array]]:
    """Pictures of a network with one input, as ``judge`` takes them."""
    return [{name: picture[None]} for picture in batch]


def save_and_load(model: Any, path: Path) -> Graph:
    """Write an ONNX model and load it as a user's model."""
    from knightlite.frontend import load

    path.write_bytes(model.SerializeToString())
    return load(path)


def assert_exact(graph: Graph, built: Built, rng: np.random.Generator) -> None:
    """Simulator equals golden model in every byte, and golden the QDQ model within 1 LSB."""
    inputs = random_inputs(graph, rng)
    found, exact = run(built, inputs), Golden(built.compiled.graph).run(inputs)
    tally = Tally()
    tally.compare(found, exact)
    assert not tally.wrong
    assert max(Layers(graph).differences(exact).values()) <= 1
