"""Norms of rows that differ in size: what the chip keeps of the small ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from conformance_checks import MAIN, build, judge
from knightlite.dtypes import S8, S16, U8
from knightlite.frontend import load, load_quantized
from knightlite.inference import Runner, float_network, quantized_network
from knightlite.ir import Graph
from knightlite.onnx_models import write_float, write_qdq
from knightlite.ops.table_functions import steps_of
from knightlite.quantize.data_free.workloads import RandomData
from knightlite.quantize.pipeline import quantize_graph
from knightlite.quantize.rewrites.norm_rows import brought_together, norms, spread
from knightlite.quantize.scales.widths import choose_widths, everything, row_means
from knightlite.quantize.settings import Settings
from knightlite.quantize.steps.norms import bring_rows_together
from onnx_nets import Net, operators

Array = NDArray[Any]
TOKENS, CHANNELS = 16, 24
KINDS = ("LayerNormalization", "RMSNormalization", "InstanceNormalization")


def net(kind: str, folder: Path, epsilon: float = 1e-5) -> Graph:
    """A norm and a linear layer behind it."""
    made, rows = Net(23), kind == "InstanceNormalization"
    made.input("x", (1, CHANNELS, 6, 6) if rows else (1, TOKENS, CHANNELS))
    names = ["x", made.random("g", (CHANNELS,), 0.5, 1.5)]
    if kind != "RMSNormalization":
        names.append(made.random("b", (CHANNELS,)))
    more = {} if rows else {"axis": -1}
    made.node(kind, names, "n", epsilon=epsilon, **more)
    if rows:
        made.conv("n", "y", (8, CHANNELS, 1, 1))
    else:
        made.node("MatMul", ["n", made.random("w", (CHANNELS, 8))], "y")
    return load(made.save(folder, "y"))


class Rows:
    """Pictures whose rows are up to ``times`` smaller than the largest one."""

    description = "rows"

    def __init__(self, graph: Graph, times: float, seed: int = 1) -> None:
        rng, shape = np.random.default_rng(seed), graph.tensors["x"].shape
        row = (6, shape[1], 1, 1)  # tokens lie in channels, as a signal's
        sizes = np.exp(rng.uniform(-np.log(times), 0, row))
        self.pictures = (rng.normal(0, 1, (6, *shape[1:])) * sizes).astype(np.float32)

    def run(self, forward: Any) -> None:
        for place in range(len(self.pictures)):
            forward((self.pictures[place : place + 1],))


def kept_db(graph: Graph, quantized: Graph, seen: Rows) -> float:
    runs = [Runner(network, 1) for network in (float_network(graph), quantized_network(quantized))]
    want, have = (
        np.concatenate([run.run((item[None],))["y"] for item in seen.pictures]) for run in runs
    )
    return float(10 * np.log10(np.sum(want**2) / np.sum((want - have) ** 2)))


def brought(graph: Graph, seen: Rows) -> Graph:
    return bring_rows_together(graph, seen, Settings(), 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("epsilon", [1e-5, 1e-12])
def test_the_function_is_the_same(kind: str, epsilon: float, tmp_path: Path) -> None:
    """With an epsilon as large as small variances, and with one that does not count."""
    graph = net(kind, tmp_path, epsilon)
    seen = Rows(graph, 100)
    made = brought(graph, seen)
    added = operators(made)
    assert [added.count(op) - operators(graph).count(op) for op in ("Mul", "Add", "Table")] == (
        [1, 1, 3] if epsilon == 1e-5 else [1, 0, 2]
    )
    runs = [Runner(float_network(item), 1) for item in (graph, made)]
    for picture in (*seen.pictures, np.zeros_like(seen.pictures[0])):
        want, have = (run.run((picture[None],))["y"] for run in runs)
        np.testing.assert_allclose(have, want, atol=2e-4 * np.abs(want).max())


@pytest.mark.parametrize("kind", KINDS)
def test_the_file_that_is_left_says_the_same(kind: str, tmp_path: Path) -> None:
    graph = net(kind, tmp_path)
    made = brought(graph, Rows(graph, 100))
    path = tmp_path / "float.onnx"
    path.write_bytes(write_float(made).SerializeToString())
    assert operators(load(path)) == operators(made)


# In front of the norm 8 bits alone keep 15 dB of rows that differ hundredfold; without all this
# there were 2 dB and less, at 16 bits as well.
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("bit_width", "least"), [(8, 11), (16, 42)])
def test_small_rows_are_kept(kind: str, bit_width: int, least: float, tmp_path: Path) -> None:
    """And machine = golden model."""
    graph = net(kind, tmp_path)
    seen = Rows(graph, 100)
    result = quantize_graph(graph, seen, Settings(bit_width=bit_width), threads=1)
    assert kept_db(graph, result.graph, Rows(graph, 100, seed=2)) >= least
    path = tmp_path / "net_quantize.onnx"
    path.write_bytes(write_qdq(result.graph, {}).SerializeToString())
    quantized = load_quantized(path)
    assert quantized.nodes == result.graph.nodes
    if kind == "LayerNormalization":
        picture = {"x": seen.pictures[:1]}
        verdict = judge(build(quantized, MAIN), quantized, result.float_graph, [picture])
        assert verdict.differing == 0
        assert max(verdict.lsb.values()) <= 1


def test_all_but_the_mean_magnitude_has_16_bits(tmp_path: Path) -> None:
    graph = net("LayerNormalization", tmp_path)
    result = quantize_graph(graph, Rows(graph, 100), threads=1)
    assert len(norms(graph)) == 1
    assert norms(result.float_graph) == []  # its root reads a sum now
    parts = {name.removeprefix("n.root."): tensor.dtype for name, tensor in
             result.graph.tensors.items() if name.startswith("n.root.")}  # fmt: skip
    assert parts.pop("mean") in (U8, S8)
    assert parts == dict.fromkeys(("magnitudes", "inverse", "together", "added", "variance"), S16)


def test_rows_that_are_alike_stay_as_they_are(tmp_path: Path) -> None:
    graph = net("LayerNormalization", tmp_path)
    assert brought(graph, Rows(graph, 1.5)) is graph
    everywhere = bring_rows_together(graph, RandomData((graph.tensors["x"],), 4), Settings(), 1)
    assert everywhere is graph


def test_how_many_small_rows_count() -> None:
    sizes = np.ones(1000)
    sizes[:20] = 0.01
    assert not spread(sizes)
    sizes[:21] = 0.01
    assert spread(sizes)
    sizes[:21] = 0  # rows of nothing are nothing
    assert not spread(sizes)


@pytest.mark.parametrize("bit_width", [8, 16])
def test_the_means_that_rows_are_divided_by_have_8_bits(bit_width: int, tmp_path: Path) -> None:
    """Whatever is asked for: their table is steep."""
    graph = net("LayerNormalization", tmp_path)
    made = brought(graph, Rows(graph, 100))
    (mean,) = row_means(made)
    assert mean in everything(made).wide
    assert mean not in choose_widths(made, Settings(bit_width=bit_width)).wide


@pytest.mark.parametrize("epsilon", [0.25, 1e-6, 1e-30])
def test_what_is_added_to_a_row_that_is_divided(epsilon: float, tmp_path: Path) -> None:
    """Variances of 1/4 to 4: rows are divided by (their mean magnitude + 2 / 128).

    Of the epsilon the part that the largest row has stays in the root, the rest is added to each;
    where it is next to nothing that part stays alone, at least 1e-7.
    """
    graph = net("RMSNormalization", tmp_path, epsilon)
    (norm,) = norms(graph)
    made = brought_together(graph, norm, np.array([0.25, 4.0, 0.0]))
    tables = {node.output: steps_of(node) for node in made.nodes if node.op == "Table"}
    stem = norm.root.output
    offset = 2 / 128
    left = float(np.float32(norm.epsilon / (2 + offset) ** 2))
    (first, _), root = tables[f"{stem}.inverse"], tables[stem]
    assert (first.op, first.operands) == ("Add", (0, offset))
    assert (root[0].op, root[0].operands) == (
        "Add",
        (0, left if epsilon > 1e-9 else float(np.float32(1e-7))),
    )
    added = tables.get(f"{stem}.added")
    assert (added is not None) == (epsilon == 0.25)
    if added is not None:
        assert [item.operands[1:] for item in added[2:]] == [(norm.epsilon,), (left,)]
