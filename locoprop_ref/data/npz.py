"""NPZ files, which may come from anybody: a user's own data, checkpoints, the cache.

An NPZ is a zip of NPY files. The bytes are read by the function that `numpy.load(allow_pickle=False)` calls,
`numpy.lib.format.read_array`, but only after a check of what the file declares. `numpy.load` alone would
return a member that is not an array as bytes, ignore bytes that follow an array, take either of two members
of one name, guess at headers of Python 2, and reserve memory for whatever shape a header claims: gigabytes
for a member of a few bytes.
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
from locoprop_ref.data.files import reading, user_path

#: Keys of the file: the first two must be there.
KEYS = ("x_train", "x_test", "labels_train", "labels_test")
#: Keys of the desired outputs, which are read for a regression alone: many files have labels of that name.
OUTPUT_KEYS = ("y_train", "y_test")

_MAX_HEADER = 20_000  # bytes; NumPy itself refuses NPY headers of more than 10,000
# What zipfile, the decompressors and NumPy's header parser raise for bytes that are damaged, encrypted, or
# compressed by an unknown method
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, LZMAError, TokenError, struct.error,
    ValueError, TypeError, SyntaxError, EOFError, OverflowError, RuntimeError,
)  # fmt: skip


def load_npz(
    path: str | os.PathLike[str], *, keys: tuple[str, ...] = KEYS, max_bytes: int = 4 << 30
) -> Dataset:
    """Load a user's own NPZ file, as `numpy.savez(path, x_train=..., x_test=...)` writes it.

    Args:
        path: the file. Keys x_train and x_test: (N, d), (N, height, width) or (N, height, width, channels)
            for images, or (N, steps, d) for sequences, both uint8 (pixels) or both float32 or both float64;
            labels_train and labels_test, optional: (N,) integers of at least 0; y_train and y_test, if they
            are asked for: (N, k) float32 or float64. Other keys are not read, and a note says so.
        keys: what to read, default `KEYS`; with `OUTPUT_KEYS` also the desired outputs.
        max_bytes: most bytes that the arrays may take, by the file's own declaration; 4 GiB.

    Raises:
        OSError: FileNotFoundError, PermissionError, ...: it cannot be read.
        ValueError: it is not such a file; one sentence says why.
    """
    checks.integer("max_bytes", max_bytes)
    if not {*KEYS[:2]} <= {*checks.several("keys", keys, "a tuple of keys")}:
        raise ValueError(f"keys must hold {KEYS[0]} and {KEYS[1]}, got {checks.shown(keys)}")
    path = user_path(path)
    arrays, others = read_npz(path, keys, required=KEYS[:2], max_bytes=max_bytes)
    notes = (f"Keys that were left unread: {_names(others)}.",) if others else ()
    return checked_dataset(path.name, arrays, source="folder", notes=notes, where=f"in {path}")


def read_npz(
    path: Path, keys: tuple[str, ...] | None, *, required: tuple[str, ...], max_bytes: int
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Return the arrays of an NPZ file that have these keys (None: all), and the names of the others.

    Args:
        path: a regular file.
        keys: what to read; a key that is not in the file is skipped.
        required: keys that must be there.
        max_bytes: most bytes that the arrays may take, by the file's own declaration.

    Raises:
        OSError, ValueError: see `load_npz`.
    """
    with reading(path, "an NPZ file"), ExitStack() as stack:
        with _whole(path):
            archive = stack.enter_context(zipfile.ZipFile(path))
        members = _members(archive, path)
        wanted = tuple(members) if keys is None else tuple(key for key in keys if key in members)
        for key in required:
            if key not in members:
                raise ValueError(f"{path} must have the key {key}, got {_names(members) or 'no keys'}")
        declared = sum(members[key].file_size for key in wanted)
        if declared > max_bytes:
            raise ValueError(
                f"{path} must declare at most max_bytes = {max_bytes} bytes of arrays, got {declared}"
            )
        arrays = {key: _read_member(archive, members[key], path, key) for key in wanted}
    return arrays, tuple(name for name in members if name not in arrays)


def _members(archive: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    """Return the entries of the zip's directory by key."""
    members: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        key = info.filename.removesuffix(".npy")
        if key in members:
            raise ValueError(f"{path} must have every key once, got {_names([key])} twice")
        members[key] = info
    return members


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    """Turn the zip reader's many errors about a damaged file into one sentence."""
    try:
        yield
    except _DAMAGE as error:
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        raise ValueError(f"{path} must be a whole NPZ file, got a damaged one ({reason})") from None
    except MemoryError:
        raise MemoryError(f"{path} needs more memory than this process can have") from None
    except OSError as error:
        if error.errno == EINVAL:  # the zip's directory points to before the start of the file
            raise ValueError(f"{path} must be a whole NPZ file, got one with wrong offsets in it") from None
        raise


def _names(names: Iterable[str]) -> str:
    """Return names as one line, whatever characters are in them and however many there are."""
    first = [name if name.isprintable() else ascii(name) for name in islice(names, 9)]
    return ", ".join(first[:8] + ["..."] * (len(first) > 8))


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path, key: str) -> np.ndarray:
    """Read one NPY file: first the header alone, then the array (zipfile stops at the declared size)."""
    with _whole(path), archive.open(info) as file:
        start = file.read(min(info.file_size, _MAX_HEADER))
    shape, dtype, header = _read_header(start, f"{key} in {path}")
    if dtype.kind not in "iuf":
        raise ValueError(f"{key} in {path} must be an array of numbers, got dtype {dtype}")
    if any(n < 0 for n in shape) or header + math.prod(shape) * dtype.itemsize != info.file_size:
        raise ValueError(
            f"{key} in {path} must hold the array of shape {shape} that it declares, "
            f"got {info.file_size} bytes with the header"
        )
    with _whole(path), archive.open(info) as file:
        return npy.read_array(file, allow_pickle=False)


def _read_header(start: bytes, where: str) -> tuple[tuple[int, ...], np.dtype, int]:
    """Return the shape and the dtype that an NPY file declares, and the length of its header."""
    file = BytesIO(start)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # headers that NumPy can only guess at: Python 2, outdated dtypes
            version = npy.read_magic(file)
            read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
            if read is None:
                raise ValueError(f"NPY version {version}")
            shape, _, dtype = read(file)
    except (Warning, *_DAMAGE) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"{where} must be an NPY array of numbers, got a bad header ({reason})") from None
    return shape, dtype, file.tell()
