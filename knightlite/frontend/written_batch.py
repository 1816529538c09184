"""A batch that is written into the file: where the user asks for batch 1, it is 1 there too.

Exporters that trace a network with four pictures write [4, -1] into its Reshapes. With ``-is`` the
input has one; the constants that name the batch of what they reshape, expand or resize follow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from knightlite.errors import Finding

if TYPE_CHECKING:
    import onnx

Array = NDArray[Any]
SHAPES = {"Reshape": 1, "Expand": 1, "Resize": 3}  # which operand names the sizes of the output


def follow(
    model: onnx.ModelProto,
    constants: dict[str, Array],
    declared: Mapping[str, Sequence[int | str]],
    pinned: Mapping[str, Sequence[int]],
) -> list[Finding]:
    """Let constants name batch 1 where ``declared`` inputs name another and ``pinned`` ones 1.

    The model still has the declared shapes. Every change is a warning.
    """
    from onnx import shape_inference

    batches = {
        shape[0] for name, shape in declared.items() if shape and tuple(pinned[name][:1]) == (1,)
    }
    counts = {size for size in batches if isinstance(size, int) and size > 1}
    if len(counts) != 1:
        return []
    (count,) = counts
    inferred = shape_inference.infer_shapes(model, data_prop=True).graph
    leading = {
        item.name: item.type.tensor_type.shape.dim[0].dim_value
        for item in (*inferred.input, *inferred.value_info, *inferred.output)
        if item.type.tensor_type.shape.dim
    }
    findings = []
    for node in model.graph.node:
        place = SHAPES.get(node.op_type, len(node.input))
        if place >= len(node.input) or leading.get(node.input[0]) != count:
            continue
        sizes = constants.get(node.input[place])
        if sizes is None or sizes.ndim != 1 or not sizes.size or sizes[0] != count:
            continue
        name = f"{node.input[place]}/{node.output[0]}"  # others may read the constant too
        constants[name] = np.concatenate([np.ones(1, sizes.dtype), sizes[1:]])
        node.input[place] = name
        where = node.name or node.output[0]
        sentence = f"{node.op_type} {where} names a batch of {count}, which is 1 here."
        findings.append(Finding(where, sentence, "feed one frame at a time", "warning"))
    return findings
