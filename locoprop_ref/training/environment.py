r"""What the numbers depend on besides the code: versions, array library, device, BLAS and its threads.

All of this is written into every run file, so it contains no host name and no paths.
"""

import contextlib
import importlib
import importlib.metadata
import os
import platform
import re
from typing import Any

import numpy as np

import locoprop_ref
from locoprop_ref.backend import BACKENDS, describe_device, namespace
from locoprop_ref.training.memory import keeps_freed_memory

LIBRARIES = ("numpy", "scipy", "array-api-compat", "matplotlib")
BLAS_VARIABLES = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")


def version(package: str) -> str | None:
    """Return the installed version of a package, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def blas_libraries() -> list[dict[str, Any]]:
    """Return library, version, kernel and threads of every BLAS that this process has loaded."""
    from threadpoolctl import threadpool_info

    importlib.import_module("scipy.linalg")  # has a BLAS of its own: load it, so that every call lists it
    found = [
        {
            "library": pool["internal_api"],
            "version": pool.get("version"),
            "kernel": pool.get("architecture"),
            "threads": pool["num_threads"],
        }
        for pool in threadpool_info()
        if pool["user_api"] == "blas"
    ]
    return sorted(found, key=str)  # libraries are not always loaded in the same order


def environment(backend: str, xp: Any) -> dict[str, Any]:
    """Return the environment of a run, for its run file."""
    return {
        "locoprop-ref": locoprop_ref.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "versions": {name: version(name) for name in LIBRARIES},
        "backend": {
            "name": backend,
            "version": _backend_version(backend, xp),
            "device": describe_device(xp),
        },
        "blas": blas_libraries(),
        "variables": {name: os.environ[name] for name in BLAS_VARIABLES if name in os.environ},
    }


def _backend_version(backend: str, xp: Any) -> str | None:
    return getattr(xp, "__version__", None) or version(backend)


def forced_kernel() -> str | None:
    """Return a warning if OPENBLAS_CORETYPE restricts OpenBLAS to an older kernel than the processor has."""
    forced = os.environ.get("OPENBLAS_CORETYPE", "")
    flags = _processor_flags()
    newer = {"avx512f": 3, "avx2": 2}
    best = max((rank for flag, rank in newer.items() if flag in flags), default=0)
    rank = _KERNEL_RANK.get(forced.lower())
    if rank is None or rank >= best:
        return None
    return (
        f"OPENBLAS_CORETYPE={forced} holds OpenBLAS to an older kernel than this processor has; unset it for "
        "full speed (matrix products can take twice as long)"
    )


_KERNEL_RANK = {
    "prescott": 0, "core2": 0, "penryn": 0, "nehalem": 0, "sandybridge": 1, "bulldozer": 1, "haswell": 2,
    "zen": 2, "excavator": 2, "skylakex": 3, "cooperlake": 3, "sapphirerapids": 3,
}  # fmt: skip


def _processor_flags() -> set[str]:
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as file:
        found = re.search(r"^flags\s*:\s*(.*)$", file.read(), re.MULTILINE)
        return set(found.group(1).split()) if found else set()
    return set()


def report() -> str:
    """Return what `locoprop-ref info` prints: versions, array libraries and devices, BLAS, warnings."""
    np.ones((2, 2)) @ np.ones((2, 2))  # loads NumPy's BLAS, so that it is listed
    lines = [f"locoprop-ref {locoprop_ref.__version__}, Python {platform.python_version()}"]
    lines += [f"  {name} {version(name) or 'not installed'}" for name in LIBRARIES]
    lines.append(f"machine: {platform.system()} {platform.machine()}, {os.cpu_count()} cores")
    lines.append("array libraries:")
    for name in BACKENDS:
        try:
            xp = namespace(name)
            lines.append(f"  {name:17} {_backend_version(name, xp)} on {describe_device(xp)}")
        except ValueError as error:
            lines.append(f"  {name:17} not here: {error}")
    lines.append("BLAS:")
    lines += [
        f"  {b['library']} {b['version']}, kernel {b['kernel']}, {b['threads']} threads"
        for b in blas_libraries()
    ]
    kept = "kept for the next step (glibc)" if keeps_freed_memory() else "left to the C library"
    lines.append(f"memory that a step frees: {kept}")
    warning = forced_kernel()
    return "\n".join([*lines, f"warning: {warning}"] if warning else lines)
