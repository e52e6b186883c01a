"""The command `locoprop-ref figures`: draw the matching losses."""

import argparse
from typing import Any

from locoprop_ref.cli.parser import add, add_overwrite, path, say


def add_command(commands: Any) -> None:
    """Add `figures` to the subparsers of the command line."""
    command = add(commands, "figures", _figures, "draw the matching losses of tanh and ReLU as SVG and PNG")
    command.add_argument(
        "--out", metavar="DIR", type=path, default="figures", help="folder to draw into (default figures)"
    )
    add_overwrite(command)


def _figures(given: argparse.Namespace) -> int:
    from locoprop_ref.plot import figures

    for drawn in figures(given.out, overwrite=given.overwrite):
        say(drawn)
    return 0
