r"""Layers side by side: threads on the host, streams on a GPU.

Layers are independent of each other once their targets are set. NumPy's elementwise work runs on one core, so
that layers side by side, with one BLAS thread each, keep all cores busy; on a GPU every layer has a stream.
Threads and streams are made once and kept: a step is shorter than what making them anew would cost it.
"""

import contextvars
import functools
import importlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, TypeVar

import array_api_compat

from locoprop_ref.backend import on_host, one_blas_thread

T = TypeVar("T")

# Multiplications below which handing tasks to threads takes longer than they save. Measured with BackProp's,
# LocoProp's and K-FAC's steps on two cores: benchmarks/side_by_side.py
WORTH_THREADS = 500_000


def side_by_side(tasks: Sequence[Callable[[], T]], costs: Sequence[float], *, like: Any) -> list[T]:
    """Run independent tasks at the same time, the most costly first; return their results in order.

    On NumPy a pool of threads, one BLAS thread each. The results are those of the same tasks one after the
    other with one BLAS thread each, bit for bit. Small tasks run in order: that is quicker. On CuPy a stream
    for each task. Elsewhere in order, because those libraries schedule for themselves; and where the system
    has no further thread to give.

    Args:
        tasks: functions without arguments that share nothing they write to.
        costs: how many multiplications each takes, roughly.
        like: an array of the library that they compute with.
    """
    largest_first = sorted(range(len(tasks)), key=lambda i: -costs[i])
    if array_api_compat.is_cupy_array(like):
        return _on_streams(tasks, largest_first)
    if on_host(like) and worth_threads(costs):
        return _in_threads(tasks, largest_first)
    return [task() for task in tasks]


def worth_threads(costs: Sequence[float]) -> bool:
    """Tell from the sizes of tasks whether threads pay: whether enough is left beside the largest task.

    Args:
        costs: multiplications of each task.
    """
    return sum(costs) - max(costs, default=0) >= WORTH_THREADS


def _in_threads(tasks: Sequence[Callable[[], T]], order: Sequence[int]) -> list[T]:
    pool = _threads(os.getpid(), _cores())
    with one_blas_thread():
        # each task in a copy of this context, which holds NumPy's error settings
        try:
            runs = {i: pool.submit(contextvars.copy_context().run, tasks[i]) for i in order}
        except RuntimeError:  # this process may have no further thread
            return [task() for task in tasks]
        wait(runs.values())
    return [runs[i].result() for i in range(len(tasks))]


@functools.cache
def _threads(process: int, cores: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(cores, thread_name_prefix="layer")


def _on_streams(tasks: Sequence[Callable[[], T]], order: Sequence[int]) -> list[T]:
    """Run each task on a CuPy stream of its own that begins where the current stream stands."""
    cuda = importlib.import_module("cupy").cuda
    current, results = cuda.get_current_stream(), {}
    ready = current.record()
    for i in order:
        with _stream(cuda.Device().id, i) as stream:
            stream.wait_event(ready)
            results[i] = tasks[i]()
            current.wait_event(stream.record())
    return [results[i] for i in range(len(tasks))]


@functools.cache
def _stream(device: int, index: int) -> Any:
    """Return the stream of a layer: CuPy keeps a reserve of memory for every stream that was ever used."""
    return importlib.import_module("cupy").cuda.Stream(non_blocking=True)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
