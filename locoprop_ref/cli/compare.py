"""The command `locoprop-ref compare`."""

import argparse
import sys
from pathlib import Path
from typing import Any

from locoprop_ref.cli.parser import add, add_data_dir, add_overwrite, path, printable

PRESETS = ("quick", "standard", "paper", "fast", "lenet", "sequential-mnist", "poster", "poster-signs")
# the options that all methods have in common: type, metavar, help
SHARED: dict[str, tuple[type, str, str]] = {
    "data": (str, "NAME", "curves, mnist, fashion_mnist or your own FILE.npz (default the preset's)"),
    "layers": (str, "NAME", "widths, 784-400-784, or words as for train (default the preset's)"),
    "epochs": (int, "N", "epochs to train, for every method (default the preset's)"),
    "schedule_epochs": (
        int,
        "N",
        "length of the schedule (quick 48, standard 40, paper 100, lenet and sequential-mnist epochs + 1)",
    ),
    "width": (float, "X", "factor for the width of every hidden layer (default 1)"),
    "depth": (int, "N", "repeat every hidden layer of the second one's width this many times (default 1)"),
    "batch_size": (int, "N", "examples per batch (default the preset's)"),
    "backend": (str, "NAME", "array library (default numpy)"),
    "dtype": (str, "NAME", "float32 (default) or float64"),
}


def add_command(commands: Any) -> None:
    """Add `compare` to the subparsers of the command line."""
    help = "train methods x seeds on one data set and network; table, claims and figures of the results"
    command = add(commands, "compare", _compare, help)
    command.add_argument(
        "--preset", default="quick", metavar="{" + ",".join(PRESETS) + "}",
        help="quick (default; small CURVES, some minutes), standard (CURVES), paper (MNIST, 99 epochs), "
        "fast (MNIST, 20 epochs; also the settings of tune --fast, each with its own number of epochs), "
        "lenet, sequential-mnist (a convolutional and a recurrent network that classify MNIST; hours), "
        "poster, poster-signs (alternating minimization and other relatives of LocoProp on MNIST; an hour)",
    )  # fmt: skip
    command.add_argument(
        "--methods",
        nargs="+",
        metavar="NAME",
        help="methods to compare (default the preset's: twelve, or those of a network that classifies)",
    )
    command.add_argument(
        "--seeds",
        nargs="+",
        type=int,
        metavar="N",
        help="seeds of weights and batches (default the preset's)",
    )
    for name, (kind, metavar, about) in SHARED.items():
        command.add_argument("--" + name.replace("_", "-"), type=kind, metavar=metavar, help=about)
    command.add_argument(
        "--untuned", action="store_true", help="the package's defaults, not the tuned settings"
    )
    add_data_dir(command)
    command.add_argument("--jobs", type=int, default=1, metavar="N", help="runs side by side (default 1)")
    command.add_argument(
        "--scheduler", metavar="ADDRESS", help="train on the workers of this Dask scheduler, tcp://HOST:PORT"
    )
    command.add_argument(
        "--no-clock", action="store_true", help="do not measure the seconds and the memory of a step"
    )
    command.add_argument("--out", metavar="DIR", type=path, help="results folder (default compare-PRESET)")
    add_overwrite(command)
    command.add_argument(
        "--redraw",
        metavar="DIR",
        type=path,
        help="write page and figures of a results folder again, and nothing else",
    )
    command.add_argument(
        "--figures", metavar="DIR", type=path, help="with --redraw: folder for the figures (default the same)"
    )


def _compare(given: argparse.Namespace) -> int:
    from locoprop_ref.experiments.compare.page import redraw
    from locoprop_ref.experiments.compare.plan import comparison
    from locoprop_ref.experiments.compare.run import compare
    from locoprop_ref.training.memory import keep_freed_memory

    keep_freed_memory()
    if given.redraw is not None:
        _refuse_beside_redraw(given)
        redraw(given.redraw, pictures=given.figures, overwrite=given.overwrite)
        return 0
    if given.figures is not None:
        raise ValueError("figures has no meaning without redraw: a comparison draws into its results folder")
    shared = {name: getattr(given, name) for name in SHARED}
    plan = comparison(
        given.preset, entries=given.methods, seeds=given.seeds, tuned=not given.untuned, **shared
    )
    out = given.out or Path(f"compare-{plan.preset}")
    how = {name: getattr(given, name) for name in ("jobs", "scheduler", "data_dir", "overwrite")}
    failures = compare(plan, out, clock=not given.no_clock, **how)
    for failure in failures:
        print(f"locoprop-ref compare: {printable(failure)}", file=sys.stderr)
    return 1 if failures else 0


def _refuse_beside_redraw(given: argparse.Namespace) -> None:
    neutral: dict[str, Any] = {"preset": "quick", "jobs": 1, "untuned": False, "no_clock": False}
    for name, value in vars(given).items():
        if name not in ("command", "run", "redraw", "figures", "overwrite") and value != neutral.get(name):
            raise ValueError(f"{name} has no meaning beside redraw, which only reads a results folder")
