"""Fusion of pointwise chains: what becomes one Table, what does not, and that values stay."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from knightlite.errors import UnsupportedError
from knightlite.frontend import load, load_quantized
from knightlite.frontend.simplify import clamp_of
from knightlite.frontend.survey import survey
from knightlite.ir import Graph
from onnx_nets import Net, checked, operators
from test_qdq import assert_equal, quantized, write


def start(opset: int = 13) -> Net:
    net = Net(opset)
    net.input("x", (1, 4, 9, 9))
    return net


def number(net: Net, value: float) -> str:
    return net.weight(f"number{len(net.weights)}", np.float32(value))


def silu(net: Net, x: str) -> str:
    return net.node("Mul", [x, net.node("Sigmoid", [x], "s")], "f")


def mish(net: Net, x: str) -> str:
    t = net.node("Tanh", [net.node("Softplus", [x], "s")], "t")
    return net.node("Mul", [x, t], "f")


def hard_swish_torch(net: Net, x: str) -> str:
    net.node(
        "Clip", [net.node("Add", [x, number(net, 3)], "a"), number(net, 0), number(net, 6)], "c"
    )
    return net.node("Div", [net.node("Mul", [x, "c"], "m"), number(net, 6)], "f")


def hard_swish_paddle(net: Net, x: str) -> str:
    net.node(
        "Clip", [net.node("Add", [x, number(net, 3)], "a"), number(net, 0), number(net, 6)], "c"
    )
    return net.node("Mul", [net.node("Mul", ["c", number(net, 1 / 6)], "d"), x], "f")


def gelu_erf(net: Net, x: str) -> str:
    net.node("Erf", [net.node("Div", [x, number(net, 2**0.5)], "d")], "e")
    net.node("Mul", [x, net.node("Add", ["e", number(net, 1)], "a")], "m")
    return net.node("Mul", ["m", number(net, 0.5)], "f")


def gelu_tanh(net: Net, x: str) -> str:
    net.node("Mul", [net.node("Pow", [x, number(net, 3)], "p"), number(net, 0.044715)], "q")
    net.node("Mul", [net.node("Add", [x, "q"], "a"), number(net, (2 / np.pi) ** 0.5)], "b")
    net.node("Add", [net.node("Tanh", ["b"], "t"), number(net, 1)], "c")
    return net.node("Mul", [net.node("Mul", [x, number(net, 0.5)], "h"), "c"], "f")


def hard_sigmoid(net: Net, x: str) -> str:
    net.node(
        "Clip", [net.node("Add", [x, number(net, 3)], "a"), number(net, 0), number(net, 6)], "c"
    )
    return net.node("Div", ["c", number(net, 6)], "f")


def leaky(net: Net, x: str) -> str:
    return net.node("Max", [x, net.node("Mul", [x, number(net, 0.125)], "a")], "f")


def square(net: Net, x: str) -> str:
    return net.node("Mul", [x, x], "f")


def powers(net: Net, x: str) -> str:
    net.node("Pow", [net.node("Abs", [x], "a"), number(net, 1.5)], "b")
    return net.node("Sqrt", [net.node("Add", ["b", number(net, 0.5)], "c")], "f")


def one_minus(net: Net, x: str) -> str:
    return net.node(
        "Sub", [number(net, 1), net.node("Sigmoid", [net.node("Neg", [x], "n")], "s")], "f"
    )


SPELLED: dict[Callable[[Net, str], str], dict[str, Any]] = {
    silu: {"function": "Expression", "steps": ("Sigmoid x", "Mul x %1")},
    mish: {"function": "Mish"},
    hard_swish_torch: {"function": "HardSwish"},
    hard_swish_paddle: {"function": "HardSwish"},
    gelu_erf: {"function": "Gelu", "approximate": "none"},
    gelu_tanh: {"function": "Gelu", "approximate": "tanh"},
    leaky: {"function": "LeakyRelu", "alpha": 0.125},
    square: {"function": "Pow", "exponent": 2.0},
    powers: {
        "function": "Expression",
        "steps": ("Abs x", "Pow %1 exponent=1.5", "Add %2 0.5", "Sqrt %3"),
    },
    one_minus: {"function": "Expression", "steps": ("Sigmoid x", "Sub 1.0 %1")},
}


@pytest.mark.parametrize("spell", list(SPELLED), ids=lambda spell: spell.__name__)
def test_spelled_out_functions_are_one_table(
    tmp_path: Path, spell: Callable[[Net, str], str]
) -> None:
    """Between convolutions, against ONNX Runtime; and through a QDQ file to the identical graph."""
    net = start()
    net.conv("x", "r", (6, 4, 3, 3))
    f = spell(net, "r")
    net.conv(f, "y", (4, 6, 1, 1))
    graph = checked(net.save(tmp_path, "y"))
    assert operators(graph) == ["Conv", "Table", "Conv"]
    assert dict(graph.nodes[1].attributes) == SPELLED[spell]
    whole = quantized(graph)
    assert_equal(load_quantized(write(tmp_path, whole)), whole)


def test_hard_sigmoid_spelled_out(tmp_path: Path) -> None:
    """Behind a convolution it is a clamp, elsewhere an Affine; behind a function a Table."""
    net = start()
    net.node("GlobalAveragePool", ["x"], "g")
    net.conv("g", "r", (4, 4, 1, 1))
    net.node("Mul", [hard_sigmoid(net, "r"), "x"], "y")
    graph = checked(net.save(tmp_path, "y"))
    assert operators(graph) == ["AveragePool", "Conv", "Mul"]
    np.testing.assert_allclose(clamp_of(graph.nodes[1]), (0, 1), atol=1e-7)

    net = start()
    net.node("MaxPool", ["x"], "p", kernel_shape=[2, 2])
    graph = checked(net.save(tmp_path, hard_sigmoid(net, "p")))
    assert operators(graph) == ["MaxPool", "Affine"]

    net = start()
    graph = checked(net.save(tmp_path, hard_sigmoid(net, net.node("Tanh", ["x"], "t"))))
    assert operators(graph) == ["Table"]


# ------------------------------------------------------------------ what folds for free


def test_scalars_and_clamps_behind_a_convolution_fold_into_it(tmp_path: Path) -> None:
    net = start()
    net.conv("x", "r", (6, 4, 3, 3))
    net.node("Mul", ["r", number(net, 2)], "m")
    net.node("Clip", ["m", number(net, 0), number(net, 6)], "c")
    net.node("Sigmoid", ["c"], "s")
    net.node("Mul", ["c", "s"], "y")
    graph = checked(net.save(tmp_path, "y"))
    assert operators(graph) == ["Conv", "Table"]
    assert graph.nodes[0].attributes["clamp"] == (0.0, 6.0)
    assert graph.nodes[1].attributes["steps"] == ("Sigmoid x", "Mul x %1")


def test_a_scalar_behind_a_pool_goes_into_the_table(tmp_path: Path) -> None:
    net = start()
    net.node("MaxPool", ["x"], "p", kernel_shape=[2, 2])
    net.node("Mul", ["p", number(net, 2)], "m")
    net.node("Tanh", ["m"], "y")
    graph = checked(net.save(tmp_path, "y"))
    assert operators(graph) == ["MaxPool", "Table"]
    assert graph.nodes[1].attributes["steps"] == ("Mul x 2.0", "Tanh %1")


def test_affines_and_clamps_alone_are_not_a_region(tmp_path: Path) -> None:
    net = start()
    net.node("Mul", ["x", number(net, 2)], "m")
    net.node("Clip", ["m", number(net, -1), number(net, 1)], "y")
    graph = checked(net.save(tmp_path, "y"))
    assert operators(graph) == ["Affine"]
    assert graph.nodes[0].attributes["clamp"] == (-1.0, 1.0)


def test_a_clamp_that_others_read_stays_in_the_convolution(tmp_path: Path) -> None:
    net = start()
    net.conv("x", "r", (4, 4, 3, 3))
    net.node("Relu", ["r"], "t")
    net.node("Mul", ["t", "t"], "q")
    net.conv("t", "u", (4, 4, 1, 1))
    net.node("Add", ["q", "u"], "y")
    graph = checked(net.save(tmp_path, "y"))
    assert operators(graph) == ["Conv", "Table", "Conv", "Add"]
    assert graph.nodes[0].attributes["clamp"] == (0.0, np.inf)


# ------------------------------------------------------------------ what others read


def test_an_intermediate_that_others_read_is_still_produced(tmp_path: Path) -> None:
    net = start()
    net.conv("x", "r", (4, 4, 3, 3))
    f = silu(net, "r")
    net.conv("s", "u", (4, 4, 1, 1))
    net.node("Add", [f, "u"], "y")
    graph = checked(net.save(tmp_path, "y", "s"))
    assert operators(graph) == ["Conv", "Table", "Table", "Conv", "Add"]
    assert graph.nodes[1].attributes["function"] == "Sigmoid"
    assert graph.nodes[2].inputs == ("r",)


def test_a_chain_is_cut_at_what_others_read(tmp_path: Path) -> None:
    net = start()
    net.conv("x", "r", (4, 4, 3, 3))
    f = silu(net, "r")
    net.node("Exp", [net.node("Neg", [f], "n")], "e")
    net.conv(f, "u", (4, 4, 1, 1))
    net.node("Add", ["e", "u"], "y")
    graph = checked(net.save(tmp_path, "y"))
    assert operators(graph) == ["Conv", "Table", "Table", "Conv", "Add"]
    assert graph.nodes[2].inputs == ("f",)


def test_merges_of_two_features_and_constants_per_channel_end_a_region(tmp_path: Path) -> None:
    net = start()
    net.conv("x", "r", (4, 4, 3, 3), pads=[1, 1, 1, 1])
    net.node("Sigmoid", ["x"], "s")
    net.node("Mul", ["r", "s"], "m")
    net.node("Mul", ["m", net.random("c", (4, 1, 1))], "n")
    net.node("Mul", ["n", net.node("Tanh", ["n"], "t")], "y")
    graph = checked(net.save(tmp_path, "y"))
    assert operators(graph) == ["Conv", "Table", "Mul", "Affine", "Table"]


# ------------------------------------------------------------------ quantized files, refusals


def per_pair(graph: Graph, folder: Path) -> Graph:
    return load_quantized(write(folder, quantized(graph)))


def test_no_region_crosses_a_rounding(tmp_path: Path) -> None:
    """A file that rounds between Sigmoid and Mul says so; it is computed as two operators."""
    net = start()
    net.node("Sigmoid", ["x"], "s")
    net.node("Mul", ["x", "s"], "f")
    net.node("Tanh", ["s"], "t")
    net.node("Add", ["f", "t"], "y")
    graph = checked(net.save(tmp_path, "y"))
    assert operators(graph) == ["Table"]
    # the same, with a file in which every value is quantized
    apart = Net(13)
    apart.input("x", (1, 4, 9, 9))
    apart.conv("x", "r", (4, 4, 3, 3))
    apart.node("Sigmoid", ["r"], "s")
    apart.conv("s", "u", (4, 4, 1, 1))
    apart.node("Mul", ["r", "s"], "f")
    apart.node("Add", ["f", "u"], "y")
    graph = per_pair(load(apart.save(tmp_path, "y")), tmp_path)
    assert [node.attributes.get("function") for node in graph.nodes if node.op == "Table"] == [
        "Sigmoid",
        "Expression",
    ]


def test_what_an_operator_refuses_it_refuses_in_a_chain_too(tmp_path: Path) -> None:
    net = start()
    net.node("Pow", ["x", net.random("e", (1, 4, 1, 1))], "p")
    net.node("Tanh", ["p"], "t")
    net.node("Mul", ["t", "t"], "m")
    net.conv("m", "y", (4, 4, 1, 1))  # not for the host, so that the chain cannot go there
    with pytest.raises(UnsupportedError) as caught:
        load(net.save(tmp_path, "y"))
    (found,) = caught.value.findings
    assert found.where == "Pow_p"
    assert found.sentence == "Pow Pow_p must have one constant exponent."


def test_no_table_divides_by_zero(tmp_path: Path) -> None:
    """0 / x is a function of x like any other, x / 0 is none."""
    net = start()
    net.node("Div", ["x", number(net, 0)], "d")
    net.node("Mul", ["d", net.node("Sigmoid", ["d"], "s")], "m")
    net.conv("m", "y", (4, 4, 1, 1))
    with pytest.raises(UnsupportedError) as caught:
        load(net.save(tmp_path, "y"))
    assert caught.value.findings[0].sentence == "Div Div_d must not divide by zero."
    net = start()
    net.node("Div", [number(net, 0), net.node("Exp", ["x"], "e")], "d")
    net.conv(net.node("Add", ["d", "e"], "m"), "y", (4, 4, 1, 1))
    assert operators(checked(net.save(tmp_path, "y"))) == ["Table", "Conv"]


def test_absorbed_nodes_count_as_supported(tmp_path: Path) -> None:
    net = start()
    silu(net, "x")
    found = survey(net.save(tmp_path, "f"))
    assert {name: (item.total, item.supported) for name, item in found.operators.items()} == {
        "Sigmoid": (1, 1),
        "Mul": (1, 1),
    }
