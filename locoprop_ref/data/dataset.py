"""`Dataset`: checked arrays and the hash of their bytes, whatever their source; pixels as numbers."""

import hashlib
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from locoprop_ref import checks

#: dtypes of x: pixels (0..255), or a user's own numbers.
X_DTYPES = ("uint8", "float32", "float64")
#: Where a data set came from.
Source = Literal["drawn from seed", "folder", "cache", "download", "memory"]


@dataclass(frozen=True, eq=False)
class Dataset:
    """A training set and a test set: examples in rows, checked, with the hash of their bytes.

    Attributes:
        name: "curves", "mnist", "fashion_mnist", or the file name of a user's own NPZ.
        x_train, x_test: (N, d), uint8 pixels (see `scaled`) or a user's own float32 or float64; finite, not
            empty.
        labels_train, labels_test: (N,) int64 of at least 0, or None where the data has no labels.
        y_train, y_test: (N, k) float32 or float64, desired outputs, or None where the data has none.
        image_shape: (height, width) with height·width = d, or None where rows are not images of one channel.
        example_shape: of an example as it was given: (d,), (height, width), (steps, d) or (height, width,
            channels); the rows of images with channels are ordered (channel, height, width).
        sha256: hex digest over the arrays x_train, x_test, labels_train, labels_test, y_train, y_test in this
            order, those that are not None: for each an ASCII line "name dtype shape", as "x_train uint8
            (60000, 784)", and a newline, then its elements row by row in little-endian bytes.
        source: where it came from: "drawn from seed", "folder", "cache", "download" or "memory", no path.
        notes: sentences about what could not be checked.
    """

    name: str
    x_train: np.ndarray
    x_test: np.ndarray
    labels_train: np.ndarray | None
    labels_test: np.ndarray | None
    image_shape: tuple[int, int] | None
    sha256: str
    source: Source
    notes: tuple[str, ...] = ()
    example_shape: tuple[int, ...] = ()
    y_train: np.ndarray | None = None
    y_test: np.ndarray | None = None


def checked_dataset(
    name: str,
    arrays: dict[str, np.ndarray],
    *,
    source: Source,
    notes: tuple[str, ...] = (),
    where: str = "",
) -> Dataset:
    """Check x_train, x_test and, if present, labels and desired outputs; flatten images; hash the bytes.

    Args:
        name: see `Dataset`.
        arrays: x as (N, d), as (N, height, width) or (N, height, width, channels) for images, or as (N,
            steps, d) for sequences; labels as (N,) integers; y_train and y_test as (N, k), or (N,) for k = 1.
        source: see `Dataset`.
        notes: see `Dataset`.
        where: words such as "in my.npz", for the errors.

    Raises:
        ValueError: one sentence that names the array.

    >>> data = checked_dataset("two", {"x_train": np.eye(2), "x_test": np.ones((1, 2))}, source="folder")
    >>> data.x_train.shape, data.labels_train, data.image_shape
    ((2, 2), None, None)
    """
    where = f" {where}" if where else ""
    for key in ("x_train", "x_test"):
        _check_x(f"{key}{where}", arrays[key])
    train, test = arrays["x_train"], arrays["x_test"]
    if train.shape[1:] != test.shape[1:]:
        raise ValueError(
            f"x_test{where} must have rows of shape {train.shape[1:]} as x_train, got {test.shape[1:]}"
        )
    if train.dtype.name != test.dtype.name:
        raise ValueError(
            f"x_test{where} must have the dtype of x_train, {train.dtype.name}, got {test.dtype.name}"
        )
    final: dict[str, Any] = {"x_train": _rows(train), "x_test": _rows(test)}
    for part in ("train", "test"):
        labels = arrays.get(f"labels_{part}")
        final[f"labels_{part}"] = None
        if labels is not None:
            _check_labels(f"labels_{part}{where}", labels, len(arrays[f"x_{part}"]))
            final[f"labels_{part}"] = labels.astype(np.int64)
    final |= _outputs(arrays, where)
    shape = tuple(int(size) for size in train.shape[1:])
    image_shape = (shape[0], shape[1]) if len(shape) > 1 and shape[2:] in ((), (1,)) else None
    return Dataset(
        name=name, **final, image_shape=image_shape, sha256=_digest(final), source=source, notes=notes,
        example_shape=shape,
    )  # fmt: skip


def scaled(x: np.ndarray, dtype: Any = "float64") -> np.ndarray:
    """Return pixels as numbers in [0, 1], x/255 for uint8; floats are only cast. Always a new array.

    Args:
        x: uint8, float32 or float64, not empty, finite.
        dtype: "float32" or "float64" (also as NumPy dtype).

    Raises:
        ValueError: x is empty, not finite, or does not fit the dtype; an unknown dtype.
        TypeError: x is not a NumPy array of these dtypes.

    >>> scaled(np.array([[0, 51, 255]], dtype=np.uint8), "float64")
    array([[0. , 0.2, 1. ]])
    """
    try:
        wanted: object = np.dtype(dtype).name
    except TypeError:
        wanted = dtype
    target = np.dtype(checks.one_of("dtype", wanted, checks.FLOATS))
    if not isinstance(x, np.ndarray):
        raise TypeError(f"x must be a NumPy array, got {type(x).__name__}")
    if x.dtype.name not in X_DTYPES:
        raise TypeError(f"x must have dtype {', '.join(X_DTYPES)}, got {x.dtype}")
    if x.size == 0:
        raise ValueError(f"x must not be empty, got shape {x.shape}")
    if x.dtype == np.uint8:
        return x.astype(target) / target.type(255)
    checks.finite("x", x, xp=np)
    with np.errstate(over="ignore"):
        cast = x.astype(target)
    if not np.isfinite(cast).all():
        raise ValueError(f"x must fit {target.name}, got the magnitude {np.abs(x).max():.6g}")
    return cast


def _check_x(name: str, x: np.ndarray) -> None:
    if x.dtype.name not in X_DTYPES:
        raise ValueError(f"{name} must have dtype {', '.join(X_DTYPES)}, got {x.dtype}")
    if x.ndim not in (2, 3, 4):
        wanted = "(N, d), (N, height, width) or (N, height, width, channels)"
        raise ValueError(f"{name} must have shape {wanted}, got {x.shape}")
    if x.size == 0:
        raise ValueError(f"{name} must not be empty, got shape {x.shape}")
    if x.dtype != np.uint8:
        checks.finite(name, x, xp=np)


def _outputs(arrays: dict[str, np.ndarray], where: str) -> dict[str, np.ndarray | None]:
    """Return the desired outputs, checked and as columns; None where there are none."""
    found: dict[str, np.ndarray | None] = {}
    for part in ("train", "test"):
        name, y = f"y_{part}{where}", arrays.get(f"y_{part}")
        if y is not None:
            if y.dtype.name not in X_DTYPES[1:]:
                raise ValueError(f"{name} must have dtype {', '.join(X_DTYPES[1:])}, got {y.dtype}")
            if y.ndim not in (1, 2) or y.shape[0] != len(arrays[f"x_{part}"]) or y.size == 0:
                wanted = f"({len(arrays[f'x_{part}'])}, k), one row for each example"
                raise ValueError(f"{name} must have shape {wanted}, got {y.shape}")
            checks.finite(name, y, xp=np)
            y = np.ascontiguousarray(y.reshape(len(y), -1), dtype=y.dtype.newbyteorder("="))
        found[f"y_{part}"] = y
    widths = {y.shape[1] for y in found.values() if y is not None}
    if len(widths) > 1:
        raise ValueError(f"y_test{where} must have the columns of y_train, got {sorted(widths)}")
    return found


def _check_labels(name: str, labels: np.ndarray, count: int) -> None:
    if labels.dtype.kind not in "iu":
        raise ValueError(f"{name} must have an integer dtype, got {labels.dtype}")
    if labels.shape != (count,):
        raise ValueError(f"{name} must have shape ({count},), one for each example, got {labels.shape}")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high > np.iinfo(np.int64).max:
        raise ValueError(f"{name} must be class numbers from 0 to 2**63 - 1, got values from {low} to {high}")


def _rows(x: np.ndarray) -> np.ndarray:
    """Return an array (N, ...) as (N, d), channels first, in C order and native byte order."""
    if x.ndim == 4:
        x = np.moveaxis(x, 3, 1)
    return np.ascontiguousarray(x.reshape(len(x), -1), dtype=x.dtype.newbyteorder("="))


def _digest(arrays: dict[str, np.ndarray | None]) -> str:
    digest = hashlib.sha256()
    for name, array in arrays.items():
        if array is not None:
            digest.update(f"{name} {array.dtype.name} {array.shape}\n".encode("ascii"))
            digest.update(np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).data)
    return digest.hexdigest()
