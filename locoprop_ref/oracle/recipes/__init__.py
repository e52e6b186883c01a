"""The inputs of all vectors, by topic."""

from collections.abc import Iterator

from locoprop_ref.oracle.recipes import elementary, family, layer, network, optimizer, positions, wired
from locoprop_ref.oracle.recipes.draw import Recipe

__all__ = ["Recipe", "all_recipes"]


def all_recipes() -> Iterator[Recipe]:
    """Yield every recipe; the recipes of one topic keep their order."""
    for part in (elementary, layer, network, optimizer, positions, wired, family):
        yield from part.recipes()
