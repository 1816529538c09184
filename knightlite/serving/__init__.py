"""``serve``: compiled networks behind HTTP, by the Open Inference Protocol, version 2.

``protocol`` turns bytes into arrays and back and knows no network, ``served`` runs networks and
knows no HTTP; ``application`` stands between them with everything that a stranger's request may not
do; ``run`` binds the address and drains it at the end.

Source: https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol, and
Triton's extension for binary tensor data.
"""

from knightlite.serving.run import serve

__all__ = ["serve"]
