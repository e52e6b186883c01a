"""The command `locoprop-ref info`: versions, array libraries and devices, BLAS."""

import argparse
from typing import Any

from locoprop_ref.cli.parser import add


def add_command(commands: Any) -> None:
    """Add `info` to the subparsers of the command line."""
    add(commands, "info", _info, "versions, array libraries and devices, BLAS kernel and threads")


def _info(given: argparse.Namespace) -> int:
    from locoprop_ref.training.environment import report

    print(report())
    return 0
