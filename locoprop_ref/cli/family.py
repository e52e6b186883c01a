"""The command `locoprop-ref family`: known algorithms as rows of one table, with measured identities."""

import argparse
from typing import Any

from locoprop_ref.cli.parser import add


def add_command(commands: Any) -> None:
    """Add `family` to the subparsers of the command line."""
    help = "known algorithms as local loss x target x regularizer x solver, with measured identities"
    command = add(commands, "family", _family, help)
    words = "seed of the random networks that the identities are measured on (default 0)"
    command.add_argument("--seed", type=int, default=0, help=words)


def _family(given: argparse.Namespace) -> int:
    from locoprop_ref.methods.family import FAMILY
    from locoprop_ref.verify import verify
    from locoprop_ref.verify.family import family_table

    results = {result.id: result for result in verify(given.seed)}
    print(family_table(FAMILY, results))
    print("error: the largest of an identity's equalities; for its limits and counterexamples, see `verify`")
    rows = [row for row in FAMILY if row.proof]
    held = sum(results[row.proof].holds for row in rows)
    print(f"{held} of {len(rows)} identities of the rows hold (seed {given.seed}, float64)")
    return 0 if held == len(rows) else 1
