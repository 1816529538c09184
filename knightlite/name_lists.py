"""Names of tensors as people list them: one a text, or several in one text."""

from __future__ import annotations

from collections.abc import Collection, Iterable


def names_in(texts: Iterable[str], known: Collection[str]) -> tuple[str, ...]:
    """The names that texts hold: a text that is a known name is one name, else its words are.

    Knight's run-config files write ``"output-name": "A B"`` for two names, and ONNX allows a
    space in a name. What is not known stays in the list, for the caller to refuse.
    """
    return tuple(
        name for text in texts for name in ([text] if text in known else text.split() or [text])
    )
