"""The array libraries as the tests see them, opened on request."""

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
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
    return Backend("cupy", _namespace("cupy"))


def has_gpu() -> bool:
    """Whether CuPy is installed and finds a GPU."""
    if find_spec("cupy") is None:
        return False
    import cupy

    try:
        return bool(cupy.cuda.runtime.getDeviceCount() > 0)
    except cupy.cuda.runtime.CUDARuntimeError:
        return False


# "numpy" holds arrays that refuse to be written into: code that changes its arguments fails in every test.
OPEN: dict[str, Callable[[], Any]] = {
    "numpy": lambda: Backend("numpy", _namespace("numpy"), writeable=False),
    "numpy-writeable": lambda: Backend("numpy-writeable", _namespace("numpy")),
    "array-api-strict": _array_api_strict,
    "torch": _torch,
    "jax": _jax,
    "cupy": _cupy,
}
NAMES = [name for name in OPEN if name != "cupy" or has_gpu()]
SLOW = {"torch", "jax"}  # not pinned and slow to import: `make test` runs without them
IN_FULL = {"numpy", "cupy"}  # every case of a test runs on these, and a few of them on the other libraries


def cases_to_run(cases: Sequence[Mapping[str, str | int]], function: str) -> list[int]:
    """Choose the cases of one test function that run, by their indices in order.

    NumPy and CuPy run all cases. Every other library runs one case for each value of the arguments that the
    test's mark `each` names, or a single case where it has no such mark. Among several that would do, a
    checksum of the test's name decides: the choice is the same in every run, and all tests together see every
    dtype, loss and setting. `tests/test_backends.py` checks that every function is called on every library.

    Args:
        cases: for every case its "backend", and a number for the value of each argument named by `each`.
        function: the name of the test function.
    """
    kept = [i for i, case in enumerate(cases) if case["backend"] in IN_FULL]
    groups: dict[str, list[int]] = {}
    for i, case in enumerate(cases):
        if case["backend"] not in IN_FULL:
            groups.setdefault("/".join(map(str, (function, *case.values()))), []).append(i)
    kept += [members[zlib.crc32(key.encode()) % len(members)] for key, members in groups.items()]
    return sorted(kept)
