"""The runtime's library by ctypes: functions and types as ``knl.h`` has them, and a network."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_char, c_char_p, c_int, c_size_t, c_uint, c_uint32, c_uint64, c_void_p
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from knightlite.errors import FormatError, KnightliteError, MachineError, UnsupportedError
from knightlite.native.build import build_library

Array = NDArray[Any]
SENTENCE_BYTES = 320
CHECKED, CHIP_ONLY = 1, 2
SIDES = (0, 1)  # inputs, outputs: what may lie outside the arena
HOST, PROGRAM = 6, 7  # statuses: what only another host computes, what the machine refuses
KERNELS = ("scalar", "avx2", "avx512_vnni", "neon", "neon_dot")


class Error(ctypes.Structure):
    """``knl_error``."""

    _fields_ = (("status", c_int), ("place", c_uint64), ("sentence", c_char * SENTENCE_BYTES))

    def exception(self) -> KnightliteError:
        """What is raised in Python."""
        sentence = self.sentence.decode("utf-8", "replace")
        if self.status == PROGRAM:
            return MachineError(sentence)
        if self.status == HOST:
            return UnsupportedError(sentence, "take engine numpy")
        return FormatError(sentence, "compile the model again")


_OPENED = (c_char_p, c_size_t, c_char_p, c_size_t, c_uint)
_TENSOR = (c_uint32, c_void_p, c_size_t)
_STATUS: dict[str, tuple[Any, ...]] = {
    "knl_open": _OPENED,
    "knl_open_model": (c_char_p, c_size_t, c_uint),
    "knl_use_kernels": (c_uint,),
    "knl_set_outside": (c_uint, c_void_p, c_size_t),
    "knl_start": (c_void_p, c_size_t),
    "knl_write": _TENSOR,
    "knl_read": _TENSOR,
    "knl_host_status": (),
}
_OTHERS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "knl_network_bytes": (c_size_t, ()),
    "knl_best_kernels": (c_uint, ()),
    "knl_arena_bytes": (c_size_t, (c_void_p,)),
    "knl_outside_bytes": (c_uint64, (c_void_p, c_uint)),
    "knl_begin": (None, (c_void_p,)),
    "knl_load_once": (None, (c_void_p,)),
    "knl_reset": (None, (c_void_p,)),
    "knl_advance": (None, (c_void_p, c_uint32)),
    "knl_fspm": (c_void_p, (c_void_p,)),
    "knl_saturations": (c_uint64, (c_void_p,)),
}


@cache
def load_library(path: Path | None = None) -> Any:
    """The library, its functions typed; by default that of :func:`build_library`."""
    library = ctypes.CDLL(str(build_library() if path is None else path))
    for name, arguments in _STATUS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = c_int, (c_void_p, *arguments, POINTER(Error))
    for name, (result, arguments) in _OTHERS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class Network:
    """A ``knl_network``; tensors go by their index. FormatError where a file is damaged."""

    def __init__(self, cfg: bytes, weight: bytes, options: int = CHECKED | CHIP_ONLY) -> None:
        self._library = load_library()
        self._network = ctypes.create_string_buffer(self._library.knl_network_bytes())
        self._error = Error()
        self._files = cfg, weight  # constants are read in place: they must stay
        self.arena = np.empty(0, np.uint8)
        self._outside: dict[int, Array] = {}
        self._call("knl_open", cfg, len(cfg), weight, len(weight), options)

    def use_kernels(self, name: str) -> None:
        """Take other kernels than the best."""
        self._call("knl_use_kernels", KERNELS.index(name))

    @property
    def arena_bytes(self) -> int:
        """Memory that it runs in."""
        return int(self._library.knl_arena_bytes(self._network))

    @property
    def saturations(self) -> int:
        """Accumulators that saturated in the last frame."""
        return int(self._library.knl_saturations(self._network))

    def outside_bytes(self, side: int) -> int:
        """Memory that inputs (0) or outputs (1) need outside the arena; 0 where they lie in it."""
        return int(self._library.knl_outside_bytes(self._network, side))

    def set_outside(self, side: int, memory: Array) -> None:
        """Have them there, in place; FormatError where that cannot be."""
        self._call("knl_set_outside", side, memory.ctypes.data, memory.nbytes)
        self._outside[side] = memory

    def start(self) -> None:
        """Check the program, set up its memories; MachineError for what is wrong with it.

        Inputs and outputs outside the arena get memory of their own where nobody has set it.
        """
        for side in SIDES:
            size = self.outside_bytes(side)
            if size and side not in self._outside:
                self.set_outside(side, np.zeros(size, np.uint8))
        self.arena = np.empty(self.arena_bytes, np.uint8)
        self._call("knl_start", self.arena.ctypes.data, self.arena.size)

    def load_once(self) -> None:
        """Load again what stays on the chip from frame to frame."""
        self._library.knl_load_once(self._network)

    def begin(self) -> None:
        """A frame begins: what was written into its inputs."""
        self._library.knl_begin(self._network)

    def reset(self) -> None:
        """The states that stay between frames are what they are before the first one."""
        self._library.knl_reset(self._network)

    def advance(self, instruction: int) -> None:
        """Run it up to an instruction, which is left out."""
        self._library.knl_advance(self._network, instruction)

    @property
    def has_fspm(self) -> bool:
        """Whether it runs with the feature scratchpad: known once it has started."""
        return bool(self._library.knl_fspm(self._network))

    @property
    def fspm(self) -> Array:
        """The bytes of the arena from the feature scratchpad on, as they are now."""
        first = int(self._library.knl_fspm(self._network)) - self.arena.ctypes.data
        return self.arena[first:]

    def require_host(self) -> None:
        """FormatError where an operator of the host could not compute in the last frame."""
        self._call("knl_host_status")

    def write(self, index: int, values: Array) -> None:
        """Integers [1, C, H, W] of the tensor's type, into it."""
        dense = np.ascontiguousarray(values)
        self._call("knl_write", index, dense.ctypes.data, dense.nbytes)

    def read(self, index: int, target: Array) -> None:
        """The integers of a tensor, into a dense array [1, C, H, W] of its type."""
        self._call("knl_read", index, target.ctypes.data, target.nbytes)

    def _call(self, name: str, *arguments: Any) -> None:
        function = getattr(self._library, name)
        if function(self._network, *arguments, ctypes.byref(self._error)):
            raise self._error.exception()
