"""The command `locoprop-ref demo`: verify, draw, and train a small autoencoder with four methods."""

import argparse
from typing import Any

from locoprop_ref.cli.parser import add, add_overwrite, path


def add_command(commands: Any) -> None:
    """Add `demo` to the subparsers of the command line."""
    command = add(
        commands, "demo", _demo, "verify, draw, train a small autoencoder with four methods: about a minute"
    )
    command.add_argument(
        "--out", metavar="DIR", type=path, default="demo", help="folder for figures and runs (default demo)"
    )
    add_overwrite(command)
    command.add_argument("--seed", type=int, default=0, help="seed of weights and batches (default 0)")


def _demo(given: argparse.Namespace) -> int:
    from locoprop_ref.experiments.demo import demo
    from locoprop_ref.training.memory import keep_freed_memory

    keep_freed_memory()
    return demo(given.out, seed=given.seed, overwrite=given.overwrite)
