"""The table of the family, with the measured identity of every row."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple

from locoprop_ref.methods.family import Member
from locoprop_ref.verify.measure import Identity

HEAD = (
    "algorithm", "kind", "local loss", "targets", "inputs", "regularizer", "solver", "identity", "reference",
)  # fmt: skip


def measured(row: Member, results: Mapping[str, Identity]) -> str:
    """Return the identity of a row and its largest measured error, or why there is none.

    Args:
        row: the row.
        results: of `verify`, by their ids.

    >>> from locoprop_ref.methods.family import member
    >>> measured(member("feedback alignment"), {})
    'a rule of its own'
    """
    if not row.proof:
        return "a rule of its own"
    result = results[row.proof]
    error = max(part.error for part in result.parts)
    return f"{row.proof} {'holds' if result.holds else 'FAILS'}, error {error:.0e}"


def family_table(rows: Sequence[Member], results: Mapping[str, Identity]) -> str:
    """Return the rows as a table for the terminal.

    Args:
        rows: of `methods.family.FAMILY`.
        results: of `verify`, by their ids; the error of a row is the largest of its identity's parts.
    """
    lines = [HEAD]
    for row in rows:
        *parts, _, reference = astuple(row)
        lines.append((*parts, measured(row, results), reference))
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEAD))]
    padded = [[word.ljust(width) for word, width in zip(line, widths, strict=True)] for line in lines]
    return "\n".join("  ".join(words).rstrip() for words in padded)
