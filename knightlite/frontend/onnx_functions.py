"""Operators that ONNX defines by others: their function bodies take their places.

What the chip has a shorter way for (Gelu, Softplus, norms) stays as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

SPELLED_OUT = (
    "Attention", "CausalConvWithState", "LinearAttention", "MeanVarianceNormalization",
    "RotaryEmbedding", "SpaceToDepth", "SwiGLU", "Swish",
)  # fmt: skip
"""SpaceToDepth has a body from opset 28 on, where it has modes."""


MOST_LEVELS = 8  # of bodies within bodies


def spelled_out(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with the bodies of SPELLED_OUT; itself where it has none of them.

    A node whose body cannot be written for its operands stays, and so do all with a version of
    onnx that has no inliner for them: they become findings.
    """
    from onnx import inliner, shape_inference

    for _ in range(MOST_LEVELS):  # a body's values have types once it stands in the graph
        found = dict.fromkeys(node.op_type for node in _to_spell(model))
        if not found:
            break
        try:
            typed = _with_types(shape_inference.infer_shapes(model))
            _set_defaults(typed)
            made = inliner.inline_selected_functions(
                typed, [("", name) for name in found], inline_schema_functions=True
            )
        except (TypeError, RuntimeError, shape_inference.InferenceError):
            break  # an older onnx; operands that a body is not known for
        del made.graph.value_info[:]  # they are inferred again, at the shapes that are asked for
        del made.graph.input[len(model.graph.input) :]
        model = made
    return model


def _to_spell(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    return [
        node
        for node in model.graph.node
        if node.domain in ("", "ai.onnx") and node.op_type in SPELLED_OUT
    ]


def _set_defaults(model: onnx.ModelProto) -> None:
    """Say what a node leaves to its operator: a body that refers to it is left without, else."""
    from onnx import defs

    version = next(item.version for item in model.opset_import if item.domain in ("", "ai.onnx"))
    for node in _to_spell(model):
        given = {item.name for item in node.attribute}
        for name, attribute in defs.get_schema(node.op_type, version).attributes.items():
            if attribute.default_value.type and name not in given:
                node.attribute.append(attribute.default_value)


def _with_types(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its initializers as inputs too: the inliner asks these for types."""
    from onnx import TensorProto, helper

    listed = {item.name for item in model.graph.input}
    for item in model.graph.initializer:
        if item.name not in listed:
            entry = helper.make_tensor_value_info(item.name, item.data_type, item.dims)
            model.graph.input.append(entry)
    absent = helper.make_tensor_value_info("", TensorProto.FLOAT, ())  # asked for as well
    model.graph.input.append(absent)
    return model
