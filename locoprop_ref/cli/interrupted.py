"""Ctrl-C while the modules are imported, before `main` can answer it: one line and status 130, no traceback.

The package imports this first; it needs nothing but the standard library. A program that imports the package
is left alone: only the command `locoprop-ref` and `python -m locoprop_ref` get this.
"""

import os
import sys
from pathlib import Path
from types import TracebackType


def is_the_program(arguments: list[str]) -> bool:
    """Tell from the words that Python was started with whether they are this package's command.

    >>> is_the_program(["python", "-m", "locoprop_ref", "info"]), is_the_program(["python", "own.py"])
    (True, False)
    """
    words = [word for word in arguments[1:] if word != "-I"]
    return words[:2] == ["-m", "locoprop_ref"] or Path((words or [""])[0]).stem == "locoprop-ref"


def end_quietly(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Answer an exception that nobody caught: Ctrl-C in one line, any other as Python does."""
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    print("locoprop-ref: interrupted before it began", file=sys.stderr, flush=True)
    os._exit(130)


if is_the_program(sys.orig_argv):
    sys.excepthook = end_quietly
