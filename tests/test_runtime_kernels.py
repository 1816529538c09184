"""Every kernel of the runtime in C against the scalar one, on random and worst-case operands.

The scalar one is held to the simulator elsewhere; here instructions are wide enough for blocks of
lanes and of pixels, and for what is left over of them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from assembled import S8, S16, TINY, U8, make, record, whole_memory_program
from compilers import needs_compiler
from knightlite.isa import Activation, Eltwise, EltwiseMode, Matrix
from knightlite.native import NativeMachine
from knightlite.native.library import KERNELS, load_library
from random_instructions import Random
from test_runtime import with_tensors

pytestmark = needs_compiler

CHIP = replace(TINY, fspm_bytes=1 << 17, wspm_bytes=1 << 16, mspm_bytes=1 << 14)
PARAMETERS, PROLOGUE, ACTIVATION = 0, 2048, 4096
X, Y, RESIDUAL, SUMS, JOINED = 0, 40_000, 60_000, 80_000, 110_000
SEEDS = 100
LEAST_WORK = 36 << 10  # bytes that vector kernels have for work in any network
Shape = tuple[int, int, int]
ENDS = {U8: (0, 255), S8: (-128, 127), S16: (-32768, 32767)}


class Wide(Random):
    """Matrix instructions of 8-bit operands with many channels and pixels."""

    def parameters(self, count: int, narrow: bool) -> bytes:
        """As a compiler makes them, or extreme ones."""
        if not narrow:
            return self.records(count)
        found = []
        for _ in range(count):
            q = self.one_of(0, 1, self.integer(2, 29))
            most = 2 << min(q, 14)  # so that not all is clamped
            b = self.integer(-(128 << min(q, 17)), 128 << min(q, 17))
            found.append(record(self.integer(-most, most - 1), q, b))
        return b"".join(found)

    def wide_matrix(self) -> Matrix:
        depthwise = int(self.integer(0, 3) == 0)
        groups = 1 if depthwise else self.one_of(1, 1, 1, 2, 5)
        inputs = groups * self.integer(1, 70 // groups)
        outputs = inputs if depthwise else groups * self.integer(1, 70 // groups)
        kernel = self.one_of(1, 1, 2, 3)
        x = (self.integer(1, 9), self.integer(1, 9), inputs)
        y = (self.integer(1, 7), self.integer(1, 7), outputs)
        return self.matrix_of(x, y, kernel, depthwise, groups)

    def many_channels(self) -> Matrix:
        """Depthwise, and more of it than the work memory of vector kernels holds."""
        channels = self.integer(240, 256)
        shape = (self.integer(2, 4), self.integer(12, 14), channels)
        made = self.matrix_of(shape, (2, 12, channels), 3, 1, 1)
        return replace(
            made, dilation_width=2, stride_width=1, pad_left=1, accumulate_in=0, accumulate_out=0
        )

    def matrix_of(self, x: Shape, y: Shape, kernel: int, depthwise: int, groups: int) -> Matrix:
        outputs = y[2]
        prologue = self.integer(0, 1)
        x_type = self.one_of(U8, S8, S16) if prologue else self.one_of(U8, S8)
        types = {"prologue_type": self.one_of(U8, S8), "middle_type": self.one_of(U8, S8, S16)}
        y_type, accumulate_out = self.one_of(U8, S8, S16), int(self.integer(0, 5) == 0)
        padded = kernel > 1 or self.integer(0, 3) == 0
        fields: dict[str, int] = {
            **self.tile("x", X, x, x_type), **self.shape("x", x),
            **self.tile("y", Y, y, y_type), **self.shape("y", y), **types,
            **self.tile("residual", RESIDUAL, y, self.one_of(U8, S8, S8, S16)),
            **self.clamp("y", y_type), **self.clamp("prologue", types["prologue_type"]),
            **self.clamp("middle", types["middle_type"]),
            "kernel_height": kernel, "kernel_width": kernel,
            "stride_height": self.one_of(1, 1, 2), "stride_width": self.one_of(1, 1, 2),
            "pad_top": self.integer(0, 2) * padded, "pad_left": self.integer(0, 2) * padded,
            "dilation_height": self.one_of(1, 1, 2), "dilation_width": self.one_of(1, 1, 2),
            "depthwise": depthwise, "groups": groups, "weight_row_bytes": 16 * -(-outputs // 16),
            "prologue": prologue, "prologue_address": PROLOGUE, "parameter_address": PARAMETERS,
            "accumulate_in": int(self.integer(0, 3) == 0), "accumulate_out": accumulate_out,
            "accumulator_address": SUMS, "residual": int(self.integer(0, 2) == 0),
            "multiplier": self.integer(-(2**15), 2**15), "shift": self.integer(0, 20),
            "residual_multiplier": self.integer(-(2**15), 2**15),
        }  # fmt: skip
        if not fields["residual"]:
            fields["activation"] = self.one_of(*Activation)
            fields["activation_address"] = ACTIVATION
            if fields["activation"] == Activation.TABLE and types["middle_type"] == S16:
                fields |= {
                    "activation_intervals": self.integer(8, 10),
                    "activation_fraction": self.integer(0, 15),
                }
        return make(Matrix, **fields)

    def wide_eltwise(self) -> Eltwise:
        """Two operands, of many channels, in rows that touch or with gaps."""
        shape = (self.integer(1, 5), self.integer(1, 6), self.integer(1, 70))
        codes = [self.one_of(U8, S8, S16) for _ in range(3)]
        places = dict(zip("xyz", (X, JOINED, RESIDUAL), strict=True))
        mode, dense = self.one_of(*EltwiseMode), self.integer(0, 1)
        fields = self.clamp("y", codes[1]) | self.shape("x", shape) | self.shape("y", shape)
        for (name, place), code in zip(places.items(), codes, strict=True):
            fields |= self.tile(name, place, shape, code)
            if dense:
                fields[f"{name}_column_stride"] = shape[2] * (1 + (code == S16))
                fields[f"{name}_row_stride"] = shape[1] * fields[f"{name}_column_stride"]
        if self.integer(0, 3) == 0:
            fields |= {"z_row_stride": 0, "z_column_stride": 0}
        bits = self.integer(1, 23)
        most = 2**bits - 1
        more = self.integer(-2, 20 if mode == EltwiseMode.MUL else 8)
        return make(
            Eltwise, **fields, mode=mode, shift=max(0, bits + more),
            multiplier=self.one_of(-most, most, self.integer(-most, most)),
            z_multiplier=self.integer(-most, most),
            z_broadcast=int(self.integer(0, 5) == 0),
        )  # fmt: skip

    def bytes_of(self, count: int) -> np.ndarray[Any, Any]:
        """Anything, or nothing but one end of a type, or both."""
        ends = np.array([0, 127, 128, 255], np.uint8)
        kind = self.integer(0, 3)
        if kind == 0:
            return np.full(count, self.rng.choice(ends), np.uint8)
        if kind == 1:
            return self.rng.choice(ends, count).astype(np.uint8)
        return self.rng.integers(0, 256, count).astype(np.uint8)


def constants(draw: Wide, channels: int = 140) -> tuple[bytes, bytes]:
    """Weights and what lies in MSPM."""
    narrow = draw.integer(0, 3) > 0
    mspm = bytearray(draw.bytes_of(CHIP.mspm_bytes).tobytes())
    for place in (PARAMETERS, PROLOGUE, ACTIVATION):
        mspm[place : place + 8 * channels] = draw.parameters(channels, narrow)
    return draw.bytes_of(CHIP.wspm_bytes).tobytes(), bytes(mspm)


@pytest.mark.parametrize("kernels", KERNELS[1:])
def test_kernel_makes_the_bytes_of_the_scalar_one(kernels: str) -> None:
    if KERNELS.index(kernels) > load_library().knl_best_kernels():
        pytest.skip(f"this processor, or this build, has no {kernels}")
    distinct: set[int] = set()
    for seed in range(SEEDS):
        draw = Wide(seed)
        items = [draw.wide_eltwise(), *(draw.wide_matrix() for _ in range(2))]
        program = with_tensors(whole_memory_program(items, *constants(draw), chip=CHIP))
        fspm = {"fspm": draw.bytes_of(CHIP.fspm_bytes).reshape(1, 1, 1, -1)}
        scalar, vector = (NativeMachine(program, kernels=kind) for kind in ("scalar", kernels))
        wanted, found = (machine.run(fspm)["after"] for machine in (scalar, vector))
        assert found.tobytes() == wanted.tobytes(), f"seed {seed}: {items}"
        assert vector.saturations == scalar.saturations, f"seed {seed}"
        assert vector.arena_bytes > scalar.arena_bytes  # it has work of its own, so it was taken
        distinct |= set(np.unique(wanted[0, 0, 0, Y:RESIDUAL]).tolist())
    assert len(distinct) == 256


def test_depthwise_channels_by_parts() -> None:
    """So many at a time as the work memory holds, unless a part of them could not be told."""
    together = 0
    for seed in range(16):
        draw = Wide(seed)
        item = draw.many_channels()
        program = with_tensors(whole_memory_program([item], *constants(draw, 256), chip=CHIP))
        fspm = {"fspm": draw.bytes_of(CHIP.fspm_bytes).reshape(1, 1, 1, -1)}
        scalar = NativeMachine(program, kernels="scalar")
        wanted = scalar.run(fspm)["after"].tobytes()
        is_whole = item.activation == Activation.TWO_SIDED
        together += is_whole
        for kernels in KERNELS[1 : load_library().knl_best_kernels() + 1]:
            vector = NativeMachine(program, kernels=kernels)
            assert vector.run(fspm)["after"].tobytes() == wanted, f"seed {seed}: {item}"
            assert (vector.arena_bytes - scalar.arena_bytes > LEAST_WORK) is is_whole
    assert 0 < together < 8


def test_a_second_frame_is_not_the_first_ones(rng: np.random.Generator) -> None:
    """What is packed and staged is of this frame: A, B, A gives what A gave."""
    draw = Wide(7)
    items = [draw.wide_matrix() for _ in range(4)]
    machine = NativeMachine(with_tensors(whole_memory_program(items, *constants(draw), chip=CHIP)))
    frames = [rng.integers(0, 256, (1, 1, 1, CHIP.fspm_bytes)).astype(np.uint8) for _ in range(2)]
    first, second, again = (
        machine.run({"fspm": frames[number]})["after"].tobytes() for number in (0, 1, 0)
    )
    assert first == again != second


def test_weights_are_packed_again_for_other_lots_of_blocks() -> None:
    """The same weights, then with a window so wide that fewer of them are packed at a time."""
    draw = Wide(0)
    x, y = (4, 7, 20), (2, 7, 40)
    fields: dict[str, int] = {
        **draw.tile("x", X, x, S8), **draw.shape("x", x), **draw.tile("y", Y, y, S8),
        **draw.shape("y", y), "y_low": -128, "y_high": 127, "groups": 20, "weight_row_bytes": 48,
        "kernel_height": 3, "kernel_width": 3, "pad_left": 1, "parameter_address": PARAMETERS,
    }  # fmt: skip
    items = [
        make(Matrix, **fields),
        make(Matrix, **{**fields, "y_address": SUMS}, stride_width=241),
    ]
    program = with_tensors(whole_memory_program(items, *constants(draw), chip=CHIP))
    fspm = {"fspm": draw.bytes_of(CHIP.fspm_bytes).reshape(1, 1, 1, -1)}
    wanted = NativeMachine(program, kernels="scalar").run(fspm)["after"]
    for kernels in KERNELS[1 : load_library().knl_best_kernels() + 1]:
        found = NativeMachine(program, kernels=kernels).run(fspm)["after"]
        assert found.tobytes() == wanted.tobytes(), kernels
