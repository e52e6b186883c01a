"""One measurement of a clock in a process of its own: `python -m ...measure REQUEST.json ANSWER.json`."""

import sys
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from locoprop_ref.backend import namespace
from locoprop_ref.data import load
from locoprop_ref.experiments.compare.memory import memory_of
from locoprop_ref.experiments.compare.timing import in_turn
from locoprop_ref.experiments.pool import begin_as_child
from locoprop_ref.training.environment import environment
from locoprop_ref.training.options import from_json


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
        return Answer({name: memory_of(config, data) for name, config in configs.items()})
    steps, failures = in_turn(configs, data)
    return Answer(steps, failures, environment(first.backend, namespace(first.backend)))


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
