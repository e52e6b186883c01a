"""What the commands share: errors of one line with a suggestion, common options, log lines."""

import argparse
import difflib
import logging
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from locoprop_ref.data.files import user_path


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Print what is wrong in one line, and exit with status 2."""
        self.exit(2, f"{self.prog}: {printable(shortened(message))}{self._hint(message)}\n")

    def _hint(self, message: str) -> str:
        """Return the option, command or value that is most like an unknown one, as a question."""
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


def printable(text: str) -> str:
    r"""Return text with control characters written out, so that no name can command the terminal.

    >>> printable("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def say(text: object) -> None:
    """Print what a command found or wrote; a name in it commands no terminal, see `printable`."""
    print("\n".join(printable(line) for line in str(text).split("\n")))


def shortened(message: str, longest: int = 100) -> str:
    """Return a message in which a word of thousands of characters, which a user gave, is cut."""
    return re.sub(rf"\S{{{longest},}}", lambda found: found[0][: longest - 3] + "...", message)


def prepare_streams() -> None:
    """Make the standard streams ready for any text: a missing one swallows it, a narrow one escapes it.

    A process may be started without standard output (>&-), and a redirected one may have an encoding such as
    cp1252, which knows no Greek letter; neither is a reason to fail after hours of training. Nor is
    the name of a file that is no UTF-8, whose bytes Python keeps as characters that no encoding has.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # to the end
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def warnings_in_one_line() -> Iterator[None]:
    """Show a warning of this package as one line in this context; those of libraries are for programmers.

    Python would print the path of a module and a line of its source, above the sentence that counts.
    """
    package = Path(__file__).resolve().parents[1]

    def show(
        message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None
    ) -> None:
        if Path(filename).resolve().is_relative_to(package):
            print(f"locoprop-ref: warning: {printable(' '.join(str(message).split()))}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


@contextmanager
def signals_interrupt() -> Iterator[None]:
    """Let SIGTERM and SIGHUP interrupt in this context as Ctrl-C does, so that nothing is left half done.

    A signal that is ignored (nohup), or has a handler already, is left as it is. Only for the main thread.
    """
    names = ("SIGTERM", "SIGHUP")  # by which a machine or a closed terminal ends a process; Windows has one
    ending = [getattr(signal, name) for name in names if hasattr(signal, name)]
    ours = [n for n in ending if signal.getsignal(n) is signal.SIG_DFL]
    if threading.current_thread() is not threading.main_thread():
        ours = []
    for number in ours:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


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


def path(text: str) -> Path:
    """Return the path of an option, with ~ in place of the home folder: the `type` of every path option."""
    try:
        return user_path(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("path ")) from None


def add_overwrite(command: argparse.ArgumentParser) -> None:
    """Add the option `--overwrite`, the same for every command that writes files which the user names."""
    command.add_argument("--overwrite", action="store_true", help="replace files that exist")


def add_data_dir(command: argparse.ArgumentParser) -> None:
    """Add the option `--data-dir`, the same for every command that reads a data set."""
    command.add_argument(
        "--data-dir", metavar="DIR", type=path, help="folder of the data set's files (or LOCOPROP_REF_DATA)"
    )


def add_backend(command: argparse.ArgumentParser) -> None:
    """Add the option `--backend`, the same for every command that computes."""
    command.add_argument("--backend", default="numpy", help="array library (default numpy)")


class _Terminal(logging.Handler):
    """Prints log records, above a progress bar if there is one; a closed pipe raises BrokenPipeError."""

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        tqdm.write(printable(self.format(record)))
        sys.stdout.flush()


@contextmanager
def log_to_terminal() -> Iterator[None]:
    """Print what the package logs at level INFO and above, each record as one plain line on standard output.

    The library itself is silent: only the command line enters this context, for as long as a command runs.
    """
    logger, handler = logging.getLogger("locoprop_ref"), _Terminal(logging.INFO)
    handler.setFormatter(logging.Formatter("%(message)s"))
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate
