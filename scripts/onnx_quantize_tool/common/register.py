"""Where a user script registers its functions: ``@onnx_infer_func.register("name")``.

Outside the tool nobody asks for them, and a script that only imports another one's constants runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


class Registry:
    """The functions of one kind by name."""

    def __init__(self) -> None:
        self.functions: dict[str, Callable[..., Any]] = {}

    def register(self, name: str | Function) -> Any:
        """Decorator; with a name, or bare, where the function's own name counts."""
        if callable(name):
            self.functions[name.__name__] = name
            return name

        def decorate(function: Function) -> Function:
            self.functions[name] = function
            return function

        return decorate


class GeneralLayers:
    """User-defined layers by the operator of the model; ours, Knight has them on the board only."""

    def __init__(self) -> None:
        self.functions: dict[str, tuple[int, Callable[..., Any]]] = {}

    def register(self, layer_type: int, name: str) -> Callable[[Function], Function]:
        """Decorator: the handler's number from 1152 up, and what the model calls the operator."""

        def decorate(function: Function) -> Function:
            self.functions[name] = (layer_type, function)
            return function

        return decorate


onnx_infer_func = Registry()
pytorch_model = Registry()
paddle_model = Registry()  # ours: Knight has none
general_layer = GeneralLayers()
