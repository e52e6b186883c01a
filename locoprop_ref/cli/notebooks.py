"""The command `locoprop-ref notebooks`: copies of the notebooks to work with."""

import argparse
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from locoprop_ref.cli.parser import add, path, say


def add_command(commands: Any) -> None:
    """Add `notebooks` to the subparsers of the command line."""
    help = "copy the notebooks, the examples and the results that they draw into a folder, to work with"
    command = add(commands, "notebooks", _notebooks, help)
    command.add_argument(
        "--out", metavar="DIR", type=path, default=Path("lab"), help="the folder (default lab)"
    )
    command.add_argument(
        "--overwrite", action="store_true", help="replace copies that exist, and what was changed in them"
    )


def _notebooks(given: argparse.Namespace) -> int:
    from locoprop_ref.experiments.material import copy_material

    written, kept = copy_material(given.out, overwrite=given.overwrite)
    stays = f"; {len(kept)} that exist stay as they are (--overwrite replaces them)" if kept else ""
    say(f"{len(written)} files written to {given.out}{stays}")
    if find_spec("jupyterlab") is None:
        print("to open the notebooks: pip install 'locoprop-ref[notebooks]'")
    say(f"jupyter lab {given.out / 'notebooks'}")
    return 0
