"""IDX, the format of MNIST: a big-endian header, then unsigned bytes; plain or gzipped.

    0x00 0x00 0x08 n      magic: 0x08 for unsigned bytes, n for the number of dimensions
    n times 4 bytes       the dimensions, big-endian
    unsigned bytes        the elements, the last dimension fastest

A file is not trusted before it is checked: at most as many bytes are read and decompressed as the expected
array can need, so that neither an endless file nor a gzip bomb fills the memory.
"""

import gzip
import hashlib
import io
import math
import os
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from locoprop_ref.data.files import reading

# gzip adds at most this to a file of such a size: 5 bytes for each stored block of 16 KiB or more, 18 for
# header and trailer, the rest for a file name and padding
_GZIP_OVERHEAD = 1 << 20


class Idx(NamedTuple):
    """An array, the SHA-256 of its IDX bytes, and that of the file's own bytes (the same if not gzipped)."""

    array: np.ndarray
    sha256: str
    file_sha256: str


def read_idx(path: str | os.PathLike[str], shape: tuple[int, ...]) -> Idx:
    """Read a file that holds an IDX array of unsigned bytes of a known shape, gzipped or not.

    Args:
        path: a regular file; it is only opened for reading.
        shape: the dimensions that its header must declare.

    Raises:
        FileNotFoundError, IsADirectoryError, PermissionError, OSError: it cannot be read; one sentence.
        ValueError: it does not hold that array: empty, truncated, corrupt, wrong magic, wrong counts, too
            long.
    """
    size = 4 + 4 * len(shape) + math.prod(shape)
    path = Path(path)
    with reading(path, "a file"), path.open("rb") as file:
        raw = file.read(size + _GZIP_OVERHEAD + 1)
    data = raw
    if raw[:2] == b"\x1f\x8b":
        if len(raw) > size + _GZIP_OVERHEAD:
            raise ValueError(
                f"{path} must be gzip of {size} bytes, got a compressed file longer than that by itself"
            )
        data = _gunzip(raw, size + 1, str(path))
    array = parse_idx(data, shape, str(path))
    return Idx(array, hashlib.sha256(data).hexdigest(), hashlib.sha256(raw).hexdigest())


def parse_idx(data: bytes, shape: tuple[int, ...], where: str = "data") -> np.ndarray:
    """Return IDX bytes as a uint8 array of that shape.

    Raises:
        ValueError: one sentence that begins with `where`.

    >>> parse_idx(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9]), (3,))
    array([7, 8, 9], dtype=uint8)
    """
    if not data:
        raise ValueError(f"{where} must be an IDX file, got an empty one")
    header, size = 4 + 4 * len(shape), math.prod(shape)
    magic = bytes([0, 0, 8, len(shape)])
    if data[:4] != magic:
        raise ValueError(f"{where} must begin with the IDX magic 0x{magic.hex()}, got 0x{data[:4].hex()}")
    if len(data) < header:
        raise ValueError(
            f"{where} must have an IDX header of {header} bytes, got a file of {len(data)} bytes"
        )
    counts = tuple(int(n) for n in np.frombuffer(data, dtype=">u4", count=len(shape), offset=4))
    if counts != shape:
        raise ValueError(f"{where} must hold {_times(shape)} bytes by its IDX header, got {_times(counts)}")
    if len(data) != header + size:
        got = f"{len(data)} (truncated)" if len(data) < header + size else "more (trailing bytes)"
        raise ValueError(f"{where} must be {header + size} bytes of IDX, got {got}")
    return np.frombuffer(data, dtype=np.uint8, offset=header).reshape(shape).copy()


def _gunzip(raw: bytes, limit: int, where: str) -> bytes:
    """Return the first `limit` decompressed bytes; the checksum is verified if the data ends before them."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(raw)) as file:
            return file.read(limit)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        reason = "a truncated one" if isinstance(error, EOFError) else f"a corrupt one ({error})"
        raise ValueError(f"{where} must be a whole gzip file, got {reason}") from None


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in shape)
