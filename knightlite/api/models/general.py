"""General layers of a compiled network in ONNX Runtime: what the host computes in the middle."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from knightlite.container import GeneralLayer, HostOperator, Program
from knightlite.errors import FormatError

if TYPE_CHECKING:
    import onnx

    from knightlite.sim.host import Real

Array = NDArray[Any]
REMEDY = "compile the model again"


def declared_problem(operators: Sequence[HostOperator], model: onnx.ModelProto) -> str | None:
    """The first value that is not what its operator says that it makes, as a sentence's end."""
    from onnx import helper

    from knightlite.ops import host

    known = host.shapes(model)
    for item in operators:
        results = []
        for name in item.outputs if item.makes else ():
            shape, kind = known.get(name, (None, 0))
            sizes = [size for size in shape or () if isinstance(size, int)]
            results.append((str(helper.tensor_dtype_to_np_dtype(kind)) if kind else "?", sizes))
        odd = item.misfit(results)
        if odd:
            return f"must make what it says that it makes: {odd}"
    return None


def general_layers(program: Program) -> Callable[[GeneralLayer], Real]:
    """What opens a general layer; FormatError for one that no compiler writes.

    Its model is made of its operators, which know no subgraphs and no files.
    """
    shapes = {entry.name: entry.shape for entry in program.meta.tensors}

    def opened(layer: GeneralLayer) -> Real:
        from onnx.checker import ValidationError

        from knightlite.inference import session
        from knightlite.ir import HostOp
        from knightlite.ops import general, host_model

        operators = tuple(
            HostOp(
                item.name, item.op, item.inputs, item.outputs, item.attributes,
                {name: values.array for name, values in item.constants.items()},
            )
            for item in layer.operators
        )  # fmt: skip
        inputs = {name: shapes[name] for name in layer.reads}
        where = f"general layer {layer.name} in the .cfg of {program.meta.name}"
        problem = host_model.operators_problem(operators)
        if problem is None:
            try:
                model = general.exact_model(operators, inputs, layer.output, shapes[layer.output])
            except (*host_model.UNFIT, ValidationError) as error:
                told = str(error).partition("\n")[0].rstrip(".")
                problem = f"must have operators as compile writes them ({told})"
            else:
                problem = host_model.size_problem(model) or declared_problem(layer.operators, model)
        if problem is not None:
            raise FormatError(f"{where} {problem}.", REMEDY)
        run = session(model, called=where, as_written=True)

        def compute(values: Mapping[str, Array]) -> Array:
            (found,) = run.run([layer.output], {name: values[name] for name in layer.reads})
            return found

        return compute

    return opened
