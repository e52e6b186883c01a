"""What the user sees of studies: a line for every trial that ends, and a bar."""

import logging
import time
from collections.abc import Sequence
from typing import Any

from locoprop_ref.experiments.tune.study import Study

log = logging.getLogger(__name__)

# seconds between two looks at the storage
INTERVAL = 2.0


class Progress:
    """The trials of studies that other processes may be working on too, as the storage shows them.

    Args:
        studies: to look at.
        bar: of tqdm; it counts trials and the runs of finals.
    """

    def __init__(self, studies: Sequence[Study], bar: Any) -> None:
        self.studies, self.bar, self.looked = studies, bar, 0.0
        self.ended = {study.search: {t.number for t in study.trials(*_ENDED)} for study in studies}

    def missing(self) -> int:
        """Return how many trials are still needed."""
        return sum(study.missing() for study in self.studies)

    def look(self, *, at_once: bool = False) -> None:
        """Mark dead trials failed, and log the trials that have ended: every few seconds, or `at_once`."""
        if not at_once and time.monotonic() - self.looked < INTERVAL:
            return
        for study in self.studies:
            study.fail_dead_trials()
            ended = self.ended[study.search]
            for trial in study.trials(*_ENDED):
                if trial.number not in ended:
                    ended.add(trial.number)
                    log.info("%s trial %d: %s", study.search.method, trial.number, describe(trial))
                    self.bar.update(trial.state.name != "FAIL")
        self.looked = time.monotonic()


_ENDED = ("COMPLETE", "PRUNED", "FAIL")


def describe(trial: Any) -> str:
    """Return how a trial ended, in words."""
    epochs = max(trial.intermediate_values, default=0)
    loss = trial.intermediate_values.get(epochs, float("nan"))
    if trial.state.name == "FAIL":
        return "marked failed, because its process died or did not answer; it does not count"
    if "diverged" in trial.user_attrs:
        ending = f"diverged after epoch {epochs}"
    elif trial.state.name == "PRUNED":
        ending = f"pruned after epoch {epochs} at {loss:.6g}"
    else:
        ending = f"held-out loss {loss:.6g}"
    return f"{ending}, {trial.duration.total_seconds():.1f} s"
