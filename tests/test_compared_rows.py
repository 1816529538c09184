"""Which rows ``compare`` has, in which order, what it says of others, and dumps: by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import helper

from assembled import tensor
from knightlite import dtypes
from knightlite.api.comparison import dump, layer_values, layers, run, stage_files
from knightlite.api.comparison.differences import CHIP, FLOAT, GOLDEN, QUANTIZED, Comparison, Tally
from knightlite.api.comparison.layers import _integers_of
from knightlite.api.models.binary import Binary
from knightlite.errors import DataError, UsageError
from knightlite.ir import Graph, GraphBuilder, HostOp
from knightlite.options.compare import CompareOptions
from knightlite.talk import Talk
from knightlite.workspace import Produced, hashed, open_workspace, record

Array = NDArray[Any]
ALL = (CHIP, GOLDEN, QUANTIZED, FLOAT)  # in no order of ours


def network(host: tuple[HostOp, ...] = (), outputs: tuple[str, ...] = ("c", "b")) -> Graph:
    """x and z; a = Conv(x), b = Table(a), c = Add(a, z), whose channels have scales of their own.

    Nothing computes it: it is looked at.
    """
    net = GraphBuilder("net")
    net.input("x", (1, 2, 1, 2), dtypes.S8, 0.5)
    net.input("z", (1, 2, 1, 2), dtypes.S16, 0.25)
    for op, inputs, name in (
        ("Conv", ("x",), "a"),
        ("Table", ("a",), "b"),
        ("Add", ("a", "z"), "c"),
    ):
        net.node(op, inputs, name, {})
        scale = np.asarray([0.5, 0.125], np.float32) if name == "c" else 0.5
        net.tensor(name, (1, 2, 1, 2), dtypes.S8, scale)
    return replace(net.build(("c", "b")), host=host, outputs=outputs)


SOFTMAX = HostOp("softmax", "Softmax", ("c",), ("p",))


@pytest.mark.parametrize(
    ("level", "kinds", "pairs"),
    [
        (0, ALL, ["quantized chip"]),
        (1, ALL, ["float quantized", "quantized golden", "golden chip"]),
        (2, ALL, ["float quantized", "float golden", "float chip", "quantized golden",
                  "quantized chip", "golden chip"]),
        (3, (CHIP, QUANTIZED, FLOAT), ["quantized chip"]),
        (4, (CHIP, QUANTIZED, FLOAT), ["float quantized", "quantized chip"]),
        (5, (CHIP, QUANTIZED, FLOAT), ["float quantized", "float chip", "quantized chip"]),
        (6, (CHIP, QUANTIZED), ["quantized chip"]),
    ],
)  # fmt: skip
def test_pairs_of_a_level(level: int, kinds: tuple[str, ...], pairs: list[str]) -> None:
    assert [" ".join(pair) for pair in run._pairs(level, kinds)] == pairs


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ({}, "a b c"),
        ({"names": ("c", "a")}, "a c"),  # in the network's order
        ({"names": ("p",)}, "c"),  # an output of the host is what the host reads
        ({"names": ("p b",)}, "b c"),
        ({"op_type": "Add"}, "c"),
        ({"indices": (1, 1)}, "b"),
        ({"indices": (0, 1)}, "a b"),
        ({"indices": (1, 9), "names": ("a", "c")}, "c"),
        ({"indices": (0, 1), "op_type": "Add"}, ""),
    ],
)
def test_what_is_asked_for(asked: dict[str, Any], names: str) -> None:
    graph = network((SOFTMAX,), ("p", "b"))
    ops = {node.output: node.op for node in graph.nodes}
    found = run._wanted(CompareOptions(**asked), graph, list(ops), ops)
    assert " ".join(found) == names


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"names": ("aa",)}, "the network has no output called aa."),
        ({"op_type": "Adds"}, "the network has no operator called Adds."),
        ({"op_type": "Conv"}, "the network has no operator called Conv."),  # not among the outputs
    ],
)
def test_what_is_not_there_is_refused(asked: dict[str, Any], sentence: str) -> None:
    graph = network()
    ops = {node.output: node.op for node in graph.nodes}
    with pytest.raises(UsageError) as error:
        run._wanted(CompareOptions(**asked), graph, list(graph.chip_outputs), ops)
    assert error.value.sentence == sentence


VALUES: dict[str, dict[str, list[float]]] = {  # b has no golden, c no golden and no chip
    FLOAT: {"a": [4, 4], "b": [0, 0], "c": [8, 8]},
    QUANTIZED: {"a": [4, 5], "b": [4, 2], "c": [8, 12]},
    GOLDEN: {"a": [4, 5]},
    CHIP: {"a": [4, 8], "b": [4, 2]},
}


def rows(**asked: Any) -> tuple[list[str], list[str]]:
    """Rows, and sentences."""
    tallies: dict[tuple[str, str, str], Tally] = {}
    for one, other in combinations(VALUES, 2):
        for name in VALUES[one].keys() & VALUES[other]:
            made = tallies[name, one, other] = Tally()
            made.add(*(np.asarray(VALUES[kind][name]) for kind in (one, other)))
    said: list[str] = []
    found = run._rows(
        CompareOptions(**asked), ["a", "b", "c"], ["a", "b", "c"], {"a": "Conv", "b": "Table"},
        {kind: set(values) for kind, values in VALUES.items()}, tallies, frozenset("c"),
        Talk(said.append),
    )  # fmt: skip
    return [told(row) for row in found], said


def told(row: Comparison) -> str:
    found = "-" if row.difference is None else row.difference.mre
    return f"{row.index} {row.name} {row.op} {row.wanted} {row.found} {found} {row.remark}".strip()


NO_GOLDEN = "the golden model has no such tensor"


def test_rows_in_order_and_what_is_said_of_the_rest() -> None:
    found, said = rows(level=4)
    assert found == [
        "0 a Conv float quantized 0.125",
        "0 a Conv quantized golden 0.0",
        f"0 a Conv golden chip {3 / 9}",
        "1 b Table float quantized None",
        "2 c  float quantized 0.25",
    ]
    assert said == [
        f"2 layers are not compared with golden: {NO_GOLDEN} (-sl 6 lists them).",
        f"1 layer is not compared with chip: {run.KEPT} (-sl 6 lists them).",
    ]


def test_rows_that_lack_values_are_listed_where_asked() -> None:
    """Who lacks them is the second of two, or else the first."""
    assert rows(level=6)[0][6:] == [
        "1 b Table float quantized None",
        f"1 b Table float golden - {NO_GOLDEN}",
        "1 b Table float chip None",
        f"1 b Table quantized golden - {NO_GOLDEN}",
        "1 b Table quantized chip 0.0",
        f"1 b Table golden chip - {NO_GOLDEN}",
        "2 c  float quantized 0.25",
        f"2 c  float golden - {NO_GOLDEN}",
        f"2 c  float chip - {run.KEPT}",
        f"2 c  quantized golden - {NO_GOLDEN}",
        f"2 c  quantized chip - {run.KEPT}",
        f"2 c  golden chip - {run.KEPT}",
    ]
    assert rows(level=5)[0] == [row for row in rows(level=6)[0] if " - " not in row]
    assert rows(level=6)[1] == [
        f"2 layers are not compared with golden: {NO_GOLDEN}.",
        f"1 layer is not compared with chip: {run.KEPT}.",
    ]


def test_what_sim_left_out_is_not_called_unwritten() -> None:
    have = {QUANTIZED: {"a"}, CHIP: set[str]()}
    said: list[str] = []
    options = CompareOptions(level=3)
    run._rows(options, ["a"], ["a"], {}, have, {}, frozenset(), Talk(said.append))
    assert said == [f"1 layer is not compared with chip: {run.LEFT_OUT} (-sl 6 lists them)."]


def test_sorted_the_worst_are_first_and_only_so_many() -> None:
    """Of no finite error; then the largest; those without values last."""
    assert rows(level=4, sort=True, number=4)[0] == [
        "1 b Table float quantized None",
        f"0 a Conv golden chip {3 / 9}",
        "2 c  float quantized 0.25",
        "0 a Conv float quantized 0.125",
    ]
    assert " - " in rows(level=6, sort=True)[0][-1]


def test_a_row_that_is_saved(tmp_path: Path) -> None:
    found = Comparison(3, "a", "Conv", FLOAT, CHIP, None, "why")
    run._save(tmp_path, [found], {})
    assert json.loads((tmp_path / "compare.json").read_text()) == {
        "schema": "knightlite.compare/1",
        "rows": [{"index": 3, "name": "a", "op": "Conv", "wanted": "float", "found": "chip",
                  "difference": None, "remark": "why"}],
    }  # fmt: skip


# ------------------------------------------------------------------ results of another input


def warnings(graph: Graph, golden: Mapping[str, Array], chip: Mapping[str, Array]) -> list[str]:
    said: list[str] = []
    binary = cast("Binary", Named(Path("n_r.cfg")))
    run._say_of_another_input(
        {GOLDEN: golden, CHIP: chip}, graph, [Path("r s"), Path("t")], binary,
        {"onnx": Path("q/n_quantize.onnx"), "input_z": Path("z.bin")}, Talk(warn=said.append),
    )  # fmt: skip
    return said


@dataclass(frozen=True)
class Named:
    """Of a binary only where it lies."""

    cfg: Path


def test_results_of_another_input() -> None:
    """Half a step of the finest channel is rounding; more is another input."""
    graph, zeros = network(), np.zeros((1, 2, 1, 2), np.float32)
    assert warnings(graph, {"c": zeros, "a": zeros}, {"c": zeros + np.float32(0.0625)}) == []
    (told,) = warnings(graph, {"a": zeros, "c": zeros}, {"a": zeros, "c": zeros - 0.07})
    assert told == (
        "r s, t: c is not what the golden model makes of the sample that quant left, which all is "
        "compared with; the results may be of another input: `knightlite sim --config n_r.cfg "
        "--input x:q/inputs/x.bin z:z.bin -s 'r s'` makes those of the sample"
    )
    alone = replace(graph, inputs=("x",))
    (told,) = warnings(alone, {"a": zeros}, {"a": zeros + 1})
    assert "--input q/inputs/x.bin -s" in told
    assert warnings(graph, {}, {"c": zeros}) == []


# ------------------------------------------------------------------ dumps


def test_places_in_a_dump() -> None:
    graph = network()
    assert [(item.index, item.name, item.op) for item in dump.layer_tensors(graph)] == [
        (1, "x", "Input"), (2, "z", "Input"), (3, "a", "Conv"), (4, "b", "Table"), (5, "c", "Add"),
    ]  # fmt: skip
    assert list(dump.layer_folders(graph).values()) == [
        "0001:x", "0002:z", "0003:a", "0004:b", "0005:c"
    ]  # fmt: skip


def test_the_index_of_a_dump(tmp_path: Path) -> None:
    graph = network()
    lifted = replace(graph, tensors={k: v for k, v in graph.tensors.items() if k != "b"})
    dump.write_index(tmp_path, lifted, graph, "2 pictures")
    found = json.loads((tmp_path / "dump.json").read_text())
    assert {key: found[key] for key in ("version", "model", "data")} == {
        "version": 1, "model": "net", "data": "2 pictures"
    }  # fmt: skip
    assert found["tensors"][1] == {
        "index": 2, "name": "z", "op": "Input", "shape": [1, 2, 1, 2], "type": "s16",
        "scale": 0.25, "float": True,
    }  # fmt: skip
    assert [item["float"] for item in found["tensors"]] == [True, True, True, False, True]
    assert found["tensors"][4]["scale"] == [0.5, 0.125]


def fill(folder: Path, graph: Graph, batches: int) -> None:
    """Batches of 2, 1, 2, ... pictures; every number tells its picture and its tensor."""
    places = dump.layer_folders(graph)
    picture = 0
    for batch in range(batches):
        count = 2 - batch % 2
        for at, name in enumerate(places):
            ones = (
                np.ones((count, 2, 1, 2)) * np.arange(picture, picture + count)[:, None, None, None]
            )
            dump.write_values(
                folder, dump.FLOAT, places[name], batch, (ones + at / 8).astype(np.float32)
            )
            dump.write_values(
                folder, dump.QUANTIZED, places[name], batch, (2 * ones).astype(np.int8)
            )
        picture += count


def test_pictures_of_a_dump_in_order(tmp_path: Path) -> None:
    """Eleven batches, of which the last is 10: numbers, not names, are in order."""
    graph = network()
    assert not dump.is_dumped(tmp_path)
    with dump.dump_folder(tmp_path) as folder:
        fill(folder, graph, 11)
        dump.write_index(folder, graph, graph, "")
    assert dump.is_dumped(tmp_path)
    found = list(dump.dumped(tmp_path, graph, ["c"]))
    assert len(found) == 17
    for picture, (exact, fixed) in enumerate(found):
        assert list(exact) == list(fixed) == ["x", "z", "c"]
        assert all(values.shape == (1, 2, 1, 2) for values in (*exact.values(), *fixed.values()))
        assert [exact[name].max() for name in ("x", "z", "c")] == [
            picture, picture + 1 / 8, picture + 4 / 8
        ]  # fmt: skip
        assert fixed["x"].max() == 2 * picture * 0.5
        assert fixed["c"][0, :, 0, 1].tolist() == [picture, picture / 4]


def test_a_dump_without_an_input_or_of_another_shape(tmp_path: Path) -> None:
    graph = network()
    folder = tmp_path / "dump"
    fill(folder, graph, 1)
    np.save(folder / "quant" / "0005:c" / "batch_0.npy", np.zeros((2, 2, 2, 1), np.int8))
    with pytest.raises(
        DataError, match=r"batch_0.npy must have shape \[N, \(2, 1, 2\)\], not \(2, 2, 2, 1\)"
    ):
        list(dump.dumped(tmp_path, graph, ["c"]))
    assert len(list(dump.dumped(tmp_path, graph, ["a"]))) == 2
    (folder / "quant" / "0003:a" / "batch_0.npy").unlink()
    with pytest.raises(DataError, match=r"0003:a/batch_0\.npy cannot be read"):
        list(dump.dumped(tmp_path, graph, ["a"]))
    (folder / "float" / "0002:z").rename(folder / "float" / "0002:other")
    with pytest.raises(UsageError, match="float holds no values of input z"):
        list(dump.dumped(tmp_path, graph, ["a"]))


def test_a_dump_that_fails_leaves_the_one_before(tmp_path: Path) -> None:
    home = tmp_path / "new"
    with pytest.raises(KeyError), dump.dump_folder(home):
        raise KeyError
    assert not home.exists()
    for text in ("first", "second"):
        with dump.dump_folder(home) as folder:
            (folder / "dump.json").write_text(text)
    with pytest.raises(FileNotFoundError), dump.dump_folder(home) as folder:
        (folder / "none" / "dump.json").write_text("third")
    assert [path.name for path in home.iterdir()] == ["dump"]
    assert (home / "dump").stat().st_mode & 0o777 == 0o755  # others may read it
    assert (home / "dump" / "dump.json").read_text() == "second"
    (home / "dump" / "dump.json").unlink()
    with pytest.raises(UsageError, match="is no dump of ours"), dump.dump_folder(home):
        pass


def test_rows_of_all_of_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The float values are what is wanted; what the float network lacks has no row, but a dump."""
    graph = network()
    ones = np.ones((1, 2, 1, 2), np.float32)

    def run_both(graph: Graph, quantized: Graph, work: Any, each: Any) -> float:
        for batch in (0, 1):
            for item in dump.layer_tensors(quantized)[1:]:
                each(batch, item, None if item.name == "b" else 4 * ones, (5 + batch) * ones)
        return 0.5

    monkeypatch.setattr(layers, "run_layers", run_both)
    work: Any = SimpleNamespace(description="d")
    found, metric = layers.inspect_layers(graph, graph, work, tmp_path)
    assert metric == 0.5
    assert [told(row) for row in found] == [
        "2 z Input float quantized 0.375",
        "3 a Conv float quantized 0.375",
        "5 c Add float quantized 0.375",
    ]
    assert [row.difference.bias for row in found if row.difference] == [1.5] * 3
    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.npy"))
    assert files == [
        f"{kind}/{place}/batch_{batch}.npy"
        for kind, places in (
            ("float", ("0002:z", "0003:a", "0005:c")),
            ("quant", ("0002:z", "0003:a", "0004:b", "0005:c")),
        )
        for place in places
        for batch in (0, 1)
    ]
    assert np.load(tmp_path / "quant" / "0003:a" / "batch_1.npy").ravel().tolist() == [12] * 4
    assert np.load(tmp_path / "float" / "0003:a" / "batch_1.npy").ravel().tolist() == [4] * 4


def test_integers_behind_real_numbers() -> None:
    """Of a channel by its own scale, rounded."""
    graph = network()
    values = np.asarray([[[[1.0, -1.5]], [[0.25, 0.374]]]])
    found = _integers_of(graph, "c", values)
    assert (found.dtype.name, found.tolist()) == ("int8", [[[[2, -3]], [[2, 3]]]])
    assert _integers_of(graph, "z", values).dtype == np.int16
    back = layer_values.real(graph, "c", found)
    assert back.tolist() == [[[[1.0, -1.5]], [[0.25, 0.375]]]]
    assert layer_values.real(graph, "c", values) is values


# ------------------------------------------------------------------ what other stages left


def left(folder: Path, name: str, value: int, dtype: type = np.int8) -> None:
    folder.mkdir(exist_ok=True)
    np.save(folder / f"{name}.npy", np.full((1, 2, 1, 2), value, dtype))


def test_results_of_sim_are_looked_for_in_order(tmp_path: Path) -> None:
    """The first folder that has them; an output goes before what --debug left of it."""
    graph = network()
    one, other = tmp_path / "one", tmp_path / "other"
    left(one, "result-debug-a", 1)
    left(other, "result-debug-a", 2)
    left(one, "result-debug-c", 3)
    left(one, "result-c", 4)
    left(other, "result-b", 6)
    left(one, "result-debug-b", 8)  # an earlier folder goes before a better name
    found = layer_values.simulated_values([one, other], graph, ["a", "x"], None)({})
    assert {name: float(values[0, 0, 0, 0]) for name, values in found.items()} == {
        "c": 2.0, "b": 4.0, "a": 0.5
    }  # fmt: skip
    (one / "result-debug-b.npy").unlink()
    with pytest.raises(UsageError) as error:
        layer_values.simulated_values([one], graph, [], None)
    assert error.value.sentence == f"{one} holds no result-b.npy."
    np.save(other / "result-b.npy", np.zeros((1, 2, 2, 1), np.int8))
    with pytest.raises(DataError, match=r"must have shape \(1, 2, 1, 2\), not \(1, 2, 2, 1\)"):
        layer_values.simulated_values([one, other], graph, [], None)


def test_the_sample_of_every_input(tmp_path: Path) -> None:
    """By its size, floats or the input's own integers; a file of the manifest goes first."""
    graph = network()
    (tmp_path / "inputs").mkdir()
    np.asarray([1.5, 2, 3, 4], "<f4").tofile(tmp_path / "inputs" / "x.bin")
    np.asarray([0, 0, 0, 9], "<f4").tofile(tmp_path / "inputs" / "z.bin")
    np.asarray([-5, 6, 7, 800], "<i2").tofile(tmp_path / "z.bin")
    files = {"onnx": tmp_path / "n_quantize.onnx", "input_z": tmp_path / "z.bin"}
    found = stage_files.sample(files, graph)
    assert {name: values.tolist() for name, values in found.items()} == {
        "x": [[[[1.5, 2]], [[3, 4]]]], "z": [[[[-5, 6]], [[7, 800]]]]
    }  # fmt: skip
    assert {values.dtype for values in found.values()} == {np.dtype(np.float32)}
    np.zeros(5, "<f4").tofile(tmp_path / "inputs" / "x.bin")
    with pytest.raises(DataError, match=r"x.bin must hold 4 numbers, not 5\."):
        stage_files.sample(files, graph)
    (tmp_path / "inputs" / "x.bin").unlink()
    with pytest.raises(UsageError, match="the sample of input x is not at hand"):
        stage_files.sample(files, graph)


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_the_model_that_was_compiled_is_the_one_compared(tmp_path: Path) -> None:
    """Not the one quantized since; its float model is the run's, or the ONNX that it read."""
    said: list[str] = []
    hashes = []
    for name in ("one", "two"):
        model = written(tmp_path / name / "n_quantize.onnx", name)
        source = written(tmp_path / name / "n.onnx", name)
        record(tmp_path, "quant", "c", {"model": str(source)}, {"onnx": model}, {})
        hashes.append(hashed(tmp_path, {"onnx": model})["onnx"].sha256)
    space = open_workspace(tmp_path)
    for compiled, name in ((hashes[0], "one"), (hashes[1], "two"), (None, "two"), ("0", "two")):
        assert stage_files._recorded(space, compiled, Talk(said.append)) == {
            "onnx": tmp_path / name / "n_quantize.onnx", "float_onnx": tmp_path / name / "n.onnx"
        }  # fmt: skip
    assert [text.rpartition(": ")[2] for text in said] == [
        "what came of it is here.", *["quant left it here last."] * 3
    ]  # fmt: skip


def test_results_of_another_program(tmp_path: Path) -> None:
    """Told by what the program holds, wherever it lies; results of no recorded run are taken."""
    cfg = written(tmp_path / "n_r.cfg", "one")
    moved = written(tmp_path / "moved.cfg", "one")
    other = written(tmp_path / "other.cfg", "two")
    folder = written(tmp_path / "res" / "result-c.npy", "values").parent
    hashes = hashed(tmp_path, {"cfg": cfg})
    record(tmp_path, "sim", "c", {"input": "x.bin"}, {"c": folder / "result-c.npy"}, hashes)

    def ask(path: Path | None) -> None:
        binary = None if path is None else Sourced(path, hashed(tmp_path, {"cfg": path}))
        stage_files.require_results_of(tmp_path, [folder], cast("Binary", binary))

    for path in (cfg, moved, None):
        ask(path)
    with pytest.raises(UsageError) as error:
        ask(other)
    assert error.value.sentence == f"the results in {folder} are not of other.cfg as it is now."
    assert error.value.hint == (
        "`knightlite sim --config other.cfg --input x.bin -s res` makes them anew"
    )
    cfg.write_text("three")
    with pytest.raises(UsageError, match=r"res is out of date: .*n_r\.cfg has changed since sim"):
        ask(None)
    with pytest.raises(UsageError, match="none does not exist"):
        stage_files.require_results_of(tmp_path, [tmp_path / "none"], None)


@dataclass(frozen=True)
class Sourced:
    """Of a binary only where it came from."""

    cfg: Path
    sources: Mapping[str, Produced]


def test_inputs_are_among_what_the_golden_model_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the integers that it is fed: all as real numbers; what it does not make is left out."""
    made = helper.make_node("Add", ["x", "z"], ["c"])
    model = helper.make_model(helper.make_graph([made], "golden", [], []))
    asked: list[Any] = []

    def opened(path: Path, model: Any, names: list[str]) -> Any:
        asked.append((path, names))

        def computed(names: list[str], feeds: Mapping[str, Array]) -> list[Array]:
            asked.append({name: values.tolist() for name, values in feeds.items()})
            return [np.full((1, 2, 1, 2), 2, np.int8) for _ in names]

        return SimpleNamespace(inputs=["x", "z"], run=computed)

    monkeypatch.setattr(layer_values, "read_golden", lambda binary, named: (Path("g"), model))
    monkeypatch.setattr(layer_values, "open_golden", opened)
    entries = [
        tensor("x", "s8", (2, 1, 2), 0, scale=0.5), tensor("z", "s16", (2, 1, 2), 64, scale=0.25)
    ]  # fmt: skip
    binary: Any = SimpleNamespace(program=SimpleNamespace(meta=SimpleNamespace(given=entries)))
    source = layer_values.golden_values(binary, network(), ["x", "a", "c"], Talk())
    assert source is not None
    feeds = {
        "x": np.array([[[[0.2, 0.3]], [[-5.0, 90.0]]]], np.float32),
        "z": np.array([[[[1.0, 2.0]], [[3.0, -4.0]]]], np.float32),
    }
    found = source(feeds)
    assert asked == [
        (Path("g"), ["c"]),
        {"x": [[[[0, 1]], [[-10, 127]]]], "z": [[[[4, 8]], [[12, -16]]]]},
    ]
    assert {name: values.tolist() for name, values in found.items()} == {
        "c": [[[[1.0, 1.0]], [[0.25, 0.25]]]],
        "x": [[[[0.0, 0.5]], [[-5.0, 63.5]]]],
    }


def test_values_that_a_plot_shows_are_of_the_first_picture() -> None:
    """At most twice as many as 4096, evenly apart; none where no plot is asked for."""
    plain, kept = Tally(), Tally(keep=True)
    for first in (0, 1):
        values = np.arange(first, first + 9000.0).reshape(1, 1, 90, 100)
        for tally in (plain, kept):
            tally.add(values, -values)
    assert plain.wanted is None
    assert kept.wanted is not None
    assert kept.found is not None
    assert kept.wanted.tolist() == [*range(0, 9000, 2)]
    assert kept.found.tolist() == [*range(0, -9000, -2)]
    assert kept.size == 18_000
