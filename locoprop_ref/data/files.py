"""Files: read with one sentence for every error, written completely or not at all."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


@contextmanager
def reading(path: Path, kind: str) -> Iterator[None]:
    """Read a file in this context: anything but a regular file is refused, every OSError is one sentence.

    A pipe or a device could block for ever, or never end.

    Args:
        path: the file.
        kind: what it should be, with its article, for the errors: "an NPZ file".

    Raises:
        FileNotFoundError, IsADirectoryError, PermissionError, OSError: it cannot be read.
        ValueError: it is a pipe, socket or device.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} must be {kind}, got a directory")
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} must be a regular file, got a pipe, socket or device")
    try:
        yield
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} must be {kind}, got nothing by that name") from None
    except PermissionError:
        raise PermissionError(f"{path} must be readable, got permission denied") from None
    except OSError as error:
        raise OSError(f"{path} must be readable, got {error.strerror or error}") from None


def write_atomically(path: str | os.PathLike[str], write: Callable[[BinaryIO], object]) -> None:
    """Create or replace a file in one step: readers see the old content or the new one, never a part of it.

    The bytes are written to a hidden file beside it and flushed to the disk; then that file is renamed.
    Hidden files that a killed process left behind are removed.

    Args:
        path: the file; its folder is created if it does not exist.
        write: is called with the open binary file.

    Raises:
        OSError: the folder or the file cannot be written; the old file, if there was one, is unchanged.
    """
    path = Path(path).resolve()  # replaces the file that a link points to, not the link
    if path.is_dir():
        raise IsADirectoryError(f"{path} must be a file to write, got a directory")
    if path.exists() and not path.is_file():  # a pipe or a device has no content to replace
        with open(path, "wb") as file:
            write(file)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{os.getpid()}.part"
    try:
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and error.errno:  # with the name that the caller knows
            raise type(error)(error.errno, error.strerror, str(path)) from None
        raise
    _remove_leftovers(path)


def same_file(path: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    """Tell whether two paths lead to one existing file."""
    return os.path.exists(path) and os.path.exists(other) and os.path.samefile(path, other)


def _remove_leftovers(path: Path) -> None:
    for leftover in path.parent.glob(f".{path.name}.*.part"):
        process = leftover.name.removesuffix(".part").rpartition(".")[2]
        if process.isdigit() and not process_is_alive(int(process)):
            with suppress(OSError):
                leftover.unlink()


def process_is_alive(process: int) -> bool:
    """Tell whether a process of this number runs on this machine."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
