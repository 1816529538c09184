"""MLP-Mixer, ViT, DeiT, Swin and MobileViT: what moves, exactness and accuracy on the chip."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from conformance_checks import MAIN, TIGHT, Golden, Layers, Tally, build, run
from knightlite.frontend import load_quantized
from knightlite.inference import session
from knightlite.ir import Graph
from knightlite.onnx_models import write_float, write_qdq
from knightlite.quantize.pipeline import quantize_graph
from knightlite.quantize.settings import Settings
from knightlite.sim.host import quantize
from onnx_nets import Net, operators
from test_carrying import same
from test_node_cases import Workload
from token_nets import mixer, mobilevit, swin, vit

Array = NDArray[Any]
DEIT: Callable[[], Net] = partial(vit, True)
SMALLER = "TX5336AV200"  # between the common chip and the smallest
# SQNR at the output in dB: least at 8 bits, at 16 bits; how many MatMuls, how many SwapChannels
NETS: dict[str, tuple[Callable[[], Net], float, float, int, int]] = {
    "mixer": (mixer, 38, 60, 0, 4),
    "vit": (vit, 32, 48, 4, 0),
    "deit": (DEIT, 31, 47, 4, 0),
    "swin": (swin, 38, 60, 6, 3),
    "mobilevit": (mobilevit, 34, 48, 4, 0),
}


# where all bytes are compared: at 8 bits of every network, one of them on smaller chips too
CHIPS: dict[tuple[str, int], tuple[str, ...]] = {(name, 8): (MAIN,) for name in NETS}
CHIPS |= {("mixer", 16): (MAIN,), ("vit", 8): (MAIN, SMALLER, TIGHT), ("vit", 16): (SMALLER,)}


@pytest.mark.parametrize("name", NETS)
def test_on_the_chip(tmp_path: Path, name: str) -> None:
    """The machine makes the golden model's bytes, a step from QDQ at most, near the float net."""
    make, narrow, wide, products, swaps = NETS[name]
    graph = same(make(), tmp_path, "y")
    made = operators(graph)
    assert (made.count("MatMul"), made.count("SwapChannels")) == (products, swaps)
    assert not {"ChannelShuffle", "SpaceToDepth", "DepthToSpace"} & set(made)
    random = np.random.default_rng(5)
    shape = graph.tensors["x"].shape
    pictures = [random.normal(0, 1, shape).astype(np.float32) for _ in range(3)]
    for bits, least in ((8, narrow), (16, wide)):
        settings = Settings(bit_width=bits)
        workload = Workload([(picture,) for picture in pictures])
        made_graph = quantize_graph(graph, workload, settings, threads=1).graph
        path = tmp_path / f"{bits}.onnx"
        path.write_bytes(write_qdq(made_graph, {}).SerializeToString())
        quantized = load_quantized(path)
        assert sqnr_db(graph, quantized, pictures) >= least, bits
        for chip in CHIPS.get((name, bits), ()):
            assert_exact(quantized, chip, pictures[:1])


def sqnr_db(graph: Graph, quantized: Graph, pictures: list[Array]) -> float:
    """Of the network's output over all pictures."""
    real, rounded = session(write_float(graph), 1), session(write_qdq(quantized, {}), 1)
    wanted, found = (
        np.stack([runner.run(None, {"x": picture})[0] for picture in pictures])
        for runner in (real, rounded)
    )
    noise = float(np.square(found - wanted.astype(np.float64)).sum())
    return 10 * float(np.log10(np.square(wanted.astype(np.float64)).sum() / noise))


def assert_exact(quantized: Graph, chip: str, pictures: list[Array]) -> None:
    built = build(quantized, chip)
    (entry,) = built.program.meta.inputs
    golden, layers, tally = Golden(built.compiled.graph), Layers(quantized), Tally()
    for picture in pictures:
        integers = {"x": quantize(picture.reshape(entry.shape), entry)}
        wanted = golden.run(integers)
        tally.compare(run(built, integers), wanted)
        assert not {key: steps for key, steps in layers.differences(wanted).items() if steps > 1}
    assert not tally.wrong, "; ".join(tally.wrong.values())
