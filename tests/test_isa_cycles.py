"""What every instruction costs, worked out by hand on five chips.

A division in a comment is rounded up. Each instruction has its least size, channels that fill a
word only in part, types of several sizes and, where it has them, windows, strides and groups.
Two chips are made up: their lanes are all different, and the second one waits for its banks.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from assembled import FIGURES, S16, make
from knightlite.chip import Chip
from knightlite.chip_files import find
from knightlite.isa import (
    ALL_INSTRUCTIONS,
    Activation,
    Affine,
    Eltwise,
    Instruction,
    Load,
    Lookup,
    Matrix,
    Move,
    Pick,
    Pool,
    Resize,
    ResizeMode,
    Softmax,
    Space,
    SparseMatrix,
    Store,
)

# matrix: input x output lanes (16 bit: outputs), depthwise lanes (16 bit), packed channels;
# vector lanes; groups per block: 64, 1, 64 (odd: 2); FSPM bytes per cycle (of one bank); DDR bytes
# per cycle, burst


def chip(name: str, vector_lanes: int, groups_per_block: int) -> Chip:
    figures = {"vector_lanes": vector_lanes, "groups_per_block": groups_per_block}
    return replace(find(name).chip, **{**FIGURES, **figures})


A = chip("TX5368AV200", 64, 64)  # 32 x 64 (32), 64 (32), 4; 64; 256 (32); 17.92, 64
B = chip("TX5105C", 32, 1)  # 32 x 32 (16), 32 (16), 4; 32; 128 (16); 7.645 (448 / 58.6), 64
C = chip("TX5112CV201", 16, 64)  # 16 x 16 (8), 16 (8), 4; 16; 128 (16); 4.48, 64
# setups of A, B and C: matrix 64, vector 32, transfer 100
ODD = replace(
    A,
    clock_hz=1000,
    matrix_input_lanes=12,
    matrix_output_lanes=10,
    matrix_packed_channels=3,
    wide_matrix_output_lanes=7,
    depthwise_lanes=9,
    wide_depthwise_lanes=5,
    groups_per_block=2,
    vector_lanes=11,
    matrix_setup_cycles=61,
    vector_setup_cycles=29,
    fspm_banks=3,
    fspm_bank_bytes_per_cycle=13,  # 39 of all banks
    ddr_bytes_per_second=3000,
    ddr_efficiency_percent=50,  # 1.5 bytes per cycle
    ddr_burst_bytes=24,
    dma_setup_cycles=97,
)
SLOW = replace(ODD, fspm_banks=2, fspm_bank_bytes_per_cycle=3)  # 6 of all banks
CHIPS = (A, B, C, ODD, SLOW)


def pixels(height: int, width: int, channels: int) -> dict[str, int]:
    """A result of this shape, from an input with a row and a column more."""
    return {
        "x_height": height + 1, "x_width": width + 1, "x_channels": channels,
        "y_height": height, "y_width": width, "y_channels": channels,
    }  # fmt: skip


def channels(ins: int, outs: int, height: int, width: int) -> dict[str, int]:
    return {**pixels(height, width, outs), "x_channels": ins}


def kernel(height: int, width: int) -> dict[str, int]:
    return {"kernel_height": height, "kernel_width": width}


# 35 pixels of 24 channels, padded to 24, 24, 32, 33, 33: 840, 840, 1120, 1155, 1155 elements
SOME = pixels(5, 7, 24)
# 12 pixels of 96 channels, padded to 128, 96, 96, 99, 99: 1536, 1152, 1152, 1188, 1188 elements
MANY = pixels(3, 4, 96)
# 4 pixels of 64 channels, padded to 64, 64, 64, 66, 66: 256, 256, 256, 264, 264 elements
FULL = pixels(2, 2, 64)
WIDE = {"x_type": S16, "y_type": S16}
RUNS = {"rows": 5, "columns": 3, "run_bytes": 30, "local_row_stride": 90, "local_column_stride": 30}
LINEAR = {"mode": ResizeMode.LINEAR}

VECTOR: tuple[tuple[Instruction, tuple[int, ...]], ...] = (
    # 1 element: one word, one access; 32 + 1, 29 + 1
    (make(Affine), (33, 33, 33, 30, 30)),
    # 1 byte read, 1 written: max(840/64 = 14, 1680/256 = 7), max(840/32 = 27, 1680/128 = 14),
    # max(1120/16 = 70, 2240/128 = 18), max(1155/11 = 105, 2310/39 = 60), max(105, 2310/6 = 385)
    (make(Affine, **SOME), (46, 59, 102, 134, 414)),
    # 1 and 2 bytes: max(24, 4608/256 = 18), max(36, 3456/128 = 27), max(72, 27),
    # max(108, 3564/39 = 92), max(108, 3564/6 = 594)
    (make(Affine, **MANY, y_type=S16), (56, 68, 104, 137, 623)),
    # 2 and 2 bytes: max(4, 1024/256 = 4), max(8, 1024/128 = 8), max(16, 8),
    # max(24, 1056/39 = 28), max(24, 1056/6 = 176); the second set of parameters is free
    (make(Affine, **FULL, **WIDE, two_sided=1), (36, 40, 48, 57, 205)),
    # 1 element
    (make(Eltwise), (33, 33, 33, 30, 30)),
    # 1 + 1 + 1 bytes: max(14, 2520/256 = 10), max(27, 2520/128 = 20), max(70, 3360/128 = 27),
    # max(105, 3465/39 = 89), max(105, 3465/6 = 578)
    (make(Eltwise, **SOME), (46, 59, 102, 134, 607)),
    # 2 + 2 + 2 bytes: max(24, 9216/256 = 36), max(36, 6912/128 = 54), max(72, 54),
    # max(108, 7128/39 = 183), max(108, 7128/6 = 1188)
    (make(Eltwise, **MANY, **WIDE, z_type=S16), (68, 86, 104, 212, 1217)),
    # 1 + 2 + 1 bytes, broadcast or not: max(24, 6144/256 = 24), max(36, 4608/128 = 36),
    # max(72, 36), max(108, 4752/39 = 122), max(108, 4752/6 = 792)
    (make(Eltwise, **MANY, z_type=S16, z_broadcast=1), (56, 68, 104, 151, 821)),
    # 2 + 1 + 1 bytes: as many
    (make(Eltwise, **MANY, x_type=S16), (56, 68, 104, 151, 821)),
    # 1 element, 1 tap
    (make(Pool), (33, 33, 33, 30, 30)),
    # 42 pixels of 24 channels (24, 24, 32, 33, 33), 9 taps, 9 + 1 bytes, whatever the stride:
    # max(9072/64 = 142, 10080/256 = 40), max(9072/32 = 284, 10080/128 = 79),
    # max(12096/16 = 756, 13440/128 = 105), max(12474/11 = 1134, 13860/39 = 356),
    # max(1134, 13860/6 = 2310)
    (make(Pool, **pixels(7, 6, 24), **kernel(3, 3), stride_height=2, stride_width=2, pad_top=1),
     (174, 316, 788, 1163, 2339)),
    # 10 pixels of 70 channels (128, 96, 80, 77, 77), 6 taps, 12 + 1 bytes:
    # max(7680/64 = 120, 16640/256 = 65), max(5760/32 = 180, 12480/128 = 98),
    # max(4800/16 = 300, 10400/128 = 82), max(4620/11 = 420, 10010/39 = 257),
    # max(420, 10010/6 = 1669)
    (make(Pool, **pixels(2, 5, 70), **kernel(2, 3), x_type=S16), (152, 212, 332, 449, 1698)),
    # 1 tap, 2 + 2 bytes: max(4, 4), max(8, 8), max(16, 8), max(24, 28), max(24, 176)
    (make(Pool, **FULL, **WIDE), (36, 40, 48, 57, 205)),
    # 1 element
    (make(Lookup), (33, 33, 33, 30, 30)),
    # 1 entry, 1 + 2 bytes: max(14, 10), max(27, 20), max(70, 27), max(105, 89), max(105, 578)
    (make(Lookup, **SOME, y_type=S16), (46, 59, 102, 134, 607)),
    # 2 entries, 2 + 2 bytes: max(3072/64 = 48, 24), max(2304/32 = 72, 36), max(2304/16 = 144, 36),
    # max(2376/11 = 216, 122), max(216, 792)
    (make(Lookup, **MANY, **WIDE, intervals=10), (80, 104, 176, 245, 821)),
    # 2 entries, 2 + 1 bytes: the banks only count on the last, 594
    (make(Lookup, **MANY, x_type=S16, intervals=8), (80, 104, 176, 245, 623)),
    # 1 element, nearest
    (make(Resize), (33, 33, 33, 30, 30)),
    # nearest, 1 + 1 bytes: as an affine
    (make(Resize, **SOME, step_height=1, step_width=1), (46, 59, 102, 134, 414)),
    # 4 elements each, 4 + 1 bytes: max(3360/64 = 53, 4200/256 = 17), max(105, 4200/128 = 33),
    # max(4480/16 = 280, 5600/128 = 44), max(4620/11 = 420, 5775/39 = 149),
    # max(420, 5775/6 = 963)
    (make(Resize, **SOME, **LINEAR), (85, 137, 312, 449, 992)),
    # 8 + 1 bytes: max(6144/64 = 96, 13824/256 = 54), max(144, 10368/128 = 81), max(288, 81),
    # max(432, 10692/39 = 275), max(432, 10692/6 = 1782)
    (make(Resize, **MANY, **LINEAR, x_type=S16), (128, 176, 320, 461, 1811)),
    # 3 passes over 1 element: 3 lanes of one word, 4 bytes
    (make(Softmax), (33, 33, 33, 30, 30)),
    # 3 passes, 4 bytes: max(2520/64 = 40, 3360/256 = 14), max(2520/32 = 79, 27),
    # max(3360/16 = 210, 35), max(3465/11 = 315, 4620/39 = 119), max(315, 4620/6 = 770)
    (make(Softmax, **SOME), (72, 111, 242, 344, 799)),
    # 1000 channels, padded to 1024, 1024, 1008, 1001, 1001: 3072/64 = 48, 3072/32 = 96,
    # 3024/16 = 189, 3003/11 = 273, max(273, 5005/6 = 835)
    (make(Softmax, **pixels(1, 1, 1000), y_type=S16), (80, 128, 221, 302, 864)),
    # 1 + 2 * 2 passes, 3 * 2 + 2 bytes: 5120/64 = 80, 5120/32 = 160, 5040/16 = 315, 5005/11 = 455,
    # max(455, 8008/6 = 1335)
    (make(Softmax, **pixels(1, 1, 1000), x_type=S16, y_type=S16, fine=1),
     (112, 192, 347, 484, 1364)),
    # 1 element
    (make(Pick), (33, 33, 33, 30, 30)),
    # a pass over x, 1 byte of x and 35 of y: max(840/64 = 14, 875/256 = 4), 840/32 = 27,
    # 1120/16 = 70, 1155/11 = 105, max(105, 1190/6 = 199)
    (make(Pick, **{**SOME, "y_channels": 1}), (46, 59, 102, 134, 228)),
    # 1000 channels, padded as above: 1024/64 = 16, 1024/32 = 32, 1008/16 = 63, 1001/11 = 91,
    # max(91, 2004/6 = 334)
    (make(Pick, **channels(1000, 1, 1, 1), **WIDE), (48, 64, 95, 120, 363)),
)  # fmt: skip

# runs one by one, or words of x + words of y - 1; a word is 32, 16, 16, 13, 3 bytes; at most a byte
# per vector lane
MOVES: tuple[tuple[Instruction, tuple[int, ...]], ...] = (
    # one byte
    (make(Move), (33, 33, 33, 30, 30)),
    # 100 bytes: 100/32 = 4, 100/16 = 7, 7, 100/13 = 8 but 100/11 = 10 lanes, 100/3 = 34
    (make(Move, run_bytes=100), (36, 39, 39, 39, 63)),
    # 48 turns of 40 single bytes, dense in x (40 bytes), 24 apart in y (937): min(40, 2 + 30 - 1),
    # min(40, 3 + 59 - 1), the same, min(40, 4 + 73 - 1), min(40, 14 + 313 - 1)
    (make(Move, count0=2, count2=24, count3=40, x_stride3=1, y_stride3=24),
     (1520, 1952, 1952, 1949, 1949)),
    # the other way round
    (make(Move, count0=2, count2=24, count3=40, x_stride3=24, y_stride3=1),
     (1520, 1952, 1952, 1949, 1949)),
    # 6 turns of 10 runs of 3, over 30 bytes of x and 39 of y: min(10, 1 + 2 - 1),
    # min(10, 2 + 3 - 1), the same, min(10, 3 + 3 - 1), min(10, 10 + 13 - 1)
    (make(Move, run_bytes=3, count0=2, count1=3, count3=10, x_stride3=3, y_stride3=4),
     (44, 56, 56, 59, 89)),
    # 5 turns of 3 runs of 70, over 230 bytes of x and 270 of y: min(9, 8 + 9 - 1),
    # min(15, 15 + 17 - 1), the same, min(18, 18 + 21 - 1) but 1050/11 = 96 lanes,
    # min(72, 77 + 90 - 1)
    (make(Move, run_bytes=70, count0=5, count3=3, x_stride3=80, y_stride3=100),
     (77, 107, 107, 125, 389)),
)  # fmt: skip

BLOCKS = {"block_inputs": 32, "block_outputs": 64}

# pixels x blocks; a block is input lanes x output lanes, or depthwise lanes x one tap
MATRICES: tuple[tuple[Instruction, tuple[int, ...]], ...] = (
    # one pixel, one block
    (make(Matrix), (65, 65, 65, 62, 62)),
    # 30 pixels, 100 -> 70: inputs 100/32 = 4, 4, 100/16 = 7, 100/12 = 9; outputs 70/64 = 2,
    # 70/32 = 3, 70/16 = 5, 70/10 = 7: 30 x 8, 30 x 12, 30 x 35, 30 x 63
    (make(Matrix, **channels(100, 70, 5, 6)), (304, 424, 1114, 1951, 1951)),
    # 3 of 4 x 2 blocks of 32 x 64, of which the others make 1 x 2, 2 x 4 and 3 x 7; one; and all 8,
    # which no mask makes more than those above
    (make(SparseMatrix, **channels(100, 70, 5, 6), **BLOCKS, blocks=3),
     (154, 244, 784, 1951, 1951)),
    (make(SparseMatrix, **channels(100, 70, 5, 6), **BLOCKS, blocks=1), (94, 124, 304, 691, 691)),
    (make(SparseMatrix, **channels(100, 70, 5, 6), **BLOCKS, blocks=8),
     (304, 424, 1114, 1951, 1951)),
    # 64 pixels, 9 taps, 24 -> 40, whatever stride and dilation: 9 x 1 x 1, 9 x 1 x 2, 9 x 2 x 3,
    # 9 x 2 x 4 blocks
    (make(Matrix, **channels(24, 40, 8, 8), **kernel(3, 3), stride_height=2, dilation_width=2),
     (640, 1216, 3520, 4669, 4669)),
    # the same with an addition behind: it is free
    (make(Matrix, **channels(24, 40, 8, 8), **kernel(3, 3), residual=1),
     (640, 1216, 3520, 4669, 4669)),
    # and with an activation behind, one value per vector lane: 64 pixels x 40, 2560: 40, 80, 160,
    # 233; 64 pixels of 1 -> 40, one tap: 64 x 1, 2, 3, 4; both are slower than 2560/64 = 40
    (make(Matrix, **channels(24, 40, 8, 8), **kernel(3, 3), activation=1),
     (640, 1216, 3520, 4669, 4669)),
    (make(Matrix, **channels(1, 40, 8, 8), activation=2), (128, 192, 256, 317, 317)),
    # 16-bit weights, 24 -> 40: outputs 40/32 = 2, 40/16 = 3, 40/8 = 5, 40/7 = 6
    (make(Matrix, **channels(24, 40, 8, 8), **kernel(3, 3), weight_type=1),
     (1216, 1792, 5824, 6973, 6973)),
    # 16-bit features cost as much; a prologue widens or narrows them first
    (make(Matrix, **channels(24, 40, 8, 8), **kernel(3, 3), x_type=S16),
     (1216, 1792, 5824, 6973, 6973)),
    (make(Matrix, **channels(24, 40, 8, 8), **kernel(3, 3), prologue=1, prologue_type=S16),
     (1216, 1792, 5824, 6973, 6973)),
    (make(Matrix, **channels(24, 40, 8, 8), **kernel(3, 3), x_type=S16, prologue=1),
     (640, 1216, 3520, 4669, 4669)),
    # 16 pixels, 7 x 7 taps, 3 -> 64: columns share lanes; 7 rows of 7 x 4 lanes (odd: 7 x 3):
    # 28/32 = 1, 1, 28/16 = 2, 21/12 = 2; outputs 1, 2, 4, 7: 7, 14, 56, 98 blocks
    (make(Matrix, **channels(3, 64, 4, 4), **kernel(7, 7)), (176, 288, 960, 1629, 1629)),
    # 3 pixels, 2 x 9 taps, 4 -> 10: 2 rows of 36 lanes: 36/32 = 2, 2, 36/16 = 3; odd packs 3 at
    # most: 18 taps
    (make(Matrix, **channels(4, 10, 1, 3), **kernel(2, 9)), (76, 76, 82, 115, 115)),
    # 5 channels share on none: 18 taps
    (make(Matrix, **channels(5, 10, 1, 3), **kernel(2, 9)), (118, 118, 118, 115, 115)),
    # 6 pixels, 5 x 3 taps, 1 -> 1: 5 rows of 12 lanes (odd: 9), one block each
    (make(Matrix, **channels(1, 1, 2, 3), **kernel(5, 3)), (94, 94, 94, 91, 91)),
    # a column takes the lanes of all channels that may share them: 9 x 4 (odd: 9 x 3), 36/32 = 2,
    # 2, 36/16 = 3, 27/12 = 3, though one channel alone has 9 inputs
    (make(Matrix, **channels(1, 1, 2, 3), **kernel(1, 9)), (76, 76, 82, 79, 79)),
    # 25 pixels, 9 taps, 100 channels: 100/64 = 2, 100/32 = 4, 100/16 = 7, 100/9 = 12
    (make(Matrix, **channels(100, 100, 5, 5), **kernel(3, 3), depthwise=1),
     (514, 964, 1639, 2761, 2761)),
    # in 16 bits: 100/32 = 4, 100/16 = 7, 100/8 = 13, 100/5 = 20
    (make(Matrix, **channels(100, 100, 5, 5), **kernel(3, 3), depthwise=1, x_type=S16),
     (964, 1639, 2989, 4561, 4561)),
    # 1 channel, 1 tap, 4 pixels, which share the lanes
    (make(Matrix, **channels(1, 1, 2, 2), depthwise=1), (65, 65, 65, 62, 62)),
    # 10 pixels, 9 taps, 24 channels: 240/64 = 4, 240/32 = 8; 24/16 = 2 words, 320/16 = 20;
    # 24/9 = 3 words, 270/9 = 30
    (make(Matrix, **channels(24, 24, 2, 5), **kernel(3, 3), depthwise=1),
     (100, 136, 244, 331, 331)),
    # 64 pixels, 200 -> 10: 7, 7, 13, 17 blocks each, 448, 448, 832, 1088; 81 pixels of 200 through
    # the prologue, 16200: 254, 507, 1013, 1473
    (make(Matrix, **channels(200, 10, 8, 8), prologue=1), (512, 571, 1077, 1534, 1534)),
    # 20 pixels, 9 taps, 6 groups of 5 -> 4: 32/5 = 6 whole groups fit the inputs, 16/5 = 3,
    # 12/5 = 2 and 10/4 = 2 the outputs, one may be in a block, odd two: 1, 6, 2, 3 times 9 blocks
    (make(Matrix, **channels(30, 24, 4, 5), **kernel(3, 3), groups=6), (244, 1144, 424, 601, 601)),
    # 4 pixels, 3 taps, 4 groups of 2 -> 20: 64/20 = 3 whole groups, 2 x 3 blocks; of one at a time
    # columns share lanes, 3 x 4 (odd: 3 x 3): 4 x 1, which is less, 4 x 20/16 = 2, 4 x 20/10 = 2
    (make(Matrix, **channels(8, 80, 2, 2), **kernel(1, 3), groups=4), (80, 80, 96, 93, 93)),
    # in 16 bits: 32/20 = 1 group; 20/16 = 2, 20/8 = 3, 20/7 = 3 blocks a group
    (make(Matrix, **channels(8, 80, 2, 2), **kernel(1, 3), groups=4, weight_type=1),
     (80, 96, 112, 109, 109)),
    # 1 pixel, 30 groups of 5 -> 1: 32/5 = 6 whole groups, one, 16/5 = 3, two: 5, 30, 10, 15 blocks
    (make(Matrix, **channels(150, 30, 1, 1), groups=30), (69, 94, 74, 76, 76)),
    # 40 of 1 -> 1: 32, 1, 16, 2 at once: 2, 40, 3, 20
    (make(Matrix, **channels(40, 40, 1, 1), groups=40), (66, 104, 67, 81, 81)),
    # 1 pixel, 2 groups of 40 -> 3, more than the inputs: 2 x 40/32 = 2, 2, 2 x 40/16 = 3,
    # 2 x 40/12 = 4
    (make(Matrix, **channels(80, 6, 1, 1), groups=2), (68, 68, 70, 69, 69)),
    # 100 pixels, 8 -> 32: blocks 1, 1, 2, 4; 100 x 32 sums of 4 bytes, 12800: 12800/256 = 50,
    # 12800/128 = 100, 100, 12800/39 = 329, 12800/6 = 2134
    (make(Matrix, **channels(8, 32, 10, 10), accumulate_out=1), (164, 164, 264, 461, 2195)),
    (make(Matrix, **channels(8, 32, 10, 10), accumulate_in=1), (164, 164, 264, 461, 2195)),
    # in and out, 25600: 100, 200, 200, 25600/39 = 657, 25600/6 = 4267
    (make(Matrix, **channels(8, 32, 10, 10), accumulate_in=1, accumulate_out=1),
     (164, 264, 264, 718, 4328)),
    # sums of 8 bytes, 51200: 200, 400, 400, 1313, 8534; blocks 1, 2, 4, 5
    (make(Matrix, **channels(8, 32, 10, 10), x_type=S16, accumulate_in=1, accumulate_out=1),
     (264, 464, 464, 1374, 8595)),
)  # fmt: skip

# whole bursts of runs that are a burst or more apart, times 500/8960, 58.6/448, 500/2240, 1/1.5
# cycles a byte
TRANSFERS: tuple[tuple[Instruction, tuple[int, ...]], ...] = (
    # 1 byte: one burst, 64/17.92 = 4, 64/7.645 = 9, 64/4.48 = 15, 24/1.5 = 16
    (make(Load, space=Space.MSPM), (104, 109, 115, 113, 113)),
    (make(Store), (104, 109, 115, 113, 113)),
    # 1000 bytes: 16 bursts, 1024: 58, 134, 229; 42 of 24, 1008: 672
    (make(Load, run_bytes=1000, space=Space.FSPM), (158, 234, 329, 769, 769)),
    # 448 bytes, 7 bursts, exactly 25 and 100 cycles, 59; 19 of 24, 456: 304
    (make(Load, run_bytes=448, space=Space.WSPM), (125, 159, 200, 401, 401)),
    # 5 x 3 runs of 30 apart in DDR (touching in the scratchpad): 15 bursts, 960: 54, 126, 215;
    # 15 x 2 of 24, 720: 480
    (make(Load, **RUNS, ddr_row_stride=400, ddr_column_stride=94), (154, 226, 315, 577, 577)),
    (make(Store, **RUNS, ddr_row_stride=400, ddr_column_stride=94), (154, 226, 315, 577, 577)),
    # with 63 bytes between them, 5 of 216 would be 5 x 4 bursts, 1280: the 15 apart are fewer
    (make(Load, **RUNS, ddr_row_stride=400, ddr_column_stride=93), (154, 226, 315, 577, 577)),
    # with 33, 5 of 156: 5 x 3 bursts, as many as apart
    (make(Load, **RUNS, ddr_row_stride=400, ddr_column_stride=63), (154, 226, 315, 577, 577)),
    # with 10, 5 of 110: 5 x 2 bursts, 640: 36, 84, 143; 5 x 5 of 24, 600: 400
    (make(Load, **RUNS, ddr_row_stride=200, ddr_column_stride=40), (136, 184, 243, 497, 497)),
    # and rows with 10 between them, 4 x 120 + 110 = 590: 10 bursts, 640; 25 of 24, 600
    (make(Store, **RUNS, ddr_row_stride=120, ddr_column_stride=40), (136, 184, 243, 497, 497)),
    # the runs of a row touch, 5 of 90: 5 x 2 bursts, 640: 36, 84, 143; 5 x 4 of 24, 480: 320
    (make(Load, **RUNS, ddr_row_stride=200, ddr_column_stride=30), (136, 184, 243, 417, 417)),
    # the rows touch too, 450: 8 bursts, 512: 29, 67, 115; 19 of 24, 456: 304
    (make(Store, **RUNS, ddr_row_stride=90, ddr_column_stride=30), (129, 167, 215, 401, 401)),
    # short runs a burst apart stay 4 x 2 bursts, 512: 29, 67, 115, though rows touch; 8 of 24, 192
    (make(Load, rows=4, columns=2, run_bytes=16, ddr_column_stride=80, ddr_row_stride=96),
     (129, 167, 215, 225, 225)),
    # a byte less between them, 380: 6 bursts, 384: 22, 51, 86; 24 of ODD's bytes are a burst
    (make(Load, rows=4, columns=2, run_bytes=16, ddr_column_stride=79, ddr_row_stride=95),
     (122, 151, 186, 225, 225)),
    # so it is with rows of one run: apart 4 bursts, 256: 15, 34, 58; 4 of 24, 96
    (make(Store, rows=4, run_bytes=16, ddr_row_stride=80), (115, 134, 158, 161, 161)),
    # one run a row, whatever the column stride: 4 of 100 that touch, 400: 7 bursts, 448: 25, 59,
    # 100; 17 of 24, 408: 272
    (make(Load, rows=4, run_bytes=100, ddr_row_stride=100, ddr_column_stride=7),
     (125, 159, 200, 369, 369)),
    # apart: 4 x 2 bursts, 512: 29, 67, 115; 4 x 5 of 24, 480: 320
    (make(Load, rows=4, run_bytes=100, ddr_row_stride=128), (129, 167, 215, 417, 417)),
    # one row of 3 runs of 30 a byte apart, 92: 2 bursts, 128: 8, 17, 29; 4 of 24, 96: 64
    (make(Store, columns=3, run_bytes=30, ddr_column_stride=31), (108, 117, 129, 161, 161)),
    # the same bytes three times: nothing touches
    (make(Load, columns=3, run_bytes=30, ddr_column_stride=0), (111, 126, 143, 193, 193)),
    # the same 90 twice: 2 x 2 bursts, 256: 15, 34, 58; 2 x 4 of 24, 192: 128
    (make(Load, rows=2, run_bytes=90, ddr_row_stride=0), (115, 134, 158, 225, 225)),
    # that touch, whatever the row stride: 90: 2 bursts, 128: 8, 17, 29; 4 of 24, 96: 64
    (make(Store, columns=3, run_bytes=30, ddr_column_stride=30, ddr_row_stride=7),
     (108, 117, 129, 161, 161)),
)  # fmt: skip

ALL = (*TRANSFERS, *MATRICES, *VECTOR, *MOVES)


@pytest.mark.parametrize(("item", "cycles"), ALL, ids=lambda one: getattr(one, "MNEMONIC", ""))
def test_cycles(item: Instruction, cycles: tuple[int, ...]) -> None:
    assert tuple(item.cycles(chip) for chip in CHIPS) == cycles


def test_every_instruction_has_several_sizes() -> None:
    found = Counter(type(item) for item, _ in ALL)
    assert [item.__name__ for item in ALL_INSTRUCTIONS if found[item] < 3] == []


def test_an_activation_goes_at_the_vector_engine_s_rate() -> None:
    """64 pixels of 16 -> 40, one block each; their 2560 results pass 8 lanes in 320 cycles."""
    chip = replace(A, vector_lanes=8)
    given = channels(16, 40, 8, 8)
    assert make(Matrix, **given).cycles(chip) == 64 + 64
    for activation in (Activation.TABLE, Activation.TWO_SIDED):
        assert make(Matrix, **given, activation=activation).cycles(chip) == 64 + 320
        # what is not requantized yet does not pass: sums of 4 bytes, 10240/256 = 40
        part = make(Matrix, **given, activation=activation, accumulate_out=1)
        assert part.cycles(chip) == 64 + 64
