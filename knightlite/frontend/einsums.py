"""Einsum as ReduceSums, Transposes, Reshapes and a MatMul: what its letters say, step by step.

::

    bmchw,bnmc->bmhwn  =>  [b m (h w) c] x [b m c n] = [b m (h w) n], as [b m h w n]

Letters of both operands and the result are the MatMul's batch, those that the result lacks are
summed, the others lie side by side as its rows and columns. Those of attention that quantized files
have are left as they are (ops/matmul.py), and so is what no MatMul is: diagonals, more operands.
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.frontend.source import Shape, SourceModel, SourceNode
from knightlite.frontend.steps import AXES_AS_INPUT, Steps
from knightlite.ops import matmul

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Terms:
    """The letters of every operand and of the result, an ellipsis as capital letters."""

    operands: tuple[str, ...]
    result: str
    sizes: Mapping[str, int]


def spelled_out(model: SourceModel) -> SourceModel:
    """The model without the Einsums that can be written so."""
    if model.quantized:
        return model
    nodes: list[SourceNode] = []
    constants, shapes = dict(model.constants), dict(model.shapes)
    for node in model.nodes:
        terms = _terms(node, model)
        nodes += (
            [node] if terms is None else _Steps(node, terms, model.opset, constants, shapes).made()
        )
    return replace(model, nodes=tuple(nodes), constants=constants, shapes=shapes)


def _terms(node: SourceNode, model: SourceModel) -> Terms | None:
    """None where the node is to be left alone."""
    equation = str(node.attributes.get("equation", "")).replace(" ", "")
    if node.op_type != "Einsum" or node.domain or matmul.form_of(equation) is not None:
        return None
    texts, arrow, result = equation.partition("->")
    operands = texts.split(",")
    given = [_shape(name, model) for name in node.inputs]
    if not 1 <= len(operands) <= 2 or len(operands) != len(given) or None in given:
        return None
    shapes = [shape for shape in given if shape is not None]
    ranks = {
        len(shape) - len(text.replace("...", ""))
        for text, shape in zip(operands, shapes, strict=True)
        if "..." in text
    }
    if len(ranks) > 1 or min(ranks, default=0) < 0:
        return None  # an ellipsis that broadcasts
    dots = string.ascii_uppercase[: next(iter(ranks), 0)]
    if any(letter in string.ascii_uppercase for letter in equation):
        return None
    operands = [text.replace("...", dots) for text in operands]
    if not arrow:
        letters = sorted(letter for letter in "".join(operands) if letter not in dots)
        result = dots + "".join(letter for letter in letters if letters.count(letter) == 1)
    result = result.replace("...", dots)
    sizes: dict[str, int] = {}
    for text, shape in zip(operands, shapes, strict=True):
        if len(text) != len(shape) or len(set(text)) != len(text):
            return None  # a diagonal
        for letter, size in zip(text, shape, strict=True):
            if sizes.setdefault(letter, size) != size:
                return None  # an axis of 1 that broadcasts
    fits = len(set(result)) == len(result) and set(result) <= set(sizes) and bool(result)
    return Terms(tuple(operands), result, sizes) if fits else None


def _shape(name: str, model: SourceModel) -> Shape | None:
    known = model.constants.get(name)
    return model.shapes.get(name) if known is None else known.shape


class _Steps(Steps):
    """The nodes of one Einsum."""

    def __init__(
        self,
        node: SourceNode,
        terms: Terms,
        opset: int,
        constants: dict[str, Array],
        shapes: dict[str, Shape],
    ) -> None:
        super().__init__(node, opset, constants, shapes)
        self.terms = terms

    def made(self) -> list[SourceNode]:
        """All nodes; their values are named after the Einsum's output."""
        kept = set(self.terms.result)
        names, texts = [], []
        for at, name in enumerate(self.node.inputs):
            others = {letter for k, text in enumerate(self.terms.operands) if k != at
                      for letter in text}  # fmt: skip
            found = self.summed(name, self.terms.operands[at], kept | others)
            names.append(found[0])
            texts.append(found[1])
        if len(names) == 1:
            last, text = names[0], texts[0]
        else:
            last, text = self.multiplied(names, texts)
        return self.finished(self.ordered(last, text, self.terms.result))

    def summed(self, name: str, text: str, wanted: set[str]) -> tuple[str, str]:
        """Without the letters that nobody else has."""
        axes = [at for at, letter in enumerate(text) if letter not in wanted]
        left = "".join(letter for letter in text if letter in wanted)
        if not axes:
            return name, text
        if name in self.constants:
            return self.constant(self.constants[name].sum(tuple(axes))), left
        if self.opset < AXES_AS_INPUT:
            return self.op("ReduceSum", [name], left, {"keepdims": 0, "axes": axes}), left
        inputs = [name, self.constant(np.array(axes, np.int64))]
        return self.op("ReduceSum", inputs, left, {"keepdims": 0}), left

    def multiplied(self, names: list[str], texts: list[str]) -> tuple[str, str]:
        """The MatMul, rows and columns taken apart again."""
        result = self.terms.result
        free = [[letter for letter in result if letter in text and letter not in texts[1 - at]]
                for at, text in enumerate(texts)]  # fmt: skip
        if free[0] and free[1] and result.index(free[1][0]) < result.index(free[0][0]):
            names, texts, free = names[::-1], texts[::-1], free[::-1]
        batch = [letter for letter in result if letter in texts[0] and letter in texts[1]]
        inner = [letter for letter in texts[0] if letter in texts[1] and letter not in batch]
        if not inner and not any(free):
            pair = [self.ordered(*each, result) for each in zip(names, texts, strict=True)]
            return self.op("Mul", pair, result, {}), result
        batch_sizes = [self.terms.sizes[letter] for letter in batch]
        rows, columns, depth = (self._size(letters) for letters in (free[0], free[1], inner))
        first = self.reshaped(
            self.ordered(names[0], texts[0], "".join([*batch, *free[0], *inner])),
            (*batch_sizes, rows, depth),
        )
        second = self.reshaped(
            self.ordered(names[1], texts[1], "".join([*batch, *inner, *free[1]])),
            (*batch_sizes, depth, columns),
        )
        product = self.op("MatMul", [first, second], (*batch_sizes, rows, columns), {})
        text = "".join([*batch, *free[0], *free[1]])
        return self.reshaped(product, tuple(self.terms.sizes[letter] for letter in text)), text

    def _size(self, letters: list[str]) -> int:
        return prod(self.terms.sizes[letter] for letter in letters)

    def ordered(self, name: str, text: str, wanted: str) -> str:
        """A Transpose where the letters stand in another order."""
        return self.transposed(name, [text.index(letter) for letter in wanted])

    def op(self, kind: str, inputs: list[str], shape: str | Shape, more: Mapping[str, Any]) -> str:
        """A new node; ``shape``: of its output, in letters or in numbers."""
        sizes = self.terms.sizes
        numbers = tuple(sizes[at] for at in shape) if isinstance(shape, str) else shape
        return self.node_of(kind, inputs, numbers, more)
