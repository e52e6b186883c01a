"""The command `locoprop-ref plot`: draw several runs together."""

import argparse
from typing import Any

from locoprop_ref.cli.parser import add


def add_command(commands: Any) -> None:
    """Add `plot` to the subparsers of the command line."""
    command = add(commands, "plot", _plot, "draw several runs together: loss against epochs and seconds")
    command.add_argument("runs", metavar="RUN.json", nargs="+", help="run files that train wrote")
    command.add_argument(
        "--metric", default="train ce", help="'train ce' (default), 'test mse', 'test accuracy', ..."
    )
    command.add_argument(
        "--out", metavar="FILE", default="runs.svg", help="SVG or PNG to draw (default runs.svg)"
    )


def _plot(given: argparse.Namespace) -> int:
    from locoprop_ref.plot import save, training_curves
    from locoprop_ref.training.run_file import read_run

    save(training_curves([read_run(path) for path in given.runs], given.metric), given.out)
    print(given.out)
    return 0
