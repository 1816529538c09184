"""What converting a model, and running its script, may take: from the options of ``quant``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from knightlite.frontend import Conversion
    from knightlite.options.quantize import QuantizeOptions
    from knightlite.talk import Talk


def conversion_of(options: QuantizeOptions, talk: Talk) -> Conversion:
    """The interpreters, and how far files are trusted."""
    from knightlite.frontend import Conversion

    return Conversion(
        script=options.script,
        paddle_python=options.paddle_python,
        torch_python=options.torch_python,
        script_python=options.script_python,
        torch_exporter=options.torch_exporter,
        trusted=options.trust_checkpoint,
        open_loops=options.open_loops,
        talk=talk,
    )
