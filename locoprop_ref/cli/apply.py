"""The command `locoprop-ref apply`: apply a trained network to data."""

import argparse
from typing import Any

from locoprop_ref.cli.parser import add, add_backend, add_data_dir, add_overwrite, path, say


def add_command(commands: Any) -> None:
    """Add `apply` to the subparsers of the command line."""
    command = add(
        commands, "apply", _apply, "apply a trained network to data; write its outputs to an NPZ file"
    )
    command.add_argument("network", metavar="NETWORK.npz", type=path, help="checkpoint that train wrote")
    command.add_argument("--data", default="curves", help="curves, mnist, fashion_mnist or your own FILE.npz")
    add_data_dir(command)
    command.add_argument(
        "--part", choices=("train", "test"), default="test", help="which examples (default test)"
    )
    command.add_argument(
        "--out", metavar="FILE.npz", type=path, required=True, help="file to write, with the outputs as y"
    )
    add_overwrite(command)
    add_backend(command)


def _apply(given: argparse.Namespace) -> int:
    from locoprop_ref.training.apply import apply_network

    names = ("part", "data_dir", "backend", "overwrite")
    options = {name: getattr(given, name) for name in names}
    say(apply_network(given.network, given.data, given.out, **options))
    return 0
