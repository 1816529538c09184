"""Random instructions that are sound on the tiny chip, and bytes for them to work on."""

from __future__ import annotations

import numpy as np

from assembled import S8, S16, U8, make, record
from knightlite.isa import (
    Activation,
    Affine,
    Eltwise,
    Lookup,
    Matrix,
    Pick,
    Pool,
    PoolMode,
    Resize,
    ResizeMode,
    Softmax,
)


class Random:
    """Draws instructions that are sound on the tiny chip: x below 1024, the rest above."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def integer(self, low: int, high: int) -> int:
        """Uniform, both ends included."""
        return int(self.rng.integers(low, high + 1))

    def one_of(self, *choices: int) -> int:
        return choices[self.integer(0, len(choices) - 1)]

    def tile(
        self, prefix: str, address: int, shape: tuple[int, int, int], code: int
    ) -> dict[str, int]:
        """Address and strides with random gaps."""
        size = 2 if code == S16 else 1
        _, width, channels = shape
        column = (channels + self.integer(0, 2)) * size
        row = (width - 1) * column + (channels + self.integer(0, 3)) * size
        return {
            f"{prefix}_address": address,
            f"{prefix}_row_stride": row,
            f"{prefix}_column_stride": column,
            f"{prefix}_type": code,
        }

    def shape(self, prefix: str, shape: tuple[int, int, int]) -> dict[str, int]:
        names = (f"{prefix}_height", f"{prefix}_width", f"{prefix}_channels")
        return dict(zip(names, shape, strict=True))

    def clamp(self, prefix: str, code: int) -> dict[str, int]:
        low, high = {U8: (0, 255), S8: (-128, 127), S16: (-32768, 32767)}[code]
        if self.integer(0, 1):
            middle = self.integer(low, high)
            low, high = self.integer(low, middle), self.integer(middle, high)
        return {f"{prefix}_low": low, f"{prefix}_high": high}

    def records(self, count: int) -> bytes:
        """Parameters, often extreme, often with ties (few significant bits)."""
        found = []
        for _ in range(count):
            q = self.integer(0, 47)
            m = self.one_of(
                self.integer(-32768, 32767), 16384, -32768, 32767, 1 << self.integer(0, 14)
            )
            b = self.one_of(
                self.integer(-(2**31), 2**31 - 1), self.integer(-1000, 1000),
                1 << self.integer(0, 30), -(2**31), 2**31 - 1,
                self.integer(-128, 128) << max(0, q - 1) if q < 24 else 0,
            )  # fmt: skip
            found.append(record(m, q, b))
        return b"".join(found)

    def matrix(self) -> Matrix:
        depthwise = self.integer(0, 1) if self.integer(0, 2) == 0 else 0
        groups = 1 if depthwise else self.one_of(1, 1, 2, 3)
        channels = groups * self.integer(1, 6 // groups)
        wide = channels if depthwise else groups * self.integer(1, 9 // groups)
        kernel = (self.integer(1, 3), self.integer(1, 3)) if self.integer(0, 2) else (1, 1)
        x = (self.integer(1, 6), self.integer(1, 6), channels)
        y = (self.integer(1, 4), self.integer(1, 4), wide)  # room for 48-bit sums of 8 bytes
        weight_type = self.integer(0, 2)
        x_type, y_type = self.one_of(U8, S8, S8, S16), self.one_of(U8, S8, S16)
        types = {"prologue_type": self.one_of(U8, S8, S16), "middle_type": self.one_of(U8, S8, S16)}
        fields: dict[str, int] = {
            **self.tile("x", 0, x, x_type), **self.shape("x", x),
            **self.tile("y", 1200, y, y_type), **self.shape("y", y),
            **self.tile("residual", 2300, y, self.one_of(U8, S8, S16)), **types,
            **self.clamp("y", y_type), **self.clamp("prologue", types["prologue_type"]),
            **self.clamp("middle", types["middle_type"]),
            "kernel_height": kernel[0], "kernel_width": kernel[1],
            "stride_height": self.integer(1, 3), "stride_width": self.integer(1, 3),
            "pad_top": self.one_of(0, 0, 1, 2), "pad_left": self.one_of(0, 0, 1, 2),
            "dilation_height": self.integer(1, 2), "dilation_width": self.integer(1, 2),
            "depthwise": depthwise, "groups": groups, "weight_address": 16 * self.integer(0, 4),
            "weight_row_bytes": (wide + self.integer(0, 3)) * (1 + (weight_type == 1)),
            "weight_type": weight_type, "prologue": self.integer(0, 1),
            "prologue_address": 8 * self.integer(0, 3), "parameter_address": 512,
            "accumulate_in": self.integer(0, 1), "accumulate_out": int(self.integer(0, 3) == 0),
            "accumulator_address": 2800, "residual": self.integer(0, 1),
            "multiplier": self.integer(-(2**23), 2**23 - 1),
            "residual_multiplier": self.integer(-(2**23), 2**23 - 1), "shift": self.integer(0, 46),
        }  # fmt: skip
        if not fields["residual"]:
            fields |= self.activation(types["middle_type"])
        return make(Matrix, **fields)

    def activation(self, middle_type: int) -> dict[str, int]:
        """Behind 16 bits a table has lines."""
        found = {
            "activation": self.one_of(*Activation),
            "activation_address": 8 * self.integer(0, 60),
        }
        if found["activation"] == Activation.TABLE and middle_type == S16:
            found |= {"activation_intervals": 8, "activation_fraction": self.integer(0, 15)}
        return found

    def pool(self) -> Pool:
        channels = self.integer(1, 6)
        x = (self.integer(1, 6), self.integer(1, 6), channels)
        y = (self.integer(1, 6), self.integer(1, 6), channels)
        mode = self.integer(0, 1)
        x_type = self.one_of(U8, S8, S16)
        y_type = x_type if mode == PoolMode.MAX else self.one_of(U8, S8, S16)
        fields: dict[str, int] = {
            **self.tile("x", 0, x, x_type), **self.shape("x", x),
            **self.tile("y", 1200, y, y_type), **self.shape("y", y), **self.clamp("y", y_type),
            "kernel_height": self.integer(1, 4), "kernel_width": self.integer(1, 4),
            "stride_height": self.integer(1, 3), "stride_width": self.integer(1, 3),
            "pad_top": self.integer(0, 3), "pad_left": self.integer(0, 3), "mode": mode,
            "multiplier": self.integer(-32768, 32767), "shift": self.integer(0, 31),
        }  # fmt: skip
        return make(Pool, **fields)

    def softmax(self) -> Softmax:
        shape = (self.integer(1, 6), self.integer(1, 6), self.integer(1, 6))
        x_type, y_type = self.one_of(U8, S8, S16), self.one_of(U8, S8, S16)
        fine = 1 if x_type == S16 else self.integer(0, 1)
        last = 0 if x_type == S16 else 60
        fields: dict[str, int] = {
            **self.tile("x", 0, shape, x_type), **self.shape("x", shape),
            **self.tile("y", 1200, shape, y_type), **self.shape("y", shape),
            **self.clamp("y", y_type), "table_address": 8 * self.integer(0, last), "fine": fine,
            "numerator": self.one_of(255, 32767, self.integer(0, 65535)),
        }  # fmt: skip
        return make(Softmax, **fields)

    def pick(self) -> Pick:
        height, width, channels = (self.integer(1, 6) for _ in range(3))
        x_type, y_type = self.one_of(U8, S8, S16), self.one_of(U8, S8, S16)
        x, y = (height, width, channels), (height, width, 1)
        fields: dict[str, int] = {
            **self.tile("x", 0, x, x_type), **self.shape("x", x),
            **self.tile("y", 1200, y, y_type), **self.shape("y", y),
            **self.clamp("y", y_type), "least": self.integer(0, 1), "last": self.integer(0, 1),
        }  # fmt: skip
        return make(Pick, **fields)

    def resize(self) -> Resize:
        channels = self.integer(1, 6)
        x = (self.integer(1, 6), self.integer(1, 6), channels)
        y = (self.integer(1, 6), self.integer(1, 6), channels)
        mode = self.integer(0, 1)
        x_type = self.one_of(U8, S8, S16)
        y_type = x_type if mode == ResizeMode.NEAREST else self.one_of(U8, S8, S16)
        fields: dict[str, int] = {
            **self.tile("x", 0, x, x_type), **self.shape("x", x),
            **self.tile("y", 1200, y, y_type), **self.shape("y", y), **self.clamp("y", y_type),
            "mode": mode, "multiplier": self.integer(-32768, 32767), "shift": self.integer(0, 63),
        }  # fmt: skip
        for side in ("height", "width"):
            unit = self.one_of(1, 2, 12, self.integer(1, 2896))
            fields[f"unit_{side}"] = unit
            fields[f"step_{side}"] = self.integer(0, 3 * unit)
            fields[f"offset_{side}"] = self.integer(-2 * unit, 3 * unit)
        return make(Resize, **fields)

    def pointwise(self, kind: int) -> Affine | Eltwise | Lookup:
        shape = (self.integer(1, 6), self.integer(1, 6), self.integer(1, 6))
        x_type, y_type = self.one_of(U8, S8, S16), self.one_of(U8, S8, S16)
        fields = {
            **self.tile("x", 0, shape, x_type), **self.shape("x", shape),
            **self.tile("y", 1200, shape, y_type), **self.shape("y", shape),
            **self.clamp("y", y_type),
        }  # fmt: skip
        if kind == 0:
            return make(Affine, **fields, parameter_address=512, two_sided=self.integer(0, 1))
        if kind == 2:
            if x_type == S16:
                fields |= {"intervals": 8, "fraction": self.integer(0, 15)}
            return make(Lookup, **fields, table_address=0)
        z = self.tile("z", 2300, shape, self.one_of(U8, S8, S16))
        z.update(
            {name: 0 for name in ("z_row_stride", "z_column_stride") if not self.integer(0, 2)}
        )
        return make(
            Eltwise, **fields, **z, mode=self.integer(0, 3), shift=self.integer(0, 46),
            multiplier=self.integer(-(2**23) + 1, 2**23 - 1),
            z_multiplier=self.integer(-(2**23) + 1, 2**23 - 1),
            z_broadcast=self.integer(0, 1),
        )  # fmt: skip

    def raw(self, size: int) -> bytes:
        """Random bytes, half of the time only extremes (0, 1, 127, 128, 255)."""
        if self.integer(0, 1):
            return self.rng.integers(0, 256, size, dtype=np.uint8).tobytes()
        extremes = np.array([0, 1, 127, 128, 255], np.uint8)
        return bytes(self.rng.choice(extremes, size).tobytes())
