"""The command `locoprop-ref train`: one run; every choice is an option."""

import argparse
import logging
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from locoprop_ref.cli.parser import add, add_data_dir, path, printable, say


def add_command(commands: Any) -> None:
    """Add `train` to the subparsers of the command line."""
    from locoprop_ref.training.config import PRESETS
    from locoprop_ref.training.options import Config

    help = "train a network; every setting is an option, and every epoch is kept on disk"
    command = add(commands, "train", _train, help)
    command.add_argument("--preset", help=f"a named experiment to start from: {', '.join(PRESETS)}")
    for option in fields(Config):
        flag, kind = "--" + option.name.replace("_", "-"), option.metadata["kind"]
        extra: dict[str, Any] = {"help": _help(option.metadata), "default": None}
        if kind is bool:
            extra["action"] = argparse.BooleanOptionalAction
        else:
            extra |= {"type": kind, "metavar": _metavar(option.metadata)}
        command.add_argument(flag, **extra)
    add_data_dir(command)
    command.add_argument(
        "--tuned",
        nargs="?",
        const="best",
        metavar="{best,fast}",
        help="take the settings that locoprop-ref tune found for this method and data set: best (without a "
        "word), those of the least loss, or fast, those of tune --fast with their number of epochs; options "
        "that are given win (default: the package's own settings)",
    )
    command.add_argument(
        "--out",
        metavar="FILE.json",
        type=path,
        help="run file (default runs/METHOD-DATA-seedN.json, with the options that differ from the defaults)",
    )
    command.add_argument(
        "--resume",
        action="store_true",
        help="continue from the checkpoint beside the run file, or start if there is none",
    )
    command.add_argument("--overwrite", action="store_true", help="replace an existing run file")
    _add_circumstances(command)


def _add_circumstances(command: argparse.ArgumentParser) -> None:
    """Add what a comparison tells the runs that it starts, for their run files; hidden from the help.

    --jobs-beside N: how many runs share the machine, this one included (the run file's `jobs`).
    """
    command.add_argument("--jobs-beside", type=int, metavar="N", help=argparse.SUPPRESS)


def _help(metadata: Any) -> str:
    choices = metadata["choices"] or ()
    return metadata["help"] + (f": {', '.join(choices)}" if len(choices) > 4 else "")


def _metavar(metadata: Any) -> str:
    if metadata["choices"] and len(metadata["choices"]) <= 4:
        return "{" + ",".join(metadata["choices"]) + "}"
    return {int: "N", float: "X"}.get(metadata["kind"], "NAME")


def _train(given: argparse.Namespace) -> int:
    from locoprop_ref.training import train
    from locoprop_ref.training.memory import keep_freed_memory
    from locoprop_ref.training.run_name import run_name

    keep_freed_memory()
    config = _config(given)
    out = given.out or Path("runs") / f"{run_name(config)}.json"
    try:
        result = train(
            config,
            out=out,
            resume=given.resume,
            overwrite=given.overwrite,
            data_dir=given.data_dir,
            jobs=given.jobs_beside,
        )
    except KeyboardInterrupt:
        kept = f"{out} holds every complete epoch (--resume continues)"
        print(
            printable(f"locoprop-ref train: interrupted; {kept if out.exists() else 'nothing was kept'}"),
            file=sys.stderr,
        )
        return 130
    if result.run["status"] == "diverged":
        print(printable(f"locoprop-ref train: {result.run['message']} ({out})"), file=sys.stderr)
        return 1
    say(f"run file {out}, trained network {out.with_suffix('.npz')}")
    return 0


def _config(given: argparse.Namespace) -> Any:
    """Return the resolved Config of a command line, with the tuned settings below what is given."""
    from locoprop_ref.experiments.tuned.for_run import tuned_for
    from locoprop_ref.training.config import resolve
    from locoprop_ref.training.options import Config

    explicit = {option.name: getattr(given, option.name) for option in fields(Config)}
    config = resolve(given.preset, **explicit)
    if given.tuned is None:
        return config
    found = tuned_for(
        config.method,
        data=str(config.data),
        optimizer=config.optimizer,
        task=config.task,
        layers=config.layers,
        kind=given.tuned,
    )
    logging.getLogger(__name__).info(found.describe())
    chosen = {name: value for name, value in explicit.items() if value is not None}
    lengths = ("epochs", "schedule_epochs") if "epochs" in chosen else ()
    known = {name: value for name, value in found.settings.items() if name not in lengths}
    return resolve(given.preset, **(known | chosen))
