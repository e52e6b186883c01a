"""What the user sees of studies: a line for every trial that ends, and a bar."""

import logging
import time
from collections.abc import Mapping
from typing import Any

from locoprop_ref.experiments.tune.study import DIVERGED, RETURNED, Search, fail_dead_trials, standing

log = logging.getLogger(__name__)

# seconds between two looks at the storage
INTERVAL = 2.0


class Progress:
    """The trials of studies that other processes may be working on too, as the storage shows them.

    Args:
        studies: search → study.
        grace: seconds, see `fail_dead_trials`.
        bar: of tqdm; it counts trials and the runs of finals.
    """

    def __init__(self, studies: Mapping[Search, Any], grace: float, bar: Any) -> None:
        self.studies, self.grace, self.bar, self.looked = studies, grace, bar, 0.0
        self.reported = {
            (search, trial.number)
            for search, study in studies.items()
            for trial in study.get_trials(deepcopy=False)
            if trial.state.is_finished()
        }
        bar.total = bar.n + self.missing()
        bar.refresh()

    def missing(self) -> int:
        """Return how many trials are still to be run."""
        return sum(max(search.trials - standing(study).finished, 0) for search, study in self.studies.items())

    def look(self, *, now: bool = False) -> None:
        """Report the trials that have ended, every few seconds at most unless `now`; fail dead ones."""
        if not now and time.monotonic() - self.looked < INTERVAL:
            return
        for search, study in self.studies.items():
            fail_dead_trials(study, self.grace)
            for trial in study.get_trials(deepcopy=False):
                if trial.state.is_finished() and (search, trial.number) not in self.reported:
                    self.reported.add((search, trial.number))
                    self._report(search, trial)
        self.looked = time.monotonic()

    def _report(self, search: Search, trial: Any) -> None:
        if RETURNED not in trial.user_attrs:
            log.info("%s trial %d: %s", search.method, trial.number, describe(trial))
            self.bar.update(trial.state.name != "FAIL")


def describe(trial: Any) -> str:
    """Return how a trial ended, in words."""
    epochs = max(trial.intermediate_values, default=0)
    loss = trial.intermediate_values.get(epochs, float("nan"))
    if trial.state.name == "FAIL":
        return "marked failed, because its process died or did not answer; it does not count"
    if DIVERGED in trial.user_attrs:
        ending = f"diverged after epoch {epochs}"
    elif trial.state.name == "PRUNED":
        ending = f"pruned after epoch {epochs} at {loss:.6g}"
    else:
        ending = f"held-out loss {loss:.6g}"
    return f"{ending}, {trial.duration.total_seconds():.1f} s"
