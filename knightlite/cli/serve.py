"""``knightlite serve``."""

from __future__ import annotations

from knightlite.cli.record_command import record_command
from knightlite.cli.terminal import talking
from knightlite.options.serve import ServeOptions

EPILOG = """\b
Examples:
  knightlite serve digits_quantize_r.cfg
  knightlite serve a=one_r.cfg b=two_r.tsmodel --engine native -j 2
  knightlite serve X_r.cfg --host 0.0.0.0 --token-file token.txt \\
    --allow-host npu.example.org

The Open Inference Protocol, version 2: clients of Triton and KServe talk to
it. There is no encryption: put a proxy that has it in front.
"""


@record_command(ServeOptions, epilog=EPILOG)
def command(options: ServeOptions) -> None:
    """Serve compiled networks over HTTP until SIGTERM or Ctrl-C."""
    from knightlite.serving import serve

    with talking() as talk:
        serve(options, talk)
