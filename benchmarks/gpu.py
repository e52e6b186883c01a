"""What a GPU alone can show, in one go and one table: `python -m benchmarks gpu`, or `benchmarks/gpu.sh`.

The device's own rate in matrix products; a step of every method with its layers on streams, in order, and as
a CUDA graph that is replayed, against PyTorch eager, compiled, and as a CUDA graph; the memory pool over a
thousand steps; the local optimizer as one fused kernel; the tests on CuPy; and as many epochs of the paper's
comparison as the time allows. Without a GPU the rows are the same: the step runs on NumPy, and what needs a
GPU says so. A part that fails is one row with its reason, and the others go on.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from benchmarks.gpu_steps import STEPS, Machine, NeedsGPU, fused_gain, machine, matrix_rate, pool_bytes
from benchmarks.measure import median
from benchmarks.problem import METHODS, Problem, to_dict
from benchmarks.results import save
from benchmarks.scaling import multiplications
from locoprop_ref.backend import describe_device
from locoprop_ref.training.environment import environment
from locoprop_ref.training.run_file import read_run

REPOSITORY = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Row:
    """A line of the table: what was measured, the number with its unit, and what explains it."""

    what: str
    value: float | None
    unit: str = ""
    note: str = ""

    def __str__(self) -> str:
        number = "-" if self.value is None else f"{self.value:.4g}"
        return f"{self.what:58}{number:>12} {self.unit:9} {self.note}".rstrip()


def run(
    *,
    rounds: int = 20,
    backend: str = "cupy",
    minutes: float = 9.0,
    problem: Problem | None = None,
    folder: Path | None = None,
    tests: str = "cupy",
    comparison: Path = Path("gpu-comparison"),
) -> None:
    """Measure everything within the minutes, and save and print the table.

    Args:
        rounds: measurements of each step.
        backend: "cupy", or "numpy" to try the form without a GPU.
        minutes: after which no new part begins, and the comparison of the paper is told to end.
        problem: default the standard autoencoder.
        folder: of the result; default benchmarks/results.
        tests: what `pytest -k` selects.
        comparison: results folder of the paper's comparison, which a later call goes on with.
    """
    end, problem = time.perf_counter() + 60 * minutes, problem or Problem()
    on = machine(backend)
    parts: dict[str, Callable[[], Iterator[Row]]] = {
        "matrix products": partial(_rate, on),
        **{name: partial(_steps, on, problem, name, rounds) for name in METHODS},
        "memory": partial(_pool, on, problem),
        "fused kernels": partial(_fused, on, problem, rounds),
        "tests": partial(_tests, tests, end),
        "the paper's comparison": partial(_comparison, backend, comparison, end),
    }
    rows: list[Row] = []
    for name, part in parts.items():
        for row in _measured(name, part, end):
            print(row, flush=True)
            rows.append(row)
    title = f"{describe_device(on.xp)}, {backend}: milliseconds are of a step of the standard autoencoder"
    text = "\n".join([title, *map(str, rows)])
    result = {
        "backend": backend, "problem": to_dict(problem), "rows": [asdict(row) for row in rows],
        "environment": environment(backend, on.xp),
    }  # fmt: skip
    save("gpu", result, text, *([] if folder is None else [folder]))


def _measured(name: str, part: Callable[[], Iterator[Row]], end: float) -> Iterator[Row]:
    """Yield the rows of a part; one row with the reason where it fails or its time is over."""
    if time.perf_counter() > end:
        yield Row(name, None, note="no time was left (--minutes)")
        return
    try:
        yield from part()
    except NeedsGPU as needs:
        yield Row(name, None, note=str(needs))
    except Exception as error:  # a part that fails takes no other part with it
        yield Row(name, None, note=f"failed: {type(error).__name__}: {' '.join(str(error).split())[:150]}")


def _rate(on: Machine) -> Iterator[Row]:
    yield Row("matrix products of 4096, float32", matrix_rate(on) / 1e12, "TFLOP/s", "the rate below")


def _steps(on: Machine, problem: Problem, method: str, rounds: int) -> Iterator[Row]:
    """Yield the milliseconds of a step in every way, measured in turn, and what they are of the rate."""
    runs, floating = {}, 2 * multiplications(problem, method)
    for name, prepare in STEPS.items():
        try:
            step = prepare(on, problem, method)
            step()  # what is compiled is compiled now
            runs[name] = step
        except NeedsGPU as needs:
            yield Row(f"{method}, {name}", None, note=str(needs))
        except Exception as error:
            reason = " ".join(str(error).split())[:150]
            yield Row(f"{method}, {name}", None, note=f"failed: {type(error).__name__}: {reason}")
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, step in runs.items():
            seconds[name].append(on.seconds(step))
    rate = matrix_rate(on)
    for name, found in seconds.items():
        middle = median(found)
        share = f"{100 * floating / middle.median / rate:.0f} % of the rate"
        low, high = 1e3 * middle.low, 1e3 * middle.high
        yield Row(f"{method}, {name}", 1e3 * middle.median, "ms", f"[{low:.3g}, {high:.3g}], {share}")


def _pool(on: Machine, problem: Problem) -> Iterator[Row]:
    early, late, steps = pool_bytes(on, problem)
    yield Row("memory pool after 20 steps", early / 1e6, "MB")
    yield Row(f"memory pool after {steps} steps", late / 1e6, "MB", "flat" if late <= early else "GROWS")


def _fused(on: Machine, problem: Problem, rounds: int) -> Iterator[Row]:
    gain = fused_gain(on, problem, rounds)
    yield Row("local RMSProp as one fused kernel, time over ours", gain, "", "worth it below 0.9")


def _tests(which: str, end: float) -> Iterator[Row]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", which, "tests"]
    begun = time.perf_counter()
    left = max(end - begun, 1)
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=left, check=False)
    last = (done.stdout.strip() or done.stderr.strip() or "nothing was printed").splitlines()[-1]
    yield Row(f"pytest -k {which}", time.perf_counter() - begun, "s", last.strip("= "))


def _comparison(backend: str, comparison: Path, end: float) -> Iterator[Row]:
    """Yield how far the paper's comparison is, 99 epochs and three seeds; it goes on where it stood."""
    command = [sys.executable, "-m", "locoprop_ref", "compare", "--preset", "paper", "--backend", backend]
    before, begun = epochs_made(comparison), time.perf_counter()
    with subprocess.Popen(
        [*command, "--no-clock", "--out", str(comparison)],
        cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            _, said = process.communicate(timeout=max(end - time.perf_counter(), 1))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)  # complete epochs are kept
            _, said = process.communicate()
        else:
            if process.returncode:
                raise RuntimeError(said.strip() or f"exit status {process.returncode}")
    seconds, after = time.perf_counter() - begun, epochs_made(comparison)
    pace = None if after == before else seconds / (after - before)
    yield Row("the paper's comparison, an epoch", pace, "s", f"{after} epochs made; run again to go on")


def epochs_made(comparison: Path) -> int:
    """Return how many epochs the runs of a results folder have."""
    return sum(len(read_run(path)["epochs"]) - 1 for path in sorted(comparison.glob("*-seed?.json")))
