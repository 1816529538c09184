"""Names that a shell offers: chips and recipes that ship, layers of the network that is here."""

from __future__ import annotations

from pathlib import Path

from knightlite.api.models.finding import find_quantized
from knightlite.options import Names
from knightlite.talk import SILENT


def known_names(what: Names, directory: Path = Path()) -> tuple[str, ...]:
    """All of them, in their order. Errors: as ``compile`` has where there is no network here."""
    from knightlite import chip_files
    from knightlite.preprocess import list_recipes

    if what is Names.CHIPS:
        return tuple(name for family in chip_files.families() for name in family.names)
    if what is Names.RECIPES:
        return list_recipes()
    from knightlite.frontend import load_quantized

    nodes = load_quantized(find_quantized(directory, None, SILENT), checked=False).nodes
    return tuple(node.name if what is Names.LAYERS else node.output for node in nodes)
