"""One peer in a separate process, so that the threads and the memory of one library do not disturb another.

The process reads one JSON object per line and answers each of them with one object. {"prepare": problem,
"method": name} builds a run and warms it up. {"measure": seconds} takes one step that is not measured, then
as many steps as fit, but at least one, and returns the seconds per step. The environment variables that
configure BLAS are removed, so that every library chooses its own kernels and threads. As in a run of this
package, the memory that a step frees stays in the process; PyTorch and JAX manage theirs.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.peers import PEERS, WIRED_PEERS, Run
from benchmarks.problem import Problem, from_dict, to_dict
from benchmarks.wired import WiredProblem
from locoprop_ref.training.memory import keep_freed_memory

REPOSITORY = Path(__file__).resolve().parent.parent
BLAS_PREFIXES = ("OPENBLAS_", "GOTO_", "OMP_", "MKL_", "BLIS_", "VECLIB_", "KMP_")


def without_blas_variables() -> dict[str, str]:
    """Return the environment without the variables that choose BLAS kernels or threads."""
    return {name: value for name, value in os.environ.items() if not name.startswith(BLAS_PREFIXES)}


class Worker(contextlib.AbstractContextManager):
    """The process of a peer, as its parent uses it."""

    def __init__(self, peer: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", peer],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            cwd=REPOSITORY, env=without_blas_variables(),
        )  # fmt: skip

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def prepare(self, problem: Problem | WiredProblem, method: str) -> dict[str, Any]:
        """Build a run, and warm it up; return the environment of the process."""
        kind = "wired" if isinstance(problem, WiredProblem) else "dense"
        return self._ask({"prepare": to_dict(problem), "kind": kind, "method": method})

    def measure(self, seconds: float) -> float:
        """Return the seconds of one step, as the mean of the steps that fit into `seconds`."""
        return self._ask({"measure": seconds})["seconds"]

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{' '.join(self._process.args[1:])} ended; its message stands above")
        return json.loads(answer)


def _measure(run: Run, seconds: float) -> float:
    run.step()
    steps, start = 0, time.perf_counter()
    while True:
        run.step()
        steps, spent = steps + 1, time.perf_counter() - start
        if spent * (steps + 1) / steps > seconds:
            return spent / steps


def _environment(library: str) -> dict[str, Any]:
    import numpy

    from locoprop_ref.training.environment import environment, version

    found = environment("numpy", numpy)
    found["versions"][library] = version(library)
    return found


def _serve(name: str) -> None:
    peer = {**PEERS, **WIRED_PEERS}[name]
    if peer.library == "numpy":
        keep_freed_memory()
    run: Run
    for line in sys.stdin:
        question = json.loads(line)
        if "prepare" in question:
            make = from_dict if question["kind"] == "dense" else lambda fields: WiredProblem(**fields)
            run = peer.prepare(make(question["prepare"]), question["method"])
            for _ in range(2):
                run.step()
            answer = _environment(peer.library)
        else:
            answer = {"seconds": _measure(run, question["measure"])}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _serve(sys.argv[1])
