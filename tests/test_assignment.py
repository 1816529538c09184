"""The quantized graph as a whole: constants, names, constraints, bad constants."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from float_nets import RELU, FloatNet, small_net
from knightlite import dtypes
from knightlite.errors import ModelError, UnsupportedError
from knightlite.ir import Graph, verify
from knightlite.quantize.scales import assignment
from knightlite.quantize.scales.assignment import assign, check_constants, check_constraints
from knightlite.quantize.settings import Settings
from test_feature_choice import basis_of, noise


def quantized(graph: Graph, bias_correction: str = "fast") -> Graph:
    pictures = noise((8, *graph.tensors[graph.inputs[0]].shape[1:]))
    return assign(basis_of(graph, pictures, Settings("mse", bias_correction))).graph


def test_the_quantized_graph() -> None:
    graph = small_net()
    made = quantized(graph)
    verify(made)
    assert [(node.name, node.op, node.attributes) for node in made.nodes] == [
        (node.name, node.op, node.attributes) for node in graph.nodes
    ]
    assert (made.inputs, made.outputs, made.host) == (graph.inputs, graph.outputs, graph.host)
    assert made.tensors["stem.weight"].dtype is dtypes.S8
    assert made.tensors["stem.bias"].dtype is dtypes.S32
    assert made.constants["normal.gain"].tolist() == graph.constants["normal.gain"].tolist()
    assert made.tensors["normal.gain"].scale is None
    assert set(made.constants) == set(graph.constants)


def test_shared_weights_get_one_copy_per_reader() -> None:
    """Two convolutions with other input scales cannot share integers."""
    net = FloatNet()
    net.input("x", 4, 6, 6)
    net.conv("x", "a", 4, clamp=RELU)
    net.conv("a", "b", 4)
    graph = net.build("b")
    shared = replace(graph.nodes[1], inputs=("a", "a.weight", "a.bias"))
    graph = graph.with_nodes((graph.nodes[0], shared))
    made = quantized(graph)
    names = [node.inputs[1:] for node in made.nodes]
    assert names == [("a.weight", "a.bias"), ("a.weight_1", "a.bias_1")]
    assert np.array_equal(made.constants["a.weight"], made.constants["a.weight_1"])
    assert not np.array_equal(made.constants["a.bias"], made.constants["a.bias_1"])


def test_a_convolution_without_bias_gets_one_for_its_correction_only() -> None:
    net = FloatNet()
    net.input("x", 4, 6, 6)
    net.conv("x", "a", 4, clamp=RELU)
    net.conv("a", "b", 4)
    graph = net.build("b")
    bare = replace(graph.nodes[1], inputs=("a", "b.weight"))
    graph = graph.with_nodes((graph.nodes[0], bare))
    assert quantized(graph, bias_correction="off").nodes[1].inputs == ("a", "b.weight")
    made = quantized(graph)
    assert made.nodes[1].inputs == ("a", "b.weight", "b.bias")
    assert np.abs(made.constants["b.bias"]).max() > 0


def test_constants_that_are_not_finite() -> None:
    graph = small_net()
    broken = {
        name: np.where(np.arange(graph.constants[name].size) == 1, np.nan, 1).astype(np.float32)
        for name in ("normal.gain", "normal.offset")
    }
    with pytest.raises(ModelError) as caught:
        check_constants(graph.with_constants(broken))
    assert caught.value.sentence == (
        "constant normal.gain must hold finite numbers, but it holds NaN or infinity "
        "(2 such constants in all)."
    )
    assert [item.where for item in caught.value.findings] == ["normal.gain", "normal.offset"]
    check_constants(graph)


def test_broken_constraints_are_all_listed() -> None:
    net = FloatNet()
    net.input("x", 4, 6, 6)
    net.conv("x", "a", 3, group=2)
    net.conv("a", "b", 4, group=3)
    with pytest.raises(UnsupportedError) as caught:
        check_constraints(quantized_without_check(net.build("b")))
    assert [item.where for item in caught.value.findings] == ["a", "b"]
    assert caught.value.sentence.startswith("node a: Conv: 3 output channels must be")
    assert caught.value.sentence.endswith("(2 findings in all)")


def quantized_without_check(graph: Graph) -> Graph:
    tensors = [
        replace(graph.tensors[name], dtype=dtypes.S8, scale=np.asarray(0.1, np.float32))
        for name in ("x", "a", "b")
    ]
    constants = {name: np.ones(values.shape, np.int8) for name, values in graph.constants.items()}
    weights = [
        replace(graph.tensors[name], dtype=dtypes.S8, scale=np.full(len(values), 0.1, np.float32))
        for name, values in constants.items()
    ]
    return graph.with_tensors([*tensors, *weights]).with_constants(constants)


def test_other_widths_let_tables_be_fitted_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was tried for the widths of before says nothing of those of now; all refusals stay."""
    basis = basis_of(small_net(), noise((2, 3, 12, 12)))
    fitted = basis.switched(percent=0.5)
    tried_before: list[set[str]] = []
    refusals = [{"b": "one."}, {"c": "two."}, {}]

    def fit(own: Any, chosen: Any, tried: set[str]) -> Any:
        tried_before.append(set(tried))
        assert own is (basis if not tried else fitted)
        if tried:
            return own
        tried.add("table")
        return fitted

    monkeypatch.setattr(assignment, "choose_widths", lambda *_: ["a", "b", "c"])
    monkeypatch.setattr(assignment, "choose_features", lambda own, widths: {"made for": own})
    monkeypatch.setattr(assignment, "fit_tables", fit)
    monkeypatch.setattr(assignment, "refused_widths", lambda *_: refusals.pop(0))
    monkeypatch.setattr(assignment, "coarse_widths", lambda *_: {})
    monkeypatch.setattr(
        assignment,
        "without",
        lambda graph, widths, dropped: [w for w in widths if w not in dropped],
    )
    found: Any = assignment._features(basis)
    widths, chosen, narrowed, graph = found
    assert tried_before == [set(), {"table"}] * 3
    assert (widths, narrowed) == (["a"], {"b": "one.", "c": "two."})
    assert graph is fitted.graph
    assert list(chosen) == ["made for"]
