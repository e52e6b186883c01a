"""The array libraries as the tests see them, opened on request."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest


@dataclass(frozen=True)
class Backend:
    """One array library as the tests see it: its namespace, and the ways in and out."""

    name: str
    xp: Any
    device: Any = None
    writeable: bool = True

    def asarray(self, values: Any, dtype: Any = None) -> Any:
        """Return numbers as an array of this library, on its device."""
        from locoprop_ref.backend import to_backend

        name = None if dtype is None else np.dtype(dtype).name
        array = to_backend(values, xp=self.xp, dtype=name, device=self.device)
        if not self.writeable:
            array.flags.writeable = False
        return array

    def numpy(self, array: Any) -> np.ndarray:
        """Return an array of this library as NumPy's own."""
        from locoprop_ref.backend import to_numpy

        return to_numpy(array)


def _namespace(name: str) -> Any:
    from locoprop_ref.backend import namespace

    return namespace(name)


def _installed(library: str) -> None:
    if find_spec(library) is None:
        pytest.skip(f"{library} is not installed")


def _array_api_strict() -> Backend:
    import array_api_strict

    # A device that is not the CPU: NumPy cannot read it behind our back, as it could not read a GPU's memory.
    return Backend("array-api-strict", _namespace("array-api-strict"), array_api_strict.Device("device1"))


def _torch() -> Backend:
    _installed("torch")
    return Backend("torch", _namespace("torch"))


def _jax() -> Iterator[Backend]:
    _installed("jax")
    import jax

    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield Backend("jax", _namespace("jax"))
    jax.config.update("jax_enable_x64", before)


def _cupy() -> Backend:
    if find_spec("cupy") is None:
        pytest.skip("no GPU (cupy is not installed)")
    import cupy

    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        pytest.skip(f"no GPU ({error})")
    if not count:
        pytest.skip("no GPU (the driver reports none)")
    return Backend("cupy", _namespace("cupy"))


OPEN: dict[str, Callable[[], Any]] = {
    "numpy": lambda: Backend("numpy", _namespace("numpy")),
    "numpy-readonly": lambda: Backend("numpy-readonly", _namespace("numpy"), writeable=False),
    "array-api-strict": _array_api_strict,
    "torch": _torch,
    "jax": _jax,
    "cupy": _cupy,
}
FULL = {"torch", "jax"}  # not pinned, slow to import: `make test` stays quick without them
