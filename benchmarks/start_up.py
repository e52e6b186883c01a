"""The time that a new user waits: for the import, the demonstration, and the tests."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.worker import REPOSITORY, without_blas_variables

IMPORT = "import time; start = time.perf_counter(); import locoprop_ref; print(time.perf_counter() - start)"


def import_seconds(times: int) -> list[float]:
    """Return the seconds of `import locoprop_ref`, including NumPy's import, each in a new interpreter."""
    return [float(_run([sys.executable, "-c", IMPORT])) for _ in range(times)]


def demo_seconds() -> float:
    """Return the seconds of one run of the demonstration."""
    with tempfile.TemporaryDirectory() as folder:
        return _seconds([sys.executable, "-m", "locoprop_ref", "demo", "--out", str(Path(folder) / "demo")])


def test_seconds() -> float:
    """Return the seconds of one run of `make test`, after its tools have been installed."""
    python = f"PYTHON={sys.executable}"
    _run(["make", "setup", python])
    return _seconds(["make", "test", python])


def _seconds(command: list[str]) -> float:
    start = time.perf_counter()
    _run(command)
    return time.perf_counter() - start


def _run(command: list[str]) -> str:
    done = subprocess.run(
        command, cwd=REPOSITORY, env=without_blas_variables(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout
