"""One measurement of a clock in a process of its own: `python -m ...measure REQUEST.json ANSWER.json`."""

import sys
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from msgspec import Struct

from locoprop_ref.backend import namespace
from locoprop_ref.data import load
from locoprop_ref.experiments.compare.memory import (
    array_bytes,
    counted_numbers,
    parameter_numbers,
    peak_bytes,
)
from locoprop_ref.experiments.compare.timing import Training, in_turn, interval
from locoprop_ref.experiments.pool import begin_as_child
from locoprop_ref.training import examples
from locoprop_ref.training.environment import environment
from locoprop_ref.training.options import Config, from_json


class Request(Struct, frozen=True):
    """What to measure: seconds of a step, of all entries in turn, or memory of a step."""

    what: Literal["step", "memory"]
    configs: dict[str, dict[str, Any]]
    data_dir: str | None = None


class Answer(Struct, frozen=True):
    """What was found of each entry, or why nothing was; and the environment of the process."""

    found: dict[str, dict[str, Any]] = {}
    failures: dict[str, str] = {}
    environment: dict[str, Any] = {}


def answer(request: Request) -> Answer:
    """Measure what is asked for."""
    configs = {name: from_json(values) for name, values in request.configs.items()}
    first = next(iter(configs.values()))
    data = load(first.data, data_dir=request.data_dir)
    if request.what == "memory":
        return Answer({name: _memory(config, data) for name, config in configs.items()})
    steps, failures = in_turn(configs, data)
    return Answer(steps, failures, environment(first.backend, namespace(first.backend)))


def _memory(config: Config, dataset: Any) -> dict[str, Any]:
    """Return "memory" of a clock file: of a whole interval of steps, after the first."""
    xp = namespace(config.backend)
    data = examples(dataset, config, xp)
    training = Training(config, data, xp)
    training.step()  # the first step imports SciPy, megabytes that are not the step's
    state_bytes = array_bytes(training.state)
    del training
    peak = peak_bytes(lambda: Training(config, data, xp).step, 1, interval(config) + 1, xp)
    size, counted = np.dtype(config.dtype).itemsize, counted_numbers(config)
    return {
        "parameters": parameter_numbers(config),
        "parameter_bytes": size * parameter_numbers(config),
        "state_bytes": state_bytes,
        "peak_bytes": peak,
        "counted": counted,
        "counted_bytes": size * sum(counted.values()),
    }


def main(request: str, result: str) -> None:
    """Read a request, measure, and write the answer; what cannot be measured is one sentence."""
    begin_as_child()
    try:
        found = answer(msgspec.json.decode(Path(request).read_bytes(), type=Request))
    except (ValueError, TypeError, OSError, MemoryError) as error:
        sys.exit(" ".join(str(error).split()) or type(error).__name__)
    Path(result).write_bytes(msgspec.json.encode(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
