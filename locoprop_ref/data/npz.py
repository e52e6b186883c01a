"""A user's own data: one NPZ file with x_train, x_test and, if there are classes, labels_train, labels_test.

An NPZ is a zip of NPY files. Nothing in it is trusted: no pickle, and the sizes that the zip declares and the
shapes that the NPY headers declare are read and compared before a single array is made.
"""

import math
import os
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from errno import EINVAL
from io import BytesIO
from itertools import islice
from lzma import LZMAError
from pathlib import Path
from tokenize import TokenError

import numpy as np
from numpy.lib import format as npy

from locoprop_ref import checks
from locoprop_ref.data.dataset import Dataset, checked_dataset

#: Keys of the file: the first two must be there.
KEYS = ("x_train", "x_test", "labels_train", "labels_test")

_MAX_HEADER = 20_000  # bytes; NumPy itself refuses NPY headers of more than 10,000
# What zipfile, the decompressors and NumPy's header parser raise where bytes are damaged, encrypted, or of an
# unknown kind
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, LZMAError, TokenError, struct.error,
    ValueError, TypeError, SyntaxError, EOFError, OverflowError, RuntimeError, MemoryError,
)  # fmt: skip


def load_npz(path: str | os.PathLike[str], *, max_bytes: int = 4 << 30) -> Dataset:
    """Load a user's own NPZ file, as `numpy.savez(path, x_train=..., x_test=...)` writes it.

    Args:
        path: the file. Keys x_train and x_test: (N, d), or (N, height, width) for images, both uint8 (pixels)
            or both float32 or both float64; labels_train and labels_test, optional: (N,) integers of at least
            0. Other keys are left unread, and a note says so.
        max_bytes: most bytes that the arrays may take, by the file's own declaration; 4 GiB.

    Raises:
        OSError: FileNotFoundError, PermissionError, ...: it cannot be read.
        ValueError: it is not such a file; one sentence.
    """
    checks.integer("max_bytes", max_bytes)
    path = Path(path).expanduser()
    arrays, others = read_npz(path, KEYS, required=KEYS[:2], max_bytes=max_bytes)
    notes = (f"Keys that were left unread: {_names(others)}.",) if others else ()
    return checked_dataset(path.name, arrays, source="folder", notes=notes, where=f"in {path}")


def read_npz(
    path: Path, keys: tuple[str, ...], *, required: tuple[str, ...], max_bytes: int
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """The arrays of an NPZ file that go by these keys, and the names of the others.

    Raises:
        OSError, ValueError: see `load_npz`.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} must be an NPZ file, got a directory")
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} must be a regular file, got a pipe, socket or device")
    with ExitStack() as stack:
        with _one_sentence(path):
            archive = stack.enter_context(zipfile.ZipFile(path))
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        _check_members(path, members, keys, required, max_bytes)
        arrays = {key: _read_member(archive, members[key], path, key) for key in keys if key in members}
    return arrays, tuple(name for name in members if name not in keys)


@contextmanager
def _one_sentence(path: Path) -> Iterator[None]:
    """Say what the zip reader's errors mean: no such file, no permission, or a damaged one."""
    try:
        yield
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} must be an NPZ file, got nothing by that name") from None
    except PermissionError:
        raise PermissionError(f"{path} must be readable, got permission denied") from None
    except _DAMAGE as error:
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        raise ValueError(f"{path} must be a whole NPZ file, got a damaged one ({reason})") from None
    except OSError as error:
        if error.errno == EINVAL:  # a place before the start of the file, from a damaged table of contents
            raise ValueError(f"{path} must be a whole NPZ file, got one with wrong places in it") from None
        raise OSError(f"{path} must be readable, got {error.strerror}") from None


def _check_members(
    path: Path,
    members: dict[str, zipfile.ZipInfo],
    keys: tuple[str, ...],
    required: tuple[str, ...],
    max_bytes: int,
) -> None:
    for key in required:
        if key not in members:
            raise ValueError(f"{path} must have the key {key}, got {_names(members) or 'no keys'}")
    declared = sum(members[key].file_size for key in keys if key in members)
    if declared > max_bytes:
        raise ValueError(
            f"{path} must declare at most max_bytes = {max_bytes} bytes of arrays, got {declared}"
        )


def _names(names: Iterable[str]) -> str:
    """The names in one line, whatever characters are in them, and however many there are."""
    first = [name if name.isprintable() else ascii(name) for name in islice(names, 9)]
    return ", ".join(first[:8] + ["..."] * (len(first) > 8))


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path, key: str) -> np.ndarray:
    """One NPY file: first the header alone, then the array (zipfile itself stops at the declared size)."""
    with _one_sentence(path), archive.open(info) as file:
        start = file.read(min(info.file_size, _MAX_HEADER))
    shape, dtype, header = _read_header(start, f"{key} in {path}")
    if dtype.kind not in "iuf":
        raise ValueError(f"{key} in {path} must be an array of numbers, got dtype {dtype}")
    if any(n < 0 for n in shape) or header + math.prod(shape) * dtype.itemsize != info.file_size:
        raise ValueError(
            f"{key} in {path} must hold the array of shape {shape} that it declares, "
            f"got {info.file_size} bytes with the header"
        )
    with _one_sentence(path), archive.open(info) as file:
        return npy.read_array(file, allow_pickle=False)


def _read_header(start: bytes, where: str) -> tuple[tuple[int, ...], np.dtype, int]:
    """The shape and the dtype that an NPY file declares, and the length of its header."""
    file = BytesIO(start)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # what NumPy can still guess at: Python 2, outdated dtypes
            version = npy.read_magic(file)
            read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
            if read is None:
                raise ValueError(f"NPY version {version}")
            shape, _, dtype = read(file)
    except (Warning, *_DAMAGE) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"{where} must be an NPY array of numbers, got a bad header ({reason})") from None
    return shape, dtype, file.tell()
