"""How an input of a network is fed: real numbers, or integers that the network normalizes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from knightlite import dtypes

if TYPE_CHECKING:
    from knightlite.dtypes import DType
    from knightlite.ir import Tensor

TYPES = {"float32": None, "none": None, "uint8": dtypes.U8, "int8": dtypes.S8, "int16": dtypes.S16}


@dataclass(frozen=True, slots=True)
class InputForm:
    """One input. ``dtype`` None: float32. ``mean`` and ``std``: what the network is to do first."""

    name: str
    dtype: DType | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()


def fed_as(tensor: Tensor, form: InputForm) -> Tensor:
    """The input as scripts and random data see it: its type in integers, or float32."""
    return replace(tensor, dtype=dtypes.F32 if form.dtype is None else form.dtype, scale=None)
