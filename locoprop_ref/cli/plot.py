"""The command `locoprop-ref plot`: draw several runs together."""

import argparse
from typing import Any

from locoprop_ref.cli.parser import add, add_overwrite, path, say


def add_command(commands: Any) -> None:
    """Add `plot` to the subparsers of the command line."""
    command = add(
        commands, "plot", _plot, "draw several runs together: loss against epochs and seconds; or filters"
    )
    command.add_argument("runs", metavar="RUN.json", type=path, nargs="+", help="run files that train wrote")
    command.add_argument(
        "--metric", default="train ce", help="'train ce' (default), 'test mse', 'test accuracy', ..."
    )
    command.add_argument(
        "--out", metavar="FILE", type=path, default="runs.svg", help="SVG or PNG to draw (default runs.svg)"
    )
    command.add_argument(
        "--filters", action="store_true",
        help="draw the filters of a convolution: the first layer of one NETWORK.npz in place of run files",
    )  # fmt: skip
    add_overwrite(command)


def _plot(given: argparse.Namespace) -> int:
    from locoprop_ref.data.files import check_outputs
    from locoprop_ref.plot import filters_of_network, save, training_curves
    from locoprop_ref.plot.save import figure_path
    from locoprop_ref.training.checkpoint import load_network
    from locoprop_ref.training.run_file import read_run

    if given.filters and (len(given.runs) > 1 or given.metric != "train ce"):
        raise ValueError("filters are those of one network, without other files and without a metric")

    check_outputs(
        {"out": given.out}, {f"the run {run}": run for run in given.runs}, overwrite=given.overwrite
    )
    figure_path(given.out, "out")
    if given.filters:
        figure = filters_of_network(load_network(given.runs[0]))
    else:
        figure = training_curves([read_run(path) for path in given.runs], given.metric)
    save(figure, given.out)
    say(given.out)
    return 0
