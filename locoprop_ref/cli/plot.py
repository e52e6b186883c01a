"""The command `locoprop-ref plot`: draw several runs together."""

import argparse
from typing import Any

from locoprop_ref.cli.parser import add, add_overwrite, path


def add_command(commands: Any) -> None:
    """Add `plot` to the subparsers of the command line."""
    command = add(commands, "plot", _plot, "draw several runs together: loss against epochs and seconds")
    command.add_argument("runs", metavar="RUN.json", type=path, nargs="+", help="run files that train wrote")
    command.add_argument(
        "--metric", default="train ce", help="'train ce' (default), 'test mse', 'test accuracy', ..."
    )
    command.add_argument(
        "--out", metavar="FILE", type=path, default="runs.svg", help="SVG or PNG to draw (default runs.svg)"
    )
    add_overwrite(command)


def _plot(given: argparse.Namespace) -> int:
    from locoprop_ref.data.files import check_outputs
    from locoprop_ref.plot import save, training_curves
    from locoprop_ref.training.run_file import read_run

    check_outputs(
        {"out": given.out}, {f"the run {run}": run for run in given.runs}, overwrite=given.overwrite
    )
    save(training_curves([read_run(path) for path in given.runs], given.metric), given.out)
    print(given.out)
    return 0
