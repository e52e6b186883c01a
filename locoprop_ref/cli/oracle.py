"""The commands `locoprop-ref oracle check`, `report` and `generate`."""

import argparse
import importlib
import sys
from pathlib import Path
from typing import Any

from locoprop_ref.cli.parser import add, add_overwrite, path, say
from locoprop_ref.data.files import check_outputs, real_path, write_atomically


def add_command(commands: Any) -> None:
    """Add `oracle` and its commands to the subparsers of the command line."""
    help = "check any implementation of LocoProp against certified numbers"
    oracle: argparse.ArgumentParser = add(commands, "oracle", lambda given: _help(oracle), help)
    commands = oracle.add_subparsers(metavar="COMMAND")
    for add_one in (_add_check, _add_report, _add_generate):
        add_one(commands)


def _help(parser: argparse.ArgumentParser) -> int:
    parser.print_help()
    return 0


def _write(file: Path, content: str) -> None:
    write_atomically(file, lambda stream: stream.write(content.encode()))


# check ----------------------------------------------------------------------------------------------


def _add_check(commands: Any) -> None:
    from locoprop_ref.oracle.topics import TOPICS
    from locoprop_ref.oracle.vectors import DTYPES

    command = add(
        commands, "check", _check, "compare an implementation with the vectors and say what is wrong"
    )
    who = command.add_mutually_exclusive_group(required=True)
    who.add_argument("--target", metavar="MODULE:CALLABLE", help="a Python implementation, see FORMAT.md")
    who.add_argument(
        "--results",
        metavar="FILE",
        type=path,
        help="what an implementation in any language wrote, see FORMAT.md",
    )
    command.add_argument("--dtype", choices=DTYPES, help="of a target's inputs (default float64)")
    command.add_argument(
        "--topic", action="append", choices=tuple(TOPICS), help="check this topic only (repeatable)"
    )
    command.add_argument(
        "--require", action="append", default=[], choices=tuple(TOPICS), metavar="TOPIC",
        help="fail if the topic is not covered (repeatable)",
    )  # fmt: skip
    command.add_argument(
        "--time-limit", type=float, metavar="S", help="seconds for a target's case (default 20)"
    )
    command.add_argument("--strict", action="store_true", help="let acceptable variants fail")
    command.add_argument("--no-diagnosis", action="store_true", help="do not look for the cause")
    command.add_argument("--verbose", action="store_true", help="list the cases that pass, too")
    command.add_argument("--json", metavar="FILE", type=path, help="also write the report as JSON")
    command.add_argument("--junit", metavar="FILE", type=path, help="also write the report as JUnit XML")
    add_overwrite(command)


def _check(given: argparse.Namespace) -> int:
    from locoprop_ref.oracle.check import check
    from locoprop_ref.oracle.results import check_results
    from locoprop_ref.oracle.vectors import cases

    outputs = {"json": given.json, "junit": given.junit}
    check_outputs(outputs, {"the results": given.results}, overwrite=given.overwrite)
    which = [case for case in cases() if given.topic is None or case.topic in given.topic]
    options = {"require": given.require, "diagnose": not given.no_diagnosis, "strict": given.strict}
    if given.results:
        for name in ("dtype", "time_limit"):
            if getattr(given, name) is not None:
                raise ValueError(
                    f"{name} has no meaning for results, which are there, got {getattr(given, name)}"
                )
        report = check_results(given.results, which, **options)
    else:
        target, name = load_target(given.target), given.target
        how = {name: value for name in ("dtype", "time_limit") if (value := getattr(given, name)) is not None}
        report = check(target, which, implementation=name, **how, **options)
    say(report.text(verbose=given.verbose))
    for file, content in ((given.json, report.json), (given.junit, report.junit)):
        if file:
            _write(file, content())
    return 0 if report.ok else 1


def load_target(name: str) -> Any:
    """Import a target by "module:callable", modules of the working directory included.

    Raises:
        ValueError: the module cannot be imported, or has no such callable.
    """
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        raise ValueError(
            f"target must be module:callable, as in examples.pytorch_adapter:target, got {name!r}"
        )
    sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise ValueError(
            f"target {module_name!r} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    finally:
        sys.path.remove(str(Path.cwd()))
    target = getattr(module, attribute, None)
    if not callable(target):
        raise ValueError(
            f"target {name!r} must name a callable, and module {module_name!r} has none of that name"
        )
    return target


# report ---------------------------------------------------------------------------------------------


def _add_report(commands: Any) -> None:
    from locoprop_ref.oracle.vectors import DTYPES

    command = add(commands, "report", _report, "list how far the package itself is off, case by case")
    command.add_argument("--dtype", choices=DTYPES, default="float64", help="default float64")
    command.add_argument("--backend", default="numpy", help="array library (default numpy)")
    command.add_argument("--out", metavar="FILE", type=path, help="also write the list to a file")
    add_overwrite(command)


def _report(given: argparse.Namespace) -> int:
    from locoprop_ref.backend import namespace
    from locoprop_ref.oracle.certificate import certificate
    from locoprop_ref.oracle.check import check
    from locoprop_ref.oracle.own import own_target

    check_outputs({"out": given.out}, overwrite=given.overwrite)
    target = own_target(namespace(given.backend))
    name = f"locoprop-ref on {given.backend}"
    report = check(target, dtype=given.dtype, implementation=name)
    content = certificate(report)
    say(content)
    if given.out:
        _write(given.out, content + "\n")
    return 0 if report.ok else 1


# generate -------------------------------------------------------------------------------------------


def _add_generate(commands: Any) -> None:
    command = add(commands, "generate", _generate, "compute the vectors afresh, in 60 digits, and write them")
    command.add_argument(
        "--out", metavar="DIR", type=path, help="folder to write to (default: the package's own vectors)"
    )


def _generate(given: argparse.Namespace) -> int:
    from locoprop_ref.oracle.generate import write
    from locoprop_ref.oracle.vectors import FOLDER

    folder = real_path(given.out or FOLDER)
    if folder.exists() and not folder.is_dir():  # before the minutes that the vectors take
        raise NotADirectoryError(f"out must be a folder, got {given.out}, which is a file")
    for file in write(given.out or FOLDER):
        say(file)
    return 0
