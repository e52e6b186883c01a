"""The commands `locoprop-ref exercises list` and `check`."""

import argparse
from typing import Any

from locoprop_ref.cli.oracle import load_target
from locoprop_ref.cli.parser import add, say


def add_command(commands: Any) -> None:
    """Add `exercises` and its commands to the subparsers of the command line."""
    help = "list the exercises, and mark an answer"
    exercises: argparse.ArgumentParser = add(commands, "exercises", lambda given: _help(exercises), help)
    commands = exercises.add_subparsers(metavar="COMMAND")
    add(commands, "list", _list, "list the exercises, with the function that each asks for")
    command = add(commands, "check", _check, "mark an answer, and say what is wrong with it")
    command.add_argument("exercise", metavar="NAME", help="name of the exercise, see `exercises list`")
    command.add_argument("answer", metavar="MODULE:FUNCTION", help="the answer, as answers:divergence")


def _help(parser: argparse.ArgumentParser) -> int:
    parser.print_help()
    return 0


def _list(given: argparse.Namespace) -> int:
    from locoprop_ref.exercises import EXERCISES

    for one in EXERCISES:
        print(f"{one.name:18} {one.minutes:2} minutes  {one.title}: {one.signature}")
    return 0


def _check(given: argparse.Namespace) -> int:
    from locoprop_ref.exercises import exercise, mark

    found = exercise(given.exercise)
    marked = mark(found, load_target(given.answer))
    say(marked.text)
    return 0 if marked.passed else 1
