"""A lock on the results folder: one command at a time works in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

LOCK = ".lock"


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Keep other commands that compare out of a folder; the lock ends with the process, however that ends.

    Raises:
        BlockingIOError: another command works in it.
        OSError: the folder cannot be made or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / LOCK, timeout=0):
            yield
    except Timeout:
        raise BlockingIOError(
            f"out must be a folder that no other compare is at work in, got {folder}"
        ) from None
