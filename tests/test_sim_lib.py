"""``sim-lib``: the vendor's order of calls in C makes the simulator's text files and CRC16."""

from __future__ import annotations

import binascii
import re
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import test_once as once
import test_outside as outside
from compilers import SANITIZERS, needs_compiler
from knightlite.api.simulation import simulate
from knightlite.cli.program import run
from knightlite.container import (
    Description,
    HostOperator,
    Program,
    decode_program,
    encode_program,
    paired,
)
from knightlite.container.description import constant
from knightlite.isa import Space
from knightlite.native.library import CHECKED, CHIP_ONLY, Network
from knightlite.options.simulate import SimulateOptions
from knightlite.sim import Machine
from knightlite.sim.host import KINDS, dequantize, finish
from knightlite.sim.outputs import crc16
from program_faults import PROGRAMS
from test_runtime import sound
from test_runtime_layers import by_hand, shifted, with_handled

pytestmark = needs_compiler

CFG, WEIGHT, KNOWN = (
    f"digits_quantize_{name}" for name in ("r.cfg", "r.weight", "known_input.bin")
)
STRICT = "-std=c99 -O1 -g -Wall -Wextra -Wpedantic -Wconversion -Werror"
LINK = ("-Wl,--start-group", "-lrne_rt_g3", "-lrne_vm", "-lrne_pal_sim", "-lrne_common",
        "-Wl,--end-group")  # fmt: skip


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built with sanitizers: every test runs under them."""
    folder = tmp_path_factory.mktemp("sim") / "lib"
    assert run(["sim-lib", "-o", str(folder)]) == 0
    flags = " ".join(SANITIZERS)
    done = subprocess.run(
        ["make", "-s", "-C", str(folder), f"CFLAGS={STRICT} {flags}", "all", "sample"],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return folder


def build(library: Path, source: str, target: Path, *flags: str) -> None:
    path = target.with_suffix(".cpp" if "-xc++" in flags else ".c")
    path.write_text(source)
    compiler = "c++" if "-xc++" in flags else "cc"
    usual = ("-Wall", "-Wextra", "-Werror", *SANITIZERS, f"-I{library / 'include'}")
    command = [compiler, *usual, *flags, str(path), "-o", str(target), f"-L{library / 'libs'}"]
    plain = ("-xnone", *LINK) if flags else LINK
    done = subprocess.run([*command, *plain], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def call(program: Path, *words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, *words], cwd=cwd, capture_output=True, text=True, timeout=120)


def texts(folder: Path) -> dict[str, bytes]:
    found = {path.name: path.read_bytes() for path in folder.glob("result-*.txt")}
    return {name: data for name, data in found.items() if "debug" not in name}


# ------------------------------------------------------------------ files and checksums


def test_text_files_and_checksum(library: Path, here: Path) -> None:
    result = simulate(SimulateOptions(input=KNOWN, frame_count=1, out_dir=here / "s"))
    (here / "c").mkdir()
    files = (here / CFG, here / WEIGHT, here / KNOWN)
    done = call(library / "bin/rne_simple_forward", *files, cwd=here / "c")
    assert done.returncode == 0, done.stderr
    assert f"crc16: 0x{result.crc16[0]:04x}\n" in done.stdout
    assert texts(here / "c") == texts(here / "s") != {}


def saved(program: Program, folder: Path, seed: int = 1) -> dict[str, Any]:
    """Files of a program and an input; the input's values."""
    cfg, weight = encode_program(program)
    (folder / "p_r.cfg").write_bytes(cfg)
    (folder / "p_r.weight").write_bytes(weight)
    rng = np.random.default_rng(seed)
    inputs = {
        entry.name: rng.integers(
            entry.dtype.minimum, entry.dtype.maximum + 1, entry.shape
        ).astype(entry.dtype.numpy)
        for entry in program.meta.inputs
    }  # fmt: skip
    data = b"".join(values.tobytes() for values in inputs.values())
    (folder / "input.bin").write_bytes(data)
    return inputs


@pytest.mark.parametrize("name", [name for name in PROGRAMS if name != "tail"])
def test_programs(name: str, library: Path, tmp_path: Path) -> None:
    """Several inputs and outputs, 16 bits, what the host moves and computes."""
    program = sound(name)
    saved(program, tmp_path)
    options = SimulateOptions(
        input=str(tmp_path / "input.bin"), cfg=tmp_path / "p_r.cfg", frame_count=1,
        layout="nchw", out_dir=tmp_path / "s", directory=tmp_path,
    )  # fmt: skip
    result = simulate(options)
    (tmp_path / "c").mkdir()
    files = [tmp_path / item for item in ("p_r.cfg", "p_r.weight", "input.bin")]
    done = call(library / "bin/rne_simple_forward", *files, cwd=tmp_path / "c")
    assert done.returncode == 0, done.stderr
    assert f"crc16: 0x{result.crc16[0]:04x}\n" in done.stdout
    assert texts(tmp_path / "c") == texts(tmp_path / "s") != {}


def test_checksum_of_the_standard() -> None:
    assert binascii.crc_hqx(b"123456789", 0xFFFF) == 0x29B1  # CRC-16/IBM-3740


def test_checksum_covers_the_pixels_as_they_lie(here: Path) -> None:
    program = decode_program(Path(CFG).read_bytes(), Path(WEIGHT).read_bytes(), CFG, WEIGHT)
    (entry,) = program.meta.outputs
    values = np.arange(10, dtype=np.int16).reshape(entry.shape)
    assert crc16(program.meta, {entry.name: values}) == binascii.crc_hqx(values.tobytes(), 0xFFFF)
    apart = replace(entry, column_stride=24, row_stride=24)
    meta = replace(program.meta, outputs=(apart,), tensors=(apart,))
    padded = values.tobytes() + bytes(4)
    assert crc16(meta, {entry.name: values}) == binascii.crc_hqx(padded, 0xFFFF)


# ------------------------------------------------------------------ programs in the vendor's order

HEAD = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ts_rne_c_api.h"
static unsigned char bytes[3][1 << 20];
static long take(const char *name, int at) {
    FILE *opened = fopen(name, "rb");
    long count = (long)fread(bytes[at], 1, sizeof bytes[at], opened);
    fclose(opened);
    return count;
}
static RNE_NET_S net;
static int open_all(char **words) {
    TS_MPI_TRP_RNE_SetLogLevel(RNE_LOG_ERROR);
    net.u8pGraph = bytes[0];
    net.s32GraphLen = (TS_S32)take(words[1], 0);
    take(words[2], 1);
    net.u8pParams = bytes[1];
    take(words[3], 2);
    return TS_MPI_TRP_RNE_InitResourceByType(RNE_TYPE_NAME_TX5368AV200) ||
           TS_MPI_TRP_RNE_OpenDevice(NULL, TS_MPI_TRP_RNE_RegisterGpLayers);
}
"""


@pytest.mark.parametrize("language", ["c", "c++"])
def test_both_generations_of_fill(language: str, library: Path, here: Path) -> None:
    """Three arguments or four, in C and C++; floats and integers by pixels make the same bytes."""
    source = (
        HEAD
        + """
    static float real[3 * 32 * 32];
    static signed char pixels[3 * 32 * 32];
    int main(int count, char **words) {
        int channel, at;
        unsigned first;
        float scale;
        (void)count;
        net.eInputType = INT_CHW;
        if (open_all(words) || TS_MPI_TRP_RNE_LoadModel(&net))
            return 1;
        if (TS_MPI_TRP_RNE_FillInputBlobs(&net, 0, bytes[2]))
            return 2;
        first = TS_MPI_TRP_RNE_GetBlobsCRC16CCITT(TS_MPI_TRP_RNE_Forward(&net));
        scale = *TS_MPI_TRP_RNE_GetInputBlobs(&net)->stpBlob->fCoeff;
        for (channel = 0; channel < 3; channel++)
            for (at = 0; at < 1024; at++) {
                signed char code = (signed char)bytes[2][channel * 1024 + at];
                pixels[at * 3 + channel] = code;
                real[at * 3 + channel] = (float)code * scale;
            }
        net.eInputType = FLOAT_HWC;
        if (TS_MPI_TRP_RNE_FillInputBlobs(&net, TS_MPI_TRP_RNE_GetInputBlobs(&net), 0, real))
            return 3;
        if (first != TS_MPI_TRP_RNE_GetBlobsCRC16CCITT(TS_MPI_TRP_RNE_Forward(&net)))
            return 4;
        net.eInputType = INT_HWC;
        if (TS_MPI_TRP_RNE_FillInputBlob(&net, 0, pixels, 0))
            return 5;
        if (first != TS_MPI_TRP_RNE_GetBlobsCRC16CCITT(TS_MPI_TRP_RNE_Forward(&net)))
            return 6;
        net.eInputType = HWC_GREY;
        if (!TS_MPI_TRP_RNE_FillInputBlobs(&net, 0, pixels))
            return 7;
        printf("0x%04x\\n", first);
        return TS_MPI_TRP_RNE_UnloadModel(&net) || TS_MPI_TRP_RNE_CloseDevice();
    }
    """
    )
    build(library, source, here / "both", *(["-xc++"] if language == "c++" else []))
    done = call(here / "both", CFG, WEIGHT, KNOWN, cwd=here)
    assert done.returncode == 0, done.stderr
    result = simulate(SimulateOptions(input=KNOWN, frame_count=1, out_dir=here / "s"))
    assert done.stdout == f"0x{result.crc16[0]:04x}\n"
    assert "has 3 channels of 8 bits, which eInputType 6 does not fill" in done.stderr


def test_memory_of_the_caller(library: Path, here: Path) -> None:
    source = (
        HEAD
        + """
    int main(int count, char **words) {
        RNE_BLOBS_S *out;
        void *own, *in, *results, *dumped;
        TS_SIZE_T bytes_out;
        (void)count;
        if (open_all(words) || !TS_MPI_TRP_RNE_GetBlobsBufSize(&net))
            return 1;
        own = malloc(TS_MPI_TRP_RNE_GetBlobsBufSize(&net));
        net.vpSelfBuf = own;
        if (TS_MPI_TRP_RNE_SetWeightAddr(&net, bytes[1] + 1, TS_RNE_FALSE) == 0 ||
            TS_MPI_TRP_RNE_LoadModel(&net))
            return 2;
        in = malloc(TS_MPI_TRP_RNE_GetBlobsSize(TS_MPI_TRP_RNE_GetInputBlobs(&net)));
        bytes_out = TS_MPI_TRP_RNE_GetBlobsSize(TS_MPI_TRP_RNE_GetResultBlobs(&net));
        results = malloc(bytes_out);
        dumped = malloc(bytes_out);
        if (TS_MPI_TRP_RNE_SetInputBlobsAddr(&net, in, NULL) ||
            TS_MPI_TRP_RNE_SetResultBlobsAddr(&net, results, NULL))
            return 3;
        net.eInputType = INT_CHW;
        if (TS_MPI_TRP_RNE_FillInputBlobs(&net, 0, bytes[2]))
            return 4;
        out = TS_MPI_TRP_RNE_Forward(&net);
        if (out->stpBlob->vpAddr != results || TS_MPI_TRP_RNE_DumpOutputBlobs(&net, dumped) ||
            memcmp(dumped, results, bytes_out))
            return 5;
        fwrite(dumped, 1, bytes_out, stdout);
        TS_MPI_TRP_RNE_UnloadModel(&net);
        free(own); free(in); free(results); free(dumped);
        return 0;
    }
    """
    )
    build(library, source, here / "own")
    done = subprocess.run([here / "own", CFG, WEIGHT, KNOWN], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout == Path("digits_quantize_known_output.bin").read_bytes()


def test_what_stays_on_the_chip(library: Path, tmp_path: Path) -> None:
    """OnceLoad loads it, a frame does not; networks that use what stays of another are refused."""
    program = once.built(outside.with_parts(), {Space.WSPM: 1024, Space.MSPM: 0}).program
    other = once.built(outside.with_parts(), {Space.WSPM: 8192, Space.MSPM: 4096}).program
    inputs = saved(program, tmp_path)
    for number, each in enumerate((program, other)):
        cfg, weight = encode_program(each)
        (tmp_path / f"{number}.cfg").write_bytes(cfg)
        (tmp_path / f"{number}.weight").write_bytes(weight)
    source = (
        HEAD
        + """
    static unsigned char more[2][1 << 20];
    static RNE_NET_S second, third;
    static void copy(RNE_NET_S *to) {
        memcpy(more[0], bytes[0], sizeof more[0]);
        memcpy(more[1], bytes[1], sizeof more[1]);
        *to = net;
        to->vpInnerNd = NULL;
        to->u8pGraph = more[0];
        to->u8pParams = more[1];
    }
    int main(int count, char **words) {
        RNE_BLOBS_S *out;
        (void)count;
        if (open_all(words))
            return 1;
        copy(&second); /* the first network's files, with areas of its own */
        net.s32GraphLen = (TS_S32)take(words[4], 0);
        take(words[5], 1);
        third = net; /* the same areas as net */
        net.eInputType = second.eInputType = INT_CHW;
        TS_MPI_TRP_RNE_SetLogLevel(RNE_LOG_INFO);
        if (TS_MPI_TRP_RNE_LoadModel(&net) || TS_MPI_TRP_RNE_LoadModel(&second) ||
            TS_MPI_TRP_RNE_LoadModel(&third) || TS_MPI_TRP_RNE_Forward(&second))
            return 2;
        if (TS_MPI_TRP_RNE_OnceLoad(&net) || TS_MPI_TRP_RNE_OnceLoad(&second) ||
            TS_MPI_TRP_RNE_OnceLoad(&net) || !TS_MPI_TRP_RNE_OnceLoad(&third))
            return 3;
        if (TS_MPI_TRP_RNE_FillInputBlobs(&second, 0, bytes[2]))
            return 4;
        TS_MPI_TRP_RNE_Forward(&second);
        out = TS_MPI_TRP_RNE_Forward(&second);
        if (!out)
            return 5;
        printf("0x%04x\\n", TS_MPI_TRP_RNE_GetBlobsCRC16CCITT(out));
        TS_MPI_TRP_RNE_UnloadModel(&net);
        if (TS_MPI_TRP_RNE_OnceLoad(&third))
            return 6;
        return TS_MPI_TRP_RNE_UnloadModel(&second) || TS_MPI_TRP_RNE_UnloadModel(&third);
    }
    """
    )
    build(library, source, tmp_path / "once")
    done = call(tmp_path / "once", "0.cfg", "0.weight", "input.bin", "1.cfg", "1.weight",
                cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"0x{crc16(program.meta, Machine(program).run(inputs)):04x}\n"
    assert "OnceLoad must be called before Forward" in done.stderr
    assert (
        "network parts uses bytes 8192 to 10368 of WSPM, and parts 8192 to 10368, of which some "
        "stay there: compile with other offsets." in done.stderr
    )
    assert "MSPM once load end:552" in done.stderr
    assert "WSPM once load end:3200" in done.stderr


@pytest.mark.parametrize("apart", [(), ("inputs", "outputs")])
def test_inputs_and_outputs_in_place(apart: tuple[str, ...], library: Path, tmp_path: Path) -> None:
    """Outside the network's memory, where the caller says: the blobs are what a frame works on."""
    program = outside.built(outside.with_parts(), apart).program
    inputs = saved(program, tmp_path)
    source = (
        HEAD
        + """
    static unsigned char in[4 * 20 * 24 + 4], results[1 << 16];
    int main(int count, char **words) {
        int channel, pixel, outside = count > 4;
        RNE_BLOBS_S *out;
        if (open_all(words) ||
            TS_MPI_TRP_RNE_InitResourceByType(RNE_TYPE_NAME_TX5336AV200) ||
            TS_MPI_TRP_RNE_LoadModel(&net))
            return 1;
        if (TS_MPI_TRP_RNE_SetInputBlobsAddr(&net, in + (4 - (size_t)in % 4) % 4, NULL) ||
            TS_MPI_TRP_RNE_SetResultBlobsAddr(&net, results, NULL))
            return 2;
        if (outside && (!TS_MPI_TRP_RNE_SetInputBlobsAddr(&net, results + 1, NULL) ||
                        !TS_MPI_TRP_RNE_SetInputBlobsAddr(&net, results + 8, NULL)))
            return 3;
        if (sizeof results < TS_MPI_TRP_RNE_GetBlobsSize(TS_MPI_TRP_RNE_GetResultBlobs(&net)))
            return 4;
        for (channel = 0; channel < 3; channel++)
            for (pixel = 0; pixel < 480; pixel++)
                ((unsigned char *)TS_MPI_TRP_RNE_GetInputBlobs(&net)->stpBlob->vpAddr)
                    [4 * pixel + channel] = bytes[2][480 * channel + pixel];
        out = TS_MPI_TRP_RNE_Forward(&net);
        if (!out || out->u32NBlob != 4 || out->stpBlob->vpAddr != results)
            return 5;
        printf("%u 0x%04x\\n", TS_MPI_TRP_RNE_GetBlobsBufSize(&net),
               TS_MPI_TRP_RNE_GetBlobsCRC16CCITT(out));
        return TS_MPI_TRP_RNE_UnloadModel(&net);
    }
    """
    )
    build(library, source, tmp_path / "in_place")
    files = ("p_r.cfg", "p_r.weight", "input.bin", *apart)
    done = call(tmp_path / "in_place", *files, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    wanted = crc16(program.meta, Machine(program).run(inputs))
    arena = Network(*encode_program(program), CHECKED | CHIP_ONLY).arena_bytes
    assert done.stdout == f"{arena} 0x{wanted:04x}\n"
    if apart:
        assert "must begin at a multiple of 4 bytes, not 1 behind one." in done.stderr
        assert "shares bytes with that of the outputs." in done.stderr


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("net.u8pGraph[100] ^= 1;", "the .cfg is damaged"),
        ("net.s32GraphLen -= 1;", "is truncated"),
        ("net.u8pParams[3] ^= 1;", "the .weight begins with another file's magic"),
        ("net.u8pParams = 0;", "a network needs u8pGraph, s32GraphLen and u8pParams."),
        ("TS_MPI_TRP_RNE_InitResourceByType(RNE_TYPE_NAME_TX5105C);",
         "the network was compiled for TX5368AV200, and InitResourceByType was told TX5105C."),
        ("TS_MPI_TRP_RNE_CloseDevice();", "OpenDevice must be called before LoadModel."),
    ],
)  # fmt: skip
def test_refusals(change: str, told: str, library: Path, here: Path) -> None:
    source = (
        HEAD
        + f"""
    int main(int count, char **words) {{
        (void)count;
        if (open_all(words))
            return 1;
        {change}
        return TS_MPI_TRP_RNE_LoadModel(&net) == 0;
    }}
    """
    )
    build(library, source, here / "refused")
    done = call(here / "refused", CFG, WEIGHT, KNOWN, cwd=here)
    assert done.returncode == 0, done.stderr
    assert told in done.stderr


# ------------------------------------------------------------------ what the host runs

RESULTS = (
    HEAD
    + """
static void handler(RNE_BLOBS_S *in, RNE_BLOBS_S *out, RNE_BIN_DATA_S *extra, void *user) {
    float *to, *from = (float *)in->stpBlob->vpAddr;
    TS_U32 at, count = in->stpBlob->u32Size / 4;
    fprintf(stderr, "%s with %.*s", (char *)user, (int)extra->u32Size, (char *)extra->vpAddr);
    if (!out->stpBlob->vpAddr) {
        *out->stpBlob = *in->stpBlob;
        out->stpBlob->vpAddr = TS_MPI_TRP_RNE_Alloc(in->stpBlob->u32Size);
    }
    to = (float *)out->stpBlob->vpAddr;
    for (at = 0; at < count; at++)
        to[at] = from[at] + 1;
}
int main(int count, char **words) {
    static char user[] = "user";
    RNE_BLOBS_S *out;
    TS_U32 at;
    net.eInputType = INT_CHW;
    net.vpGpUserData = user;
    if (open_all(words))
        return 1;
    if (count > 4 && TS_MPI_TRP_RNE_RegisterGpLayer(TS_MPI_TRP_RNE_GpLayerType(words[4]), handler))
        return 2;
    if (TS_MPI_TRP_RNE_LoadModel(&net) || TS_MPI_TRP_RNE_FillInputBlobs(&net, 0, bytes[2]))
        return 3;
    out = TS_MPI_TRP_RNE_Forward(&net);
    if (!out)
        return 4;
    for (at = 0; at < out->u32NBlob; at++)
        if (*out->stpBlob[at].s32pQ == -1)
            fwrite(out->stpBlob[at].vpAddr, 1, out->stpBlob[at].u32Size, stdout);
    TS_MPI_TRP_RNE_UnloadModel(&net);
    return 0;
}
"""
)


@pytest.fixture(scope="module")
def results(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("results") / "results"
    build(library, RESULTS, target)
    return target


def step(op: str, inputs: tuple[str, ...], output: str, constants: Any = (), **more: Any) -> Any:
    known = {name: constant(np.asarray(values)) for name, values in dict(constants).items()}
    return HostOperator(
        name=f"node_{output}", op=op, inputs=inputs, outputs=(output,), attributes=more,
        constants=known,
    )  # fmt: skip


def hosted(program: Program, *steps: HostOperator) -> Program:
    """A program with these operators, all of whose last results are outputs."""
    read = {name for item in steps for name in item.inputs}
    outputs = tuple(item.outputs[0] for item in steps if item.outputs[0] not in read)
    meta = replace(program.meta, host=steps, graph_outputs=outputs)
    return paired(replace(program, meta=meta, host=b""))


def wanted(program: Program, inputs: Mapping[str, Any]) -> tuple[Description, dict[str, Any]]:
    return program.meta, finish(program.meta, Machine(program).run(inputs))


X = "digits"  # stands for the chip's output below
W = np.linspace(-3, 4, 10, dtype=np.float32).reshape(1, 10, 1, 1)
CASES: dict[str, list[Any]] = {
    "softmax": [step("Reshape", (X,), "r", shape=(1, 10)), step("Softmax", ("r",), "y", axis=-1)],
    "log_softmax": [step("LogSoftmax", (X,), "y", axis=1)],
    "unary": [step(op, (X,), op.lower()) for op in
              ("Abs", "Exp", "Neg", "Relu", "Sigmoid", "Tanh")],
    "roots": [step("Abs", (X,), "a"), step("Sqrt", ("a",), "s"), step("Log", ("a",), "l")],
    "binary": [step(op, (X, "w"), op.lower(), {"w": W}) for op in
               ("Add", "Div", "Max", "Min", "Mul", "Sub")],
    "broadcast": [step("Reshape", (X,), "r", shape=(2, -1)),
                  step("Add", ("w", "r"), "y", {"w": W.reshape(5, 2, 1)[:, :, :1]})],
    "power": [step("Exp", (X,), "e"), step("Pow", ("e", "w"), "y", {"w": W}),
              step("Pow", (X, "two"), "q", {"two": np.full((1, 1, 1, 1), 3, np.float32)})],
    "argmax": [step("ArgMax", (X,), "a", axis=1, keepdims=1),
               step("Reshape", (X,), "r", shape=(2, 5)),
               step("ArgMax", ("r",), "b", axis=0, keepdims=0)],
    "moves": [step("Reshape", (X,), "r", shape=(1, 2, 5)), step("Slice", ("r",), "s", starts=(4, 0),
              ends=(-100, 9), axes=(2, 1), steps=(-2, 1)), step("Transpose", ("s",), "t",
              perm=(2, 0, 1)), step("Concat", ("t", "t"), "c", axis=-1),
              step("Mul", ("c", "c"), "y")],
    "pads": [step("Reshape", (X,), "r", shape=(1, 1, 2, 5)),
             step("Pad", ("r",), "p", pads=(0, 0, 1, 2, 0, 0, 0, 3)), step("Neg", ("p",), "y")],
    "sums": [step("Reshape", (X,), "r", shape=(1, 2, 5)),
             step("ReduceSum", ("r",), "a", axes=(2,), keepdims=1),
             step("ReduceSum", ("r",), "b", axes=(1, 2), keepdims=0),
             step("ReduceSum", ("r",), "d", axes=(-2,), keepdims=0),
             step("ReduceMax", ("r",), "c", axes=(1,), keepdims=0)],
    "clip": [step("Clip", (X,), "a", min=-1.5, max=2), step("Clip", (X,), "b", max=0.5)],
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_operators_have_the_bytes_of_python(name: str, results: Path, here: Path) -> None:
    program = decode_program(Path(CFG).read_bytes(), Path(WEIGHT).read_bytes(), CFG, WEIGHT)
    chip = program.meta.outputs[0].name
    steps = [
        replace(item, inputs=tuple(chip if name == X else name for name in item.inputs))
        for item in CASES[name]
    ]
    program = hosted(program, *steps)
    inputs = saved(program, here)
    _, found = wanted(program, inputs)
    done = subprocess.run(
        [results, "p_r.cfg", "p_r.weight", "input.bin"], capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == b"".join(values.astype(np.float32).tobytes() for values in found.values())


def test_every_kind_is_tried() -> None:
    tried = {item.op for steps in CASES.values() for item in steps}
    assert tried == KINDS.keys() - {"Cast"}  # other types than float32: a handler's


def test_handlers_of_the_user(results: Path, here: Path) -> None:
    """For an operator that there is, and for one that nobody knows."""
    program = decode_program(Path(CFG).read_bytes(), Path(WEIGHT).read_bytes(), CFG, WEIGHT)
    chip = program.meta.outputs[0]
    for op in ("Softmax", "Mine"):
        made = hosted(program, step(op, (chip.name,), "y", axis=1, ratio=0.5, sizes=(3, -4)))
        inputs = saved(made, here)
        integers = Machine(made).run(inputs)[chip.name]
        real = dequantize(integers, chip)
        done = subprocess.run(
            [results, "p_r.cfg", "p_r.weight", "input.bin", op], capture_output=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == b"user with axis=1\nratio=0.5\nsizes=3,-4\n"
        assert done.stdout == (real + np.float32(1)).tobytes()
    done = subprocess.run(
        [results, "p_r.cfg", "p_r.weight", "input.bin"], capture_output=True, timeout=60
    )
    assert done.returncode == 4
    assert b"layer node_y (Mine) has no handler: register one for its type" in done.stderr


BETWEEN = (
    HEAD
    + """
static void shifted(RNE_BLOBS_S *in, RNE_BLOBS_S *out, RNE_BIN_DATA_S *extra, void *user) {
    const float *x = (float *)in->stpBlob[0].vpAddr, *by = (float *)in->stpBlob[1].vpAddr;
    float *y = (float *)out->stpBlob->vpAddr;
    TS_U32 at;
    fprintf(stderr, "%s: %.*s", (char *)user, (int)extra->u32Size, (char *)extra->vpAddr);
    for (at = 0; at < out->stpBlob->u32Size / 4; at++)
        y[at] = 3 * x[at] + by[at / 20] + 0.25f;
}
static void whole(RNE_BLOBS_S *in, RNE_BLOBS_S *out, RNE_BIN_DATA_S *extra, void *user) {
    const float *x = (float *)in->stpBlob[0].vpAddr, *z = (float *)in->stpBlob[1].vpAddr;
    float *y = (float *)out->stpBlob->vpAddr;
    TS_U32 at;
    (void)extra;
    (void)user;
    for (at = 0; at < out->stpBlob->u32Size / 4; at++)
        y[at] = x[at] - z[at / 20 * 4 + at % 4];
}
int main(int count, char **words) {
    static char user[] = "user";
    RNE_BLOBS_S *out;
    (void)count;
    net.eInputType = INT_CHW;
    net.vpGpUserData = user;
    if (open_all(words))
        return 1;
    if (words[4][0] == 'n' && TS_MPI_TRP_RNE_RegisterGpLayer(1152, whole))
        return 2;
    if (words[4][0] == 'e' &&
        TS_MPI_TRP_RNE_RegisterGpLayer(TS_MPI_TRP_RNE_GpLayerType("Erf"), shifted))
        return 2;
    if (!TS_MPI_TRP_RNE_GetBlobsBufSize(&net) || TS_MPI_TRP_RNE_LoadModel(&net))
        return 3;
    net.eOutputType = NHWC_TO_NCHW;
    if (TS_MPI_TRP_RNE_FillInputBlobs(&net, 0, bytes[2]))
        return 4;
    out = TS_MPI_TRP_RNE_Forward(&net);
    if (!out || TS_MPI_TRP_RNE_GetGpLayers(&net)->u32NLayer != 1)
        return 5;
    TS_MPI_TRP_RNE_DumpOutputBlobs(&net, bytes[0]);
    fwrite(bytes[0], 2, 120, stdout);
    return TS_MPI_TRP_RNE_UnloadModel(&net);
}
"""
)


def test_handlers_between_segments(library: Path, here: Path) -> None:
    """By the operator's name; by a user-defined layer's number for the whole; refused at load."""
    build(library, BETWEEN, here / "between")
    for number, word, told in ((0, "erf", b"user: more=0.25\n"), (1152, "number", b"")):
        program, given = with_handled(number)
        cfg, weight = encode_program(program)
        (here / "p.cfg").write_bytes(cfg)
        (here / "p.weight").write_bytes(weight)
        data = b"".join(given[entry.name].tobytes() for entry in program.meta.inputs)
        (here / "p.bin").write_bytes(data)
        files = [str(here / "between"), "p.cfg", "p.weight", "p.bin"]
        done = subprocess.run([*files, word], capture_output=True, timeout=60)
        compute = shifted if word == "erf" else (lambda values: values["x"] - values["z"])
        assert (done.returncode, done.stderr) == (0, told)
        assert done.stdout == by_hand(program, given, compute)
        done = subprocess.run([*files, "-"], capture_output=True, timeout=60)
        assert done.returncode == 3
        assert (
            b"general layer y has Erf (y), which the runtime in C does not compute" in done.stderr
        )


# ------------------------------------------------------------------ functions

SPECIAL = (0.0, -0.0, 1.0, -1.0, 0.5, 3.0, -3.0, 1e-30, 1e30, float("inf"), -float("inf"))
FLOATS = (
    st.floats(width=32, allow_nan=True) | st.sampled_from(SPECIAL) | st.floats(-90, 90, width=32)
)
FUNCTIONS = """
#include <stdio.h>
#include "knl_functions.h"
int main(void) {
    float pair[2], made[5];
    while (fread(pair, sizeof pair, 1, stdin) == 1) {
        made[0] = (float)knl_exponential((double)pair[0]);
        made[1] = (float)knl_logarithm((double)pair[0]);
        made[2] = (float)knl_hyperbolic_tangent((double)pair[0]);
        made[3] = (float)knl_logistic((double)pair[0]);
        made[4] = (float)knl_power((double)pair[0], (double)pair[1]);
        fwrite(made, sizeof made, 1, stdout);
    }
    return 0;
}
"""


@pytest.fixture(scope="module")
def functions(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("functions") / "functions"
    build(library, FUNCTIONS, target, f"-I{library / 'runtime'}", "-std=c99")
    return target


@settings(max_examples=40, deadline=None)
@given(pairs=st.lists(st.tuples(FLOATS, FLOATS), min_size=1, max_size=200))
def test_functions_are_the_same_in_both(pairs: list[tuple[float, float]], functions: Path) -> None:
    from knightlite.sim import host_functions

    given_pairs = np.array(pairs, np.float32)
    x, y = given_pairs.T
    done = subprocess.run([functions], input=given_pairs.tobytes(), capture_output=True, timeout=60)
    found = np.frombuffer(done.stdout, np.float32).reshape(-1, 5)
    with np.errstate(all="ignore"):
        made = [
            host_functions.exp(x), host_functions.log(x), host_functions.tanh(x),
            host_functions.sigmoid(x), host_functions.power(x, y),
        ]  # fmt: skip
    for column, values in enumerate(made):
        both = np.isnan(values) & np.isnan(found[:, column])
        assert values[~both].tobytes() == found[~both, column].tobytes()


def test_functions_are_right() -> None:
    """Within half a step of float32 of float64's own, and where these are special."""
    from knightlite.sim import host_functions

    rng = np.random.default_rng(3)
    x = np.concatenate([rng.normal(0, 20, 5000), rng.normal(0, 0.02, 5000)]).astype(np.float32)
    wide = x.astype(np.float64)
    positive = np.abs(x) + np.float32(1e-30)
    for found, exact in (
        (host_functions.exp(x), np.exp(wide)),
        (host_functions.log(positive), np.log(positive.astype(np.float64))),
        (host_functions.tanh(x), np.tanh(wide)),
        (host_functions.sigmoid(x), 1 / (1 + np.exp(-wide))),
        (host_functions.power(positive, x / 10), np.power(positive.astype(np.float64), x / 10)),
    ):
        with np.errstate(over="ignore"):
            step_ = np.spacing(np.abs(exact).astype(np.float32)).astype(np.float64)
        finite = np.isfinite(step_)
        assert np.all(np.abs(found - exact)[finite] <= 0.501 * step_[finite])
    special = np.array(SPECIAL, np.float32)
    with np.errstate(all="ignore"):
        one, other = np.meshgrid(special, special)
        for found, exact in (
            (host_functions.exp(special), np.exp(special)),
            (host_functions.log(special), np.log(special)),
            (host_functions.tanh(special), np.tanh(special)),
            (host_functions.power(one, other), np.power(one, other)),
        ):
            np.testing.assert_allclose(found, exact, rtol=3e-7)


def test_the_makefile_names_every_source() -> None:
    from knightlite.deploy.project import SIMULATION_LIBRARY

    text = (SIMULATION_LIBRARY / "Makefile").read_text("utf-8")
    listed = set(" ".join(re.findall(r"^rne_\w+\s*:= (.*)$", text, re.MULTILINE)).split())
    assert {path.stem for path in (SIMULATION_LIBRARY / "src").glob("*.c")} <= listed
