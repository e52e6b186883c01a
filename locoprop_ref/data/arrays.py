"""A user's own data that are in memory: the arrays of an NPZ, without the file."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from array_api_compat import is_array_api_obj

from locoprop_ref import checks
from locoprop_ref.backend import to_numpy
from locoprop_ref.data.dataset import X_DTYPES, Dataset, checked_dataset
from locoprop_ref.data.npz import KEYS, OUTPUT_KEYS

#: The name of such data, in place of that of a data set.
ARRAYS = "arrays"


def from_arrays(arrays: Mapping[str, Any]) -> Dataset:
    """Return a data set of arrays in memory, checked like those of a file.

    Args:
        arrays: x_train and x_test, and where the task needs them labels_train and labels_test or y_train and
            y_test, in the shapes that `load_npz` describes; of any array library.

    Raises:
        TypeError: something that is no array; the sentence says how to make one.
        ValueError: unknown or missing names, or arrays of a wrong shape or dtype; one sentence says which.

    >>> from_arrays({"x_train": np.eye(2), "x_test": np.ones((1, 2))}).name
    'arrays'
    >>> from_arrays({"x_train": [[0.0, 1.0]], "x_test": np.ones((1, 2))})
    Traceback (most recent call last):
        ...
    TypeError: x_train must be an array, got list (numpy.asarray(x_train, dtype="float32") makes one)
    """
    if not isinstance(arrays, Mapping):
        wanted = "a dict of arrays with the keys x_train and x_test"
        raise TypeError(f"arrays must be {wanted}, got {type(arrays).__name__}")
    for name in arrays:
        checks.one_of("key of arrays", name, (*KEYS, *OUTPUT_KEYS))
    for name in KEYS[:2]:
        if arrays.get(name) is None:
            given = ", ".join(key for key, value in arrays.items() if value is not None)
            raise ValueError(f"arrays must have the key {name}, got {given or 'no keys'}")
    found = {name: _array(name, value) for name, value in arrays.items() if value is not None}
    return checked_dataset(ARRAYS, found, source="memory")


def _array(name: str, value: Any) -> np.ndarray:
    """Return an array on the host; say how to convert what is none, or has another dtype."""
    if not is_array_api_obj(value):
        kind = "int64" if name.startswith("labels") else "float32"
        how = f'numpy.asarray({name}, dtype="{kind}") makes one'
        raise TypeError(f"{name} must be an array, got {type(value).__name__} ({how})")
    if isinstance(value, np.ma.MaskedArray):  # the numbers behind the mask would be trained on
        raise TypeError(f"{name} must be an array without a mask, got a masked array (see its method filled)")
    array = np.asarray(to_numpy(value))
    known = X_DTYPES if name.startswith("x") else X_DTYPES[1:]
    if not name.startswith("labels") and array.dtype.name not in known:
        how = f'numpy.asarray({name}, dtype="float32") converts it'
        raise TypeError(f"{name} must have dtype {', '.join(known)}, got {array.dtype} ({how})")
    return array
