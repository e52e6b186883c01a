"""The stored settings that fit a single run: what `locoprop-ref train --tuned` takes.

>>> tuned_for("kfac", data="curves").settings["damping"]
0.015
"""

from dataclasses import dataclass
from typing import Any

from locoprop_ref import checks
from locoprop_ref.experiments.tuned import ENTRIES, FAST, FASTEST, PROBLEMS, provenance
from locoprop_ref.methods.options import default_optimizer
from locoprop_ref.methods.registry import METHODS

KINDS = ("best", "fast")


@dataclass(frozen=True)
class TunedFor:
    """Stored settings: the entry and the problem they were searched for, and what that problem was."""

    entry: str
    problem: str
    settings: dict[str, Any]
    searched_on: dict[str, Any]

    def describe(self) -> str:
        """Return one line: where the settings come from, and what they are.

        >>> tuned_for("kfac", data="curves").describe()
        'tuned on curves (784-100-50-6-50-100-784, batch 500): learning_rate 0.659, ..., inverse_interval 5'
        """
        on = f"{self.searched_on['layers']}, batch {self.searched_on['batch_size']}"
        values = ", ".join(f"{name} {value}" for name, value in self.settings.items())
        return f"tuned on {self.problem} ({on}): {values}"


def tuned_for(
    method: str,
    *,
    data: str,
    optimizer: str | None = None,
    task: str = "autoencode",
    layers: Any = None,
    kind: str = "best",
) -> TunedFor:
    """Return the stored settings for a run.

    An autoencoder takes those of its data set, whatever its layers; a network that classifies takes those of
    a network with the same layers.

    Args:
        method: one of `METHODS`.
        data: name of the data set.
        optimizer: of the method; None (default) is the method's own.
        task: "autoencode" (default) or "classify".
        layers: of a network that classifies; default None: the data set's classic network.
        kind: one of `KINDS`: "best" (default), the settings of the least loss, or "fast", those of the fewest
            seconds to a target loss, with the number of epochs and the length of the schedule that they need.

    Raises:
        ValueError: nothing is stored for such a run; the sentence says what is.
    """
    checks.one_of("method", method, METHODS)
    entry = _entry(method, optimizer or default_optimizer(method))
    if checks.one_of("tuned", kind, KINDS) == "fast":
        entry = f"{entry}{FAST}" if entry in FASTEST else None
    stored = [
        (problem, record)
        for problem in PROBLEMS
        if entry is not None and (record := provenance(entry, problem)) is not None
    ]
    for problem, record in stored:
        of = record["problem"]
        same_task = of.get("task", "autoencode") == task
        if of["data"] == data and same_task and (task == "autoencode" or of["layers"] == layers):
            return TunedFor(str(entry), problem, record["settings"], of)
    whose = method if kind == "best" else f"{method} ({kind})"
    known = "; ".join(_spelled(problem, record["problem"]) for problem, record in stored)
    run = f"{method}{f' with {optimizer}' if optimizer else ''} on {data}"
    run += "" if task == "autoencode" else f" to classify with layers {layers}"
    raise ValueError(f"tuned settings of {whose} must be stored for {known or 'no run'}, got none for {run}")


def _entry(method: str, optimizer: str | None) -> str | None:
    """Return the first entry that is this method with this optimizer and nothing else."""
    for name, entry in ENTRIES.items():
        chosen = entry.options.get("optimizer", default_optimizer(method))
        if set(entry.options) <= {"method", "optimizer"} and (entry.options["method"], chosen) == (
            method,
            optimizer,
        ):
            return name
    return None


def _spelled(problem: str, of: dict[str, Any]) -> str:
    layers = f" to classify with layers {of['layers']}" if of.get("task") == "classify" else ""
    return f"{of['data']}{layers}"
