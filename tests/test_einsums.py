"""Einsum of any letters: sums, transposes, reshapes and a product of matrices."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from knightlite.errors import KnightliteError
from knightlite.frontend import load
from knightlite.frontend.einsums import spelled_out
from knightlite.frontend.source import SourceModel, SourceNode
from onnx_nets import Net, operators
from test_carrying import ints, same

Array = NDArray[Any]


def shaped(net: Net, source: str, name: str, shape: tuple[int, ...]) -> str:
    return net.node("Reshape", [source, ints(net, *shape)], name)


FEATURES = {  # equation, shapes of the operands: 48 elements each
    "a guide for every head": ("bmchw,bnmc->bmhwn", (1, 2, 4, 3, 2), (1, 6, 2, 4)),
    "a guide for all pixels": ("bchw,bkc->bkhw", (1, 8, 3, 2), (1, 6, 8)),
    "an outer product": ("bi,bj->bij", (1, 48), (1, 48)),
    "a batch, summed": ("bij,bjk->bi", (1, 6, 8), (1, 8, 6)),
    "without an arrow": ("bij,bjk", (1, 6, 8), (1, 8, 6)),
    "element by element": ("bij,bji->bij", (1, 6, 8), (1, 8, 6)),
    "dots": ("...ij,...kj->...ik", (1, 2, 6, 4), (1, 2, 6, 4)),
}


@pytest.mark.parametrize("name", FEATURES)
def test_products_of_features(name: str, tmp_path: Path) -> None:
    equation, first, second = FEATURES[name]
    net = Net(14)
    net.node("Sigmoid", [net.input("x", (1, 48, 1, 1))], "s")
    net.node("Tanh", ["x"], "t")
    pair = [shaped(net, "s", "a", first), shaped(net, "t", "b", second)]
    net.node("Einsum", pair, "p", equation=equation)
    net.node("Mul", ["p", net.weight("half", np.float32(0.5))], "y")
    found = operators(same(net, tmp_path, "y"))
    assert "MatMul" in found or name == "element by element"


@pytest.mark.parametrize(
    ("equation", "shape", "made"),
    [("oc,bchw->bohw", (5, 8), "Conv"), ("bchw->bhw", None, "Conv"), ("bchw->bwc", None, "")],
)
def test_constants_and_single_operands(
    equation: str, shape: tuple[int, ...] | None, made: str, tmp_path: Path
) -> None:
    net = Net(12 if shape is None else 13)
    net.node("Sigmoid", [net.input("x", (1, 8, 3, 2))], "s")
    weights = [] if shape is None else [net.random("w", shape)]
    net.node("Einsum", [*weights, "s"], "p", equation=equation)
    net.node("Sub", ["p", net.weight("half", np.float32(0.5))], "y")
    assert made in (*operators(same(net, tmp_path, "y")), "")


def model(equation: str, *shapes: tuple[int, ...], opset: int = 14) -> SourceModel:
    names = tuple(f"x{at}" for at in range(len(shapes)))
    node = SourceNode("e", "Einsum", "", names, ("y",), {"equation": equation})
    known = dict(zip(names, shapes, strict=True))
    return SourceModel("net", opset, names, ("y",), (node,), {}, known, {}, {}, {})


def computed(found: SourceModel, values: dict[str, Array]) -> Array:
    """What the steps give of the inputs, as ONNX has these operators at the model's opset."""
    known = {**found.constants, **values}
    for node in found.nodes:
        first, *others = (known[name] for name in node.inputs)
        given = dict(node.attributes)
        if node.op_type == "ReduceSum":
            axes = given.pop("axes") if found.opset < 13 else others.pop().tolist()
            made = first.sum(axis=tuple(axes), keepdims=bool(given.pop("keepdims")))
        elif node.op_type == "Transpose":
            made = first.transpose(given.pop("perm"))
        elif node.op_type == "Reshape":
            made = first.reshape(others.pop())
        elif node.op_type == "Identity":
            made = first
        else:
            made = {"MatMul": np.matmul, "Mul": np.multiply}[node.op_type](first, others.pop())
        assert not others
        assert not given
        known[node.outputs[0]] = made
        if node.outputs[0] in found.shapes:
            assert made.shape == found.shapes[node.outputs[0]]
    return np.asarray(known["y"])


@pytest.mark.parametrize(
    "equation",
    [
        "zb,az", "ba", "cab", "zyx,ya", "bia,ibz", "...b,b...", "ba...", "ab,ba", "jk,ij",
        "ab->ba", "abc->ca", "abc->b", "abc,cd->dab", "abc,bcd->ad", "abcd,dbe->ace", "ab,cd->bd",
        "abc,abd->bdc", "abc,acd->dac", "ab,ab->a", "a...b,bc->c...a", "ab,cb->ac", "ab,c->cba",
        "abc,cb->ca", "ab,bc->c", "abcd,cb->dca", "a,b->ba", "abc,b->ac", "abc,c->bca",
    ],
)  # fmt: skip
@pytest.mark.parametrize("opset", [12, 13, 18])
@pytest.mark.parametrize("constant", [None, 0, 1])
def test_every_equation_is_what_numpy_computes(
    equation: str, opset: int, constant: int | None
) -> None:
    sizes = {letter: size for size, letter in enumerate("abcdeijkxyz", start=2)}
    texts = equation.partition("->")[0].replace("...", "kj").split(",")
    rng = np.random.default_rng(0)
    values = {
        f"x{at}": rng.integers(-4, 5, [sizes[letter] for letter in text]).astype(np.float32)
        for at, text in enumerate(texts)
    }
    asked = model(equation, *(item.shape for item in values.values()), opset=opset)
    if constant is not None and len(texts) > 1:
        name = f"x{constant}"
        asked = replace(asked, constants={name: values.pop(name)})
    given = {**asked.constants, **values}
    wanted = np.einsum(equation, *(given[name] for name in asked.inputs))
    if spelled_out(asked) == asked:
        return  # a product that an operator computes as it is
    np.testing.assert_array_equal(computed(spelled_out(asked), values), wanted)


LEFT_ALONE: dict[str, tuple[str, tuple[tuple[int, ...], ...]]] = {
    "a diagonal": ("ii->i", ((3, 3),)),
    "three operands": ("ij,jk,kl->il", ((2, 3), (3, 4), (4, 5))),
    "an axis that broadcasts": ("ij,jk->ik", ((2, 1), (3, 4))),
    "dots that broadcast": ("...j,...j->...", ((2, 3), (3,))),
    "no axis left": ("i,i->", ((3,), (3,))),
    "attention's keys": ("nchw,nckj->njhw", ((1, 4, 2, 2), (1, 4, 1, 3))),
}


@pytest.mark.parametrize("name", LEFT_ALONE)
def test_what_no_product_is_stays(name: str) -> None:
    equation, shapes = LEFT_ALONE[name]
    found = spelled_out(model(equation, *shapes))
    assert [node.op_type for node in found.nodes] == ["Einsum"]


def test_no_sum_is_no_product_of_matrices() -> None:
    found = spelled_out(model("bij,bji->bij", (1, 6, 8), (1, 8, 6)))
    assert [node.op_type for node in found.nodes] == ["Transpose", "Mul"]


def test_the_last_step_is_the_einsum() -> None:
    """Its name and its output stay; what is in between has shapes, and names of its own."""
    found = spelled_out(model("bmchw,bnmc->bmhwn", (1, 2, 4, 3, 2), (1, 6, 2, 4)))
    assert [node.op_type for node in found.nodes] == [
        "Transpose", "Reshape", "Transpose", "MatMul", "Reshape",
    ]  # fmt: skip
    assert (found.nodes[-1].name, found.nodes[-1].outputs) == ("e", ("y",))
    assert found.shapes[found.nodes[3].outputs[0]] == (1, 2, 6, 6)


def test_a_refusal_names_the_einsum(tmp_path: Path) -> None:
    net = Net(14)
    net.node("Sigmoid", [net.input("x", (1, 4, 3, 3))], "s")
    net.node("Einsum", ["s"], "p", equation="bcii->bci")
    net.node("Relu", ["p"], "y")
    with pytest.raises(KnightliteError, match="Einsum Einsum_p must multiply two features"):
        load(net.save(tmp_path, "y"))
