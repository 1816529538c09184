"""Save one network of paddle.vision: ``board_networks.py NAME PIXELS OUTDIR``.

For an interpreter with paddlepaddle 3.3.1. Start values: time does not depend on weights. Writes
``model.pdmodel`` and its weights; of a network with several outputs the first is kept.
"""

from __future__ import annotations

import os
import sys
from typing import Any

# Before paddle is imported: Paddle 3 writes .json instead of .pdmodel else.
os.environ["FLAGS_enable_pir_api"] = "0"  # noqa: SIM112  # Paddle spells it so

import paddle


class FirstOutput(paddle.nn.Layer):  # type: ignore[misc]
    """A network without its auxiliary outputs, which only training needs."""

    def __init__(self, net: paddle.nn.Layer) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Any) -> Any:
        found = self.net(x)
        return found[0] if isinstance(found, (list, tuple)) else found


def main() -> None:
    name, pixels, folder = sys.argv[1:]
    paddle.seed(0)
    net = FirstOutput(getattr(paddle.vision.models, name)(pretrained=False))
    net.eval()
    picture = paddle.static.InputSpec([1, 3, int(pixels), int(pixels)], "float32", "x")
    paddle.jit.save(net, os.path.join(folder, "model"), input_spec=[picture])


if __name__ == "__main__":
    main()
