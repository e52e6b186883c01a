r"""Array libraries: the one file that names them.

An array carries its library. Public functions ask `array_namespace(*arrays)` for it, private ones take
`xp`, and everything in between is the array API standard. Nothing here is a switch, and no library is
imported before somebody asks for it by name or hands in one of its arrays.

>>> xp = namespace("numpy")
>>> to_numpy(to_backend([1.0, 2.0], xp=xp, dtype="float32"))
array([1., 2.], dtype=float32)
"""

import functools
import importlib
from typing import Any, TypeVar

import array_api_compat
import numpy as np
from array_api_compat import array_namespace, device

from locoprop_ref import checks

__all__ = [
    "BACKENDS", "array_namespace", "check_regular", "describe_device", "device", "device_bytes", "dtype_name",
    "free_device_reserve", "namespace", "on_host", "one_blas_thread", "solve_positive_definite",
    "synchronize", "to_backend", "to_numpy",
]  # fmt: skip

T = TypeVar("T")

# name: module to import, what to install
BACKENDS = {
    "numpy": ("numpy", "numpy"),
    "cupy": ("cupy", "locoprop-ref[cuda12] or locoprop-ref[cuda13]"),
    "array-api-strict": ("array_api_strict", "array-api-strict"),
    "torch": ("torch", "torch"),
    "jax": ("jax.numpy", "jax"),
}


def namespace(name: str) -> Any:
    """Return the array namespace of a library by its name.

    Args:
        name: one of `BACKENDS`.

    Raises:
        ValueError: the name is unknown, the library is not installed, or `cupy` finds no GPU.
    """
    module, install = BACKENDS[checks.one_of("backend", name, BACKENDS)]
    try:
        library = importlib.import_module(module)
    except ImportError as error:
        raise ValueError(
            f"backend {name!r} needs the package {install}, which cannot be imported here"
        ) from error
    if name == "cupy" and not _has_gpu(library):
        raise ValueError("backend 'cupy' needs an NVIDIA GPU with a working driver, and none was found here")
    return array_namespace(library.zeros(1))


def _has_gpu(cupy: Any) -> bool:
    try:
        return bool(cupy.cuda.runtime.getDeviceCount())
    except cupy.cuda.runtime.CUDARuntimeError:
        return False


def to_backend(values: Any, *, xp: Any, dtype: str | None = None, device: Any = None) -> Any:
    """Copy numbers (a NumPy array, a list) into an array of the library `xp`, in the dtype of that name.

    Raises:
        TypeError: xp is no namespace of arrays.
        ValueError: eight bytes a number, and JAX is without them.
    """
    if not hasattr(xp, "asarray"):
        raise TypeError(
            f"xp must be a namespace of arrays, as namespace('numpy') returns, got {checks.shown(xp)}"
        )
    host = np.array(values, dtype=dtype)
    if "jax" in xp.__name__ and host.dtype.itemsize == 8 and not _jax_has_64_bits():
        raise ValueError(
            f"dtype must be float32 while JAX is without 64 bits, got {host.dtype} (JAX_ENABLE_X64=1)"
        )
    return xp.asarray(host, dtype=getattr(xp, host.dtype.name), device=device)


def _jax_has_64_bits() -> bool:
    return bool(importlib.import_module("jax").config.jax_enable_x64)


def to_numpy(array: Any) -> np.ndarray:
    """Copy an array of any library to the host, as NumPy's own: the only way out of a device."""
    if array_api_compat.is_cupy_array(array):
        return array.get()
    if array_api_compat.is_torch_array(array):
        return array.detach().cpu().numpy()
    if not isinstance(array, np.ndarray) and hasattr(array, "to_device"):
        xp = array_namespace(array)
        array = array.to_device(xp.__array_namespace_info__().default_device())
    return np.asarray(array)


def on_host(array: Any) -> bool:
    """Tell whether the array is NumPy's own, so that NumPy- and SciPy-only short cuts may serve it."""
    return array_api_compat.is_numpy_array(array)


def describe_device(xp: Any) -> str:
    """Return the device that a library's new arrays live on, in words."""
    example = xp.zeros(1)
    if array_api_compat.is_cupy_array(example):
        return str(xp.cuda.runtime.getDeviceProperties(xp.cuda.Device().id)["name"].decode())
    return str(device(example))


def synchronize(array: Any) -> None:
    """Wait until the device has computed the array, so that a clock read afterwards tells the truth."""
    if array_api_compat.is_cupy_array(array):
        array.device.synchronize()
    elif array_api_compat.is_jax_array(array):
        array.block_until_ready()
    elif array_api_compat.is_torch_array(array) and array.is_cuda:
        importlib.import_module("torch").cuda.synchronize()


def dtype_name(array: Any) -> str:
    """Return 'float32' or 'float64' for an array of any library.

    Raises:
        TypeError: it is no array.
    """
    if not hasattr(array, "dtype"):
        raise TypeError(f"array must be an array of an array-API library, got {checks.shown(array)}")
    return str(array.dtype).rpartition(".")[2]


def device_bytes(xp: Any) -> int | None:
    """Return the bytes that the memory pool of a GPU holds, the most its arrays took; None on the host."""
    pool = _device_pool(xp)
    return None if pool is None else int(pool.total_bytes())


def free_device_reserve(xp: Any) -> int | None:
    """Give back what a GPU's memory pool has in reserve; return the bytes of arrays, None on the host."""
    pool = _device_pool(xp)
    if pool is None:
        return None
    pool.free_all_blocks()
    return int(pool.used_bytes())


def _device_pool(xp: Any) -> Any:
    if not array_api_compat.is_cupy_array(xp.zeros(1)):
        return None
    return importlib.import_module("cupy").get_default_memory_pool()


def identity_plus(factor: float, A: Any, xp: Any) -> Any:
    """Return I + factor·A for a positive semidefinite A, or a stack of them; A is overwritten.

    Raises:
        numpy.linalg.LinAlgError: factor·A is so large that adding I does not change its digits.
    """
    check_regular(factor, A, xp)
    A *= factor
    A += xp.eye(A.shape[-1], dtype=A.dtype, device=device(A))
    return A


def check_regular(factor: float, A: Any, xp: Any) -> None:
    """Check that a system I + factor·A is regular after rounding too: factor·trace(A) < 1/eps.

    The trace bounds the largest eigenvalue, so that below the bound no eigenvalue of the sum is rounded to 0.
    On a device the trace is a number to wait for; there only a factor of 1/√eps and more is looked at, as it
    takes inputs of that size to come to the bound with a smaller one.

    Args:
        factor: at least 0.
        A: (d, d), positive semidefinite, or a stack of them.
        xp: its array namespace.

    Raises:
        numpy.linalg.LinAlgError: it is not.
    """
    eps = float(xp.finfo(A.dtype).eps)
    if factor < eps**-0.5 and not on_host(A):
        return
    size = factor * float(xp.max(xp.linalg.trace(A)))
    if not size * eps < 1:  # so that nan is refused too
        of = "its numbers are too large, or nan or infinity is among them"
        raise np.linalg.LinAlgError(f"a system I + A is singular in {dtype_name(A)}: {of}")


def solve_positive_definite(A: Any, b: Any, *, xp: Any, smallest_threaded: int = 2000) -> Any:
    """Solve A z = b for a symmetric positive definite A: by Cholesky where the library offers it.

    The standard has no triangular solve, so that other libraries go through `linalg.solve`.

    Args:
        A: (d, d), symmetric positive definite; it may be overwritten.
        b: (d, n).
        xp: array namespace of both.
        smallest_threaded: on the host, a smaller d than this is solved with one BLAS thread. SciPy has a BLAS
            of its own, and its threads and those of NumPy's wait for each other where the two take turns: on
            two cores, X̃ᵀX̃ and its Cholesky solve took 8 ms with d = 157, and 1 ms with one thread; up to
            d = 2000, the default, one thread was never slower.

    Raises:
        numpy.linalg.LinAlgError: A is not positive definite after rounding (CuPy and JAX return nan instead).
    """
    try:
        if not on_host(A):
            return xp.linalg.solve(A, b)
        if A.shape[0] < smallest_threaded:
            with one_blas_thread():
                return _cholesky_solve(A, b)
        return _cholesky_solve(A, b)
    except (np.linalg.LinAlgError, RuntimeError) as error:  # PyTorch's error of this name is a RuntimeError
        if not type(error).__name__.endswith("LinAlgError"):
            raise
        wanted = "its numbers are too far apart, or nan or infinity is among them"
        raise np.linalg.LinAlgError(
            f"a system of {A.shape[0]} equations is not positive definite in {dtype_name(b)}: {wanted}"
        ) from error


def _cholesky_solve(A: Any, b: Any) -> Any:
    from scipy.linalg import cho_factor, cho_solve

    return cho_solve(cho_factor(A, lower=True, overwrite_a=True, check_finite=False), b, check_finite=False)


def one_blas_thread() -> Any:
    """Return a context in which every BLAS library of the host computes with one thread."""
    return _thread_pools().limit(limits=1, user_api="blas")


@functools.cache
def _thread_pools() -> Any:
    from threadpoolctl import ThreadpoolController

    importlib.import_module("scipy.linalg")  # brings a BLAS of its own, for Cholesky
    return ThreadpoolController()  # finds the loaded BLAS libraries, once: it takes milliseconds
