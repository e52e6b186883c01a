"""The table of the family, with the measured identity of every row."""

from collections.abc import Mapping, Sequence
from dataclasses import astuple

from locoprop_ref.methods.family import Member
from locoprop_ref.verify.measure import Identity, worst

HEAD = (
    "algorithm", "kind", "local loss", "targets", "inputs", "regularizer", "solver", "identity", "reference",
)  # fmt: skip


def measured(row: Member, results: Mapping[str, Identity]) -> str:
    """Return the identity of a row and its measured error, or why there is none.

    The error is the largest of the identity's equalities, which is rounding. Its limits and counterexamples
    have to hold too, but their errors measure something else and are left to `verify`. If a part fails, the
    error is the largest of the parts that fail, of whatever kind.

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
    if not result.holds:
        return f"{row.proof} FAILS, error {worst([p.error for p in result.parts if not p.holds]):.0e}"
    equalities = [part.error for part in result.parts if part.kind == "equality"]
    return f"{row.proof} holds, error {worst(equalities):.0e}"


def family_table(rows: Sequence[Member], results: Mapping[str, Identity]) -> str:
    """Return the rows as a table for the terminal.

    Args:
        rows: of `methods.family.FAMILY`.
        results: of `verify`, by their ids; the error of a row is that of `measured`.
    """
    lines = [HEAD]
    for row in rows:
        *parts, _, reference = astuple(row)
        lines.append((*parts, measured(row, results), reference))
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEAD))]
    padded = [[word.ljust(width) for word, width in zip(line, widths, strict=True)] for line in lines]
    return "\n".join("  ".join(words).rstrip() for words in padded)
