"""The array libraries as the tests see them, opened on request."""

import os
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
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


# Almost all the time of a test on JAX goes into XLA, which compiles every operation anew for every shape, for
# arrays of a few numbers. LLVM's optimizations and XLA's newer emitter of fused loops take more than half of
# it. The numbers differ by roundings from those of the usual compilation, which the adapter for JAX is tested
# with (`tests/oracle/test_oracle_examples.py`).
COMPILE_QUICKLY = (
    "--xla_backend_optimization_level=0",
    "--xla_llvm_disable_expensive_passes=true",
    "--xla_cpu_use_fusion_emitters=false",
    "--xla_cpu_parallel_codegen_split_count=1",
)
COMPARED_WITH = Path(__file__).resolve().parents[2] / "requirements" / "other-libraries.txt"


@contextmanager
def compile_quickly() -> Iterator[None]:
    """What makes its first array of JAX inside compiles quickly from then on; child processes as by default.

    XLA ends a process at a flag that it does not know. Therefore the flags are set for the pinned release
    alone, with which they were tried; any other compiles as it does by default.
    """
    pinned = re.search(r"^jaxlib==(\S+)$", COMPARED_WITH.read_text(encoding="utf-8"), flags=re.MULTILINE)
    with pytest.MonkeyPatch.context() as patch:
        if pinned and metadata.version("jaxlib") == pinned[1]:
            patch.setenv("XLA_FLAGS", " ".join([*COMPILE_QUICKLY, os.environ.get("XLA_FLAGS", "")]))
        yield


def _jax() -> Iterator[Backend]:
    _installed("jax")
    with compile_quickly():
        import jax

        jax.numpy.zeros(1).block_until_ready()  # XLA reads its flags now
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
