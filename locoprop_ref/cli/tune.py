"""The command `locoprop-ref tune`."""

import argparse
from typing import Any

from locoprop_ref.cli.parser import add, add_data_dir, add_overwrite, path

# options of the command that are fields of `problem.Problem`
_PROBLEM = {
    "data": (str, "NAME", "data set in place of the problem's, or your own FILE.npz"),
    "layers": (str, "NAME", "widths, or words as for train (default: the problem's)"),
    "width": (float, "X", "factor of the width of every hidden layer (default mnist 0.25, others 1)"),
    "batch_size": (int, "N", "examples per batch (default mnist 1000, curves 500, poster 200, others 100)"),
    "epochs": (int, "N", "epochs of a trial (default mnist 30, curves 12, others 1)"),
    "schedule_epochs": (int, "N", "length of the schedule (mnist, curves; default 4 times the epochs)"),
    "examples": (
        int,
        "N",
        "training images to train on (default mnist and curves 10000, poster all, others 12000)",
    ),
    "held_out": (int, "N", "further training images that select the settings (default 5000)"),
    "backend": (str, "NAME", "array library (default numpy)"),
    "dtype": (str, "NAME", "float32 (default) or float64"),
}


def add_command(commands: Any) -> None:
    """Add `tune` to the subparsers of the command line."""
    from locoprop_ref.experiments.tuned import ALL, is_fast

    searched = ", ".join(name for name in ALL if not is_fast(name))
    help = (
        "search the hyper-parameters of every method in the same way, on held-out training images; the same "
        "command resumes"
    )
    command = add(commands, "tune", _tune, help)
    command.add_argument(
        "methods", metavar="METHOD", nargs="*", help=f"{searched} (default: those of the problem)"
    )
    command.add_argument(
        "--problem", default="mnist",
        help="mnist (default) or curves, both reduced; lenet, sequential-mnist, poster or poster-signs, "
        "which classify MNIST",
    )  # fmt: skip
    command.add_argument(
        "--trials",
        type=int,
        metavar="N",
        help="complete or pruned trials a study (default 30, with --fast 60 for LocoProp)",
    )
    command.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of network, batches and search (default 0)"
    )
    command.add_argument(
        "--jobs",
        type=int,
        default=1,
        metavar="N",
        help="processes, each on its share of the cores (default 1)",
    )
    command.add_argument(
        "--storage", metavar="URL",
        help="database (default sqlite:///tuning/PROBLEM.db; a server's for several machines)",
    )  # fmt: skip
    command.add_argument(
        "--out", metavar="DIR", type=path, default="tuning", help="folder of the results (default tuning)"
    )
    add_overwrite(command)
    command.add_argument(
        "--range", metavar="NAME=LOW:HIGH", action="append", default=[],
        help="another range of a searched value, as learning_rate=1e-6:1 or 1-momentum=1e-5:1",
    )  # fmt: skip
    command.add_argument(
        "--space", default="narrow", metavar="{narrow,wide}",
        help="what is searched: narrow (default), or wide: of LocoProp by K steps also K, the local "
        "optimizer, its state and eta",
    )  # fmt: skip
    command.add_argument(
        "--fast", action="store_true",
        help="two objectives, the loss and the seconds to a target loss; writes OUT/PROBLEM-fast/METHOD.json "
        "(nothing else should run on the machine)",
    )  # fmt: skip
    command.add_argument(
        "--target", type=float, metavar="X",
        help="with --fast: the loss (default that of RMSProp's stored settings, measured once)",
    )  # fmt: skip
    command.add_argument(
        "--budget", type=float, metavar="X",
        help="with --fast: seconds of steps a trial (default twice those of RMSProp's run)",
    )  # fmt: skip
    command.add_argument(
        "--plan", action="store_true",
        help="say how many hours it will take, and do no more than the first trial of every study",
    )  # fmt: skip
    command.add_argument(
        "--final-by", default="both", metavar="{both,loss,seconds}",
        help="with --fast: both finals (default), that by loss, or that by seconds (where none of its runs "
        "comes to the target, by loss as well)",
    )  # fmt: skip
    command.add_argument(
        "--no-final", action="store_true", help="keep the best of the reduced problem (others have no final)"
    )
    for name, (kind, metavar, words) in _PROBLEM.items():
        command.add_argument("--" + name.replace("_", "-"), type=kind, metavar=metavar, help=words)
    add_data_dir(command)
    # a process that another tune has started, and whose work stands in its environment
    command.add_argument("--as-worker", action="store_true", help=argparse.SUPPRESS)


def _tune(given: argparse.Namespace) -> int:
    from locoprop_ref.experiments.tune import reduced_problem, tune, whole_problem
    from locoprop_ref.experiments.tune.space import parse_ranges
    from locoprop_ref.experiments.tune.workers import run_as_worker
    from locoprop_ref.training.memory import keep_freed_memory

    keep_freed_memory()
    if given.as_worker:
        run_as_worker()
        return 0
    on = reduced_problem(given.problem, **{name: getattr(given, name) for name in _PROBLEM})
    tune(
        given.methods,
        on,
        final=None if given.no_final else whole_problem(on),
        trials=given.trials,
        seed=given.seed,
        storage=given.storage,
        jobs=given.jobs,
        out=given.out,
        data_dir=given.data_dir,
        ranges=parse_ranges(given.range),
        space=given.space,
        fast=given.fast,
        target=given.target,
        budget=given.budget,
        final_by=given.final_by,
        overwrite=given.overwrite,
        plan=given.plan,
    )
    return 0
