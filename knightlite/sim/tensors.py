"""Where the tensors that a .cfg names lie in the memories, and when."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from knightlite.container import Piece, StoredTensor
from knightlite.dtypes import DType
from knightlite.isa import Operand, Space


def tensor_operand(entry: StoredTensor, write: bool) -> tuple[Operand, DType]:
    """Where a tensor of the .cfg lies in DDR, and its type."""
    _, _, height, width = entry.shape
    operand = Operand(
        entry.name, Space.DDR, entry.address, height, entry.row_stride, width,
        entry.column_stride, entry.pixel_bytes, write, entry.dtype.size_bytes,
    )  # fmt: skip
    return operand, entry.dtype


def piece_operand(entry: StoredTensor, piece: Piece) -> tuple[Operand, DType]:
    """Where rows of a tensor of the .cfg lie in FSPM, and their type."""
    operand = Operand(
        entry.name, Space.FSPM, piece.address, piece.rows, piece.row_stride, entry.shape[3],
        piece.column_stride, entry.pixel_bytes, False, entry.dtype.size_bytes,
    )  # fmt: skip
    return operand, entry.dtype


def by_instruction(
    entries: Iterable[StoredTensor], number: Callable[[StoredTensor], int]
) -> dict[int, list[StoredTensor]]:
    """The tensors in DDR by an instruction that they name."""
    found: dict[int, list[StoredTensor]] = {}
    for entry in entries:
        if not entry.pieces:
            found.setdefault(number(entry), []).append(entry)
    return found


def pieces_by_instruction(
    entries: Iterable[StoredTensor],
) -> dict[int, list[tuple[StoredTensor, Piece]]]:
    """The pieces of tensors in FSPM by the instruction that completes them."""
    found: dict[int, list[tuple[StoredTensor, Piece]]] = {}
    for entry in entries:
        for piece in entry.pieces:
            found.setdefault(piece.ready, []).append((entry, piece))
    return found
