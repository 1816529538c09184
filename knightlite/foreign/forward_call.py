"""What ``forward`` of a PyTorch module is called with: inputs, and arguments that are set for good.

As torch.fx does it, which Knight converts with: ``concrete_args`` are given by name, names that
``forward`` does not have count for nothing, and the inputs take what is left in order.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from knightlite.errors import DataError
from knightlite.foreign.model_function import CONCRETE, Built

POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True, slots=True)
class ForwardCall:
    """``concrete``: those arguments of the script that ``forward`` has. ``dropped``: the others.

    ``names``: the parameters that are left for the inputs, none where they have no names.
    """

    built: Built
    signature: inspect.Signature | None
    names: tuple[str, ...]
    concrete: Mapping[str, Any]
    dropped: tuple[str, ...]

    @property
    def note(self) -> str:
        """What is to be said of the arguments that are dropped."""
        if not self.dropped:
            return ""
        return (
            f"{self.built.concrete_at}: {CONCRETE} sets {', '.join(self.dropped)}, which forward "
            f"of {_kind(self.built)} does not have: left out."
        )

    def arguments(self, inputs: Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """What to call with, by position and by name; DataError where ``forward`` cannot be."""
        given = (tuple(inputs), dict(self.concrete))
        if self.concrete and len(self.names) >= len(inputs):  # one may stand before an input
            given = ((), dict(zip(self.names, inputs, strict=False)) | given[1])
        if self.signature is not None:
            try:
                self.signature.bind(*given[0], **given[1])
            except TypeError as error:
                raise self._misfit(len(inputs), error) from None
        return given

    @property
    def is_plain(self) -> bool:
        """True where the inputs alone, by position, are the same call."""
        if self.signature is None:
            return not self.concrete
        parameters = self.signature.parameters
        first = tuple(name for name in parameters if parameters[name].kind in POSITIONAL)
        return first[: len(self.names)] == self.names and all(
            name in parameters and value is parameters[name].default
            for name, value in self.concrete.items()
        )

    def _misfit(self, count: int, error: TypeError) -> DataError:
        with_these = f" and {', '.join(self.concrete)}" if self.concrete else ""
        return DataError(
            f"{self.built.concrete_at}: forward of {_kind(self.built)} cannot be called with "
            f"{count} input(s){with_these}: {error}.",
            f'"inputs" are its tensors in order; {CONCRETE} are its other arguments by name',
        )


def forward_call(built: Built) -> ForwardCall:
    """How the model is called."""
    try:
        signature = inspect.signature(built.model.forward)
    except (TypeError, ValueError):  # not written in Python
        return ForwardCall(built, None, (), built.concrete, ())
    parameters = list(signature.parameters.values())
    # what only **rest would take is no name of forward's: whoever gets the rest may not know it
    rest = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    known = {item.name for item in parameters if item.kind not in rest}
    dropped = tuple(name for name in built.concrete if name not in known)
    concrete = {name: value for name, value in built.concrete.items() if name not in dropped}
    free = (item.name for item in parameters if item.kind in POSITIONAL)
    names = tuple(name for name in free if name not in concrete)
    return ForwardCall(built, signature, names, concrete, dropped)


def _kind(built: Built) -> str:
    return type(built.model).__name__
