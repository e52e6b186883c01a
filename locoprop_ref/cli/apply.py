"""The command `locoprop-ref apply`: apply a trained network to data."""

import argparse
from typing import Any

from locoprop_ref.cli.parser import add


def add_command(commands: Any) -> None:
    """Add `apply` to the subparsers of the command line."""
    command = add(commands, "apply", _apply, "apply a trained network to data and keep its outputs as NPZ")
    command.add_argument("network", metavar="NETWORK.npz", help="checkpoint that train wrote")
    command.add_argument("--data", default="curves", help="curves, mnist, fashion_mnist or your own FILE.npz")
    command.add_argument(
        "--data-dir", metavar="DIR", help="folder of the data set's files (or LOCOPROP_REF_DATA)"
    )
    command.add_argument(
        "--part", choices=("train", "test"), default="test", help="which examples (default test)"
    )
    command.add_argument(
        "--out", metavar="FILE.npz", required=True, help="where the outputs go, under the key y"
    )
    command.add_argument("--backend", default="numpy", help="array library (default numpy)")


def _apply(given: argparse.Namespace) -> int:
    from locoprop_ref.training.apply import apply_network

    print(
        apply_network(
            given.network,
            given.data,
            given.out,
            part=given.part,
            data_dir=given.data_dir,
            backend=given.backend,
        )
    )
    return 0
