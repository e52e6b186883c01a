r"""The command line, `locoprop-ref`: verify, family, figures, demo, train, compare, apply, plot and others.

The exit status is 0 for success, 1 for an identity that fails or a run that diverges, 2 for bad input (with
one line on standard error), and 130 after Ctrl-C. A command imports its modules when it runs, so that
`--help` is quick.
"""

import argparse
import sys
from collections.abc import Sequence

import locoprop_ref
from locoprop_ref.cli import (
    apply,
    compare,
    demo,
    exercises,
    family,
    figures,
    info,
    notebooks,
    oracle,
    plot,
    train,
    tune,
    verify,
)
from locoprop_ref.cli.parser import (
    Parser,
    log_to_terminal,
    prepare_streams,
    printable,
    shortened,
    signals_interrupt,
    warnings_in_one_line,
)
from locoprop_ref.experiments.pool import begin_as_child

# in the order of the help
COMMANDS = (
    verify, family, figures, demo, train, compare, apply, plot, info, tune, oracle, notebooks, exercises,
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status."""
    prepare_streams()
    words = sys.argv[1:] if arguments is None else list(arguments)
    name = "locoprop-ref"
    try:
        begin_as_child()
        with signals_interrupt(), warnings_in_one_line():
            parser = _parser(words)
            given = parser.parse_args(words)
            if given.command is None:
                parser.print_help()
                return 0
            name = f"locoprop-ref {given.command}"
            with log_to_terminal():
                return int(given.run(given))
    except KeyboardInterrupt:
        print("locoprop-ref: interrupted; what was complete is kept", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 141  # the status of a process that SIGPIPE has ended
    except (ValueError, TypeError, OSError, MemoryError) as error:
        print(f"{name}: {printable(shortened(_one_line(error), 400))}", file=sys.stderr)
        return 2


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror.lower()}"
    return " ".join(str(error).split()) or type(error).__name__


def _parser(words: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Return the parser for a command line: of the command that stands first in it, else of all commands."""
    parser = Parser(
        prog="locoprop-ref", description="LocoProp, written by hand: prove it, draw it, train with it."
    )
    parser.add_argument("--version", action="version", version=f"locoprop-ref {locoprop_ref.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    asked_for = [one for one in COMMANDS if one.__name__.rpartition(".")[2] in words[:1]]
    for command in asked_for or COMMANDS:
        command.add_command(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
