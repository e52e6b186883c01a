"""The command `locoprop-ref train`: one run; every choice is an option."""

import argparse
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from locoprop_ref.cli.parser import add, say


def add_command(commands: Any) -> None:
    """Add `train` to the subparsers of the command line."""
    from locoprop_ref.training.config import PRESETS
    from locoprop_ref.training.options import Config

    command = add(
        commands, "train", _train, "train a network; every choice an option, kept after every epoch"
    )
    command.add_argument("--preset", help=f"a named experiment to start from: {', '.join(PRESETS)}")
    for option in fields(Config):
        flag, kind = "--" + option.name.replace("_", "-"), option.metadata["kind"]
        extra: dict[str, Any] = {"help": _help(option.metadata), "default": None}
        if kind is bool:
            extra["action"] = argparse.BooleanOptionalAction
        else:
            extra |= {"type": kind, "metavar": _metavar(option.metadata)}
        command.add_argument(flag, **extra)
    command.add_argument(
        "--data-dir", metavar="DIR", help="folder of the data set's files (or LOCOPROP_REF_DATA)"
    )
    command.add_argument("--out", metavar="FILE.json", help="run file (default runs/METHOD-DATA-seedN.json)")
    command.add_argument(
        "--resume", action="store_true", help="go on from the checkpoint beside the run file"
    )
    command.add_argument("--overwrite", action="store_true", help="replace an existing run file")
    # runs side by side on this machine, for the run file; a comparison says so
    command.add_argument("--jobs", type=int, help=argparse.SUPPRESS)


def _help(metadata: Any) -> str:
    choices = metadata["choices"] or ()
    return metadata["help"] + (f": {', '.join(choices)}" if len(choices) > 4 else "")


def _metavar(metadata: Any) -> str:
    if metadata["choices"] and len(metadata["choices"]) <= 4:
        return "{" + ",".join(metadata["choices"]) + "}"
    return {int: "N", float: "X"}.get(metadata["kind"], "NAME")


def _train(given: argparse.Namespace) -> int:
    from locoprop_ref.training import train
    from locoprop_ref.training.config import resolve
    from locoprop_ref.training.options import Config

    config = resolve(given.preset, **{option.name: getattr(given, option.name) for option in fields(Config)})
    name = f"{config.method}-{Path(config.data).stem}-seed{config.seed}.json"
    out = Path(given.out) if given.out else Path("runs") / name
    settings = {
        "resume": given.resume,
        "overwrite": given.overwrite,
        "data_dir": given.data_dir,
        "jobs": given.jobs,
    }
    try:
        result = train(config, out=out, say=say, **settings)
    except KeyboardInterrupt:
        kept = f"{out} holds every complete epoch (--resume goes on)" if out.exists() else "nothing was kept"
        print(f"locoprop-ref train: interrupted; {kept}", file=sys.stderr)
        return 130
    if result.run["status"] == "diverged":
        print(f"locoprop-ref train: {result.run['message']} ({out})", file=sys.stderr)
        return 1
    print(f"run file {out}, trained network {out.with_suffix('.npz')}")
    return 0
