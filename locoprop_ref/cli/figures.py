"""The command `locoprop-ref figures`: draw the matching losses."""

import argparse
from pathlib import Path
from typing import Any

from locoprop_ref.cli.parser import add


def add_command(commands: Any) -> None:
    """Add `figures` to the subparsers of the command line."""
    command = add(commands, "figures", _figures, "draw the matching losses of tanh and ReLU as SVG and PNG")
    command.add_argument(
        "--out", metavar="DIR", default="figures", help="folder to draw into (default figures)"
    )


def _figures(given: argparse.Namespace) -> int:
    from locoprop_ref.plot import figures

    for path in figures(Path(given.out)):
        print(path)
    return 0
