"""Files: read with one sentence for every error, written completely or not at all."""

import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import BinaryIO

from locoprop_ref import checks

Named = str | os.PathLike[str]


def user_path(path: object, name: str = "path") -> Path:
    """Return a path that a user gave, with ~ and ~NAME in place of home folders.

    The functions that users call begin with this, so that what follows compares and writes one and the same
    path.

    Args:
        path: the path.
        name: of the argument, for the errors.

    Raises:
        TypeError: neither a string nor a path.
        ValueError: it is empty, has a null character in it, or names a user that this system does not know.
    """
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else None
    if not isinstance(text, str):
        raise TypeError(f"{name} must be a path, got {checks.shown(path)}")
    if not text or "\0" in text:
        raise ValueError(f"{name} must be a path, got {checks.shown(text)}")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError(f"{name} must begin with a user's home folder, got {text}") from None


def check_outputs(
    outputs: Mapping[str, Named | None], inputs: Mapping[str, object] | None = None, *, overwrite: bool
) -> None:
    """Refuse to write where something would be lost; every command asks before it begins to work.

    Args:
        outputs: the files that are about to be written, by the names of their arguments; None is not given.
        inputs: what is read, by words for the errors; what names no file is left out.
        overwrite: whether files that exist may be replaced. An input never is.

    Raises:
        FileExistsError: a file exists, and `overwrite` is False.
        ValueError: an output is an input, or two outputs are one file.
        OSError: the links on the way to a file lead round in a circle.
    """
    checks.boolean("overwrite", overwrite)
    written = {name: Path(path) for name, path in outputs.items() if path is not None}
    read = {
        words: Path(path) for words, path in (inputs or {}).items() if isinstance(path, str | os.PathLike)
    }
    for name, path in written.items():
        for words, source in read.items():
            if source.is_file() and same_file(path, source):
                raise ValueError(f"{name} must be a file of its own, got {path}, which is {words}")
    for (name, path), (other, second) in combinations(written.items(), 2):
        if same_file(path, second) or real_path(path) == real_path(second):
            raise ValueError(f"{name} and {other} must be two files, got {path} for both")
    for name, path in written.items():
        real_path(path)
        if path.is_file() and not overwrite:  # a pipe or a device has no content to replace
            raise FileExistsError(f"{name} must be a new file, got {path}, which exists (--overwrite)")


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


def write_atomically(path: Named, write: Callable[[BinaryIO], object]) -> None:
    """Create or replace a file in one step: readers see the old content or the new one, never a part of it.

    The bytes are written to a hidden file beside it and flushed to the disk; then that file is renamed. Its
    name cannot be guessed, and it is never one that exists, so that no link planted there is followed. A file
    that is replaced keeps its permissions. Hidden files that a killed process left behind are removed.

    Args:
        path: the file; its folder is created if it does not exist.
        write: is called with the open binary file.

    Raises:
        OSError: the folder or the file cannot be written; the old file, if there was one, is unchanged.
    """
    path = real_path(path)  # replaces the file that a link points to, not the link
    if path.is_dir():
        raise IsADirectoryError(f"{path} must be a file to write, got a directory")
    if path.exists() and not path.is_file():  # a pipe or a device has no content to replace
        try:
            with open(path, "wb") as file:
                write(file)
        except OSError as error:  # with the name that the caller knows; a full device says none
            raise OSError(error.errno, error.strerror, str(path)) from None
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{os.getpid()}.{secrets.token_hex(8)}.part"
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else None
    try:
        with open(temporary, "xb", opener=partial(os.open, mode=0o666 if mode is None else mode)) as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            temporary.chmod(mode)
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and error.errno:  # with the name that the caller knows
            raise type(error)(error.errno, error.strerror, str(path)) from None
        raise
    _remove_leftovers(path)


@contextmanager
def file_lock(path: Path, refusal: str, timeout: float = 0.0) -> Iterator[None]:
    """Hold a lock, so that no other process does the same work; it ends with the process, however that ends.

    Args:
        path: the lock's file, which is there only as long as somebody holds the lock.
        refusal: what to say if another process holds it.
        timeout: seconds to wait for that process; default 0.

    Raises:
        BlockingIOError: another process holds it.
        OSError: its folder cannot be made or written.
    """
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=timeout)
    except Timeout:
        raise BlockingIOError(refusal) from None
    except OSError as error:  # with the name that the caller knows
        raise type(error)(error.errno, error.strerror, str(path.parent)) from None
    try:
        yield
    finally:
        with suppress(OSError):  # where open files cannot be removed; who waits for the lock makes a new file
            path.unlink()
        lock.release()


def real_path(path: Named) -> Path:
    """Return the path of a file that exists or will be written, without links.

    Raises:
        OSError: the links on the way lead round in a circle (`Path.resolve` raises no OSError).
    """
    try:
        os.stat(path)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise
    return Path(os.path.realpath(path))


def same_file(path: Named, other: Named) -> bool:
    """Tell whether two paths lead to one existing file."""
    return os.path.exists(path) and os.path.exists(other) and os.path.samefile(path, other)


def _remove_leftovers(path: Path) -> None:
    for leftover in path.parent.glob(f".{path.name}.*.part"):
        process = leftover.name.removeprefix(f".{path.name}.").partition(".")[0]
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
