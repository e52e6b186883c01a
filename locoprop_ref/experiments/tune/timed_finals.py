"""The finals of a study with a budget: the best settings by loss and by seconds, on the whole network.

They are finals as the others are, at several rates and with further rounds; a run has the share of the whole
budget that its settings name, and the schedule ends with it. Beside them the package's tuned settings are
tried, with a schedule of the whole budget, and where K is searched, these with two larger steps. By loss the
least held-out loss within the budget wins; by seconds the run whose train loss comes to the target first.
"""

import hashlib
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import msgspec

from locoprop_ref.backend import namespace
from locoprop_ref.experiments.compare.records import read_record, write_json
from locoprop_ref.experiments.tune.budget import Budget
from locoprop_ref.experiments.tune.final import Outcome, rate_of
from locoprop_ref.experiments.tune.finals import FinalRun, Finals
from locoprop_ref.experiments.tune.space import Values, settings
from locoprop_ref.experiments.tune.study import Search, Study
from locoprop_ref.experiments.tune.timed import epoch_seconds, without_share
from locoprop_ref.experiments.tune.wide import few_steps
from locoprop_ref.experiments.tuned.record import Candidate
from locoprop_ref.training import examples

log = logging.getLogger(__name__)

By = Literal["seconds", "loss"]
LENGTH = ("epochs", "schedule_epochs")


class EpochClock(msgspec.Struct, frozen=True):
    """The seconds of an epoch's steps with some settings, measured once."""

    schema: Literal[1]
    settings: dict[str, Any]
    epoch_seconds: float


@dataclass(frozen=True)
class TimedOutcome(Outcome):
    """How a candidate's run ended: its loss within the budget, and its seconds to the target or None.

    Args:
        seconds: None where the target was not reached.
        by: what decides.
        lengths: epochs and schedule of the run, which belong to its settings.
    """

    seconds: float | None
    by: By
    lengths: Values

    @property
    def order(self) -> tuple[float, ...]:
        """What is least of the best outcome: by seconds, those that did not come to the target are last."""
        if self.by == "loss":
            return super().order
        return (self.seconds is None, self.seconds or 0.0, *super().order)

    def candidate(self, settings: Values) -> Candidate:
        """Return the candidate, with the length of its run in place of its share of the seconds."""
        return Candidate(without_share(settings)[0] | self.lengths, self.loss, self.seconds)


@dataclass(frozen=True)
class TimedRun(FinalRun):
    """The run of a candidate with a budget; `by` is what decides."""

    budget: Budget
    by: By

    def outcome(self) -> TimedOutcome | None:
        """Return how the run ended within the budget, None where it has not ended.

        Raises:
            ValueError, OSError: see `FinalRun.outcome`.
        """
        ended = super().outcome()
        if ended is None:
            return None
        lengths = {name: self.options[name] for name in LENGTH if self.options.get(name) is not None}
        if ended.diverged:
            return TimedOutcome(ended.loss, True, None, self.by, lengths)
        rows = (self.on_disk() or {})["epochs"]
        found = self.budget.judge(_losses_and_seconds(rows[1:]), _first(rows[0]["test"]))
        return TimedOutcome(found.loss, False, found.reached, self.by, lengths)

    def describe(self, outcome: Outcome) -> str:
        """Return how the run ended, as a line for the user."""
        reached = getattr(outcome, "seconds", None)
        there = "target not reached" if reached is None else f"target reached after {reached:.1f} s"
        return f"{super().describe(outcome)}; {there}"


def _first(losses: dict[str, float]) -> float:
    return next(iter(losses.values()))


def _losses_and_seconds(rows: list[dict[str, Any]]) -> Iterator[tuple[float, float, float]]:
    for row in rows:
        yield _first(row["test"]), _first(row["train"]), row["step_seconds"]


@dataclass(frozen=True)
class TimedFinals(Finals):
    """Finals with a budget.

    Args:
        budget: of the whole network.
        by: what decides, "seconds" or "loss".
    """

    budget: Budget
    by: By

    def choice(self, study: Study) -> Any:
        """Return the trial whose settings begin the final; by seconds None where none reached the target."""
        return study.best() if self.by == "loss" else study.fastest()

    def beside(self, study: Study) -> list[Values]:
        """Return the package's tuned settings, or those that the search began with, and few larger steps."""
        known = study.search.stored() or study.search.start()
        few = few_steps(known) if study.search.stored() else None
        return [settings(one) for one in (known, few) if one is not None]

    def run_of(self, search: Search, chosen: Values) -> FinalRun:
        """Return the run of a candidate, of the length that its share of the budget allows."""
        options, share = without_share(chosen)
        epochs = self.budget.epochs(share, self.seconds_of(search, options))
        lasting = replace(self, problem=self.problem.lasting(epochs))
        run = Finals.run_of(lasting, search, options)
        return TimedRun(run.entry, run.seed, run.options, run.out, chosen, run.sha256, self.budget, self.by)

    def seconds_of(self, search: Search, options: Values) -> float:
        """Return the seconds of an epoch with these settings, whatever their rate: measured once, and kept.

        A resumed final has the same runs therefore.
        """
        which = {name: value for name, value in options.items() if name != rate_of(search.method)}
        decides = json.dumps([search.method, search.seed, which, self.data.sha256], sort_keys=True)
        name = f"{search.method}-{hashlib.sha256(decides.encode()).hexdigest()[:12]}-clock.json"
        path = self.split().with_name(name)
        if path.exists():
            return read_record(path, "the clock of a final", EpochClock).epoch_seconds
        problem, xp = self.problem.lasting(1), namespace(self.problem.backend)
        config = problem.config(search.method, seed=search.seed, **options)
        # an epoch that cannot be timed, because a step fails, is tried once
        seconds = min(epoch_seconds(config, examples(self.data, config, xp), xp), self.budget.seconds)
        write_json(path, EpochClock(1, which, seconds))
        return seconds
