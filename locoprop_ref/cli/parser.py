"""The parser of the command line: every error is one line, with the nearest word that is known."""

import argparse
import difflib
import logging
import re
import sys
from typing import Any, NoReturn


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line, and leave with status 2."""
        self.exit(2, f"{self.prog}: {message}{self._hint(message)}\n")

    def _hint(self, message: str) -> str:
        """Return the nearest option, command or value to the one that was not known."""
        pattern = r"unrecognized arguments: (--[\w-]+)|invalid choice: '(\S+)' \(choose from"
        unknown = re.search(pattern, message)
        if not unknown:
            return ""
        known = set(self._option_string_actions)
        for action in self._actions:
            known |= set(map(str, action.choices or ()))
            for command in action.choices.values() if isinstance(action.choices, dict) else ():
                known |= set(command._option_string_actions)
        nearest = difflib.get_close_matches(unknown.group(1) or unknown.group(2), sorted(known), n=1)
        return f" (did you mean {nearest[0]}?)" if nearest else ""


def add(commands: Any, name: str, run: Any, help: str) -> argparse.ArgumentParser:
    """Add a command to the subparsers of the command line; return its parser.

    Args:
        commands: what `add_subparsers` returned.
        name: of the command.
        run: called with the parsed arguments; returns the exit status.
        help: one line in lower case, without a full stop.
    """
    command = commands.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".")
    command.set_defaults(run=run)
    return command


def say(sentence: str) -> None:
    """Print a line for the user, above a progress bar if there is one."""
    from tqdm import tqdm

    tqdm.write(sentence)
    sys.stdout.flush()


def log_to_terminal() -> None:
    """Print what the package logs for the user, above a progress bar if there is one."""
    logger = logging.getLogger("locoprop_ref")
    logger.setLevel(logging.INFO)
    if not any(isinstance(handler, _Terminal) for handler in logger.handlers):
        logger.addHandler(_Terminal())


class _Terminal(logging.Handler):
    """Prints the sentence of every record."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record."""
        say(record.getMessage())
