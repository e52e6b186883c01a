"""What a study with a budget found: its Pareto front, and the settings of the fewest seconds, as a record."""

import logging
from collections.abc import Mapping
from typing import Any

import msgspec

from locoprop_ref.experiments.tune.budget import PENALTY, Budget
from locoprop_ref.experiments.tune.result import command, result
from locoprop_ref.experiments.tune.space import edges, settings
from locoprop_ref.experiments.tune.study import Search, Study
from locoprop_ref.experiments.tune.timed import without_share
from locoprop_ref.experiments.tune.timed_finals import LENGTH, By
from locoprop_ref.experiments.tuned.record import Final, Frontier, Point, Tuned

log = logging.getLogger(__name__)


def point(search: Search, trial: Any) -> Point:
    """Return a trial as it is stored: its settings with the length of its training, and both objectives."""
    options, _ = without_share(settings(trial.params))
    problem = search.problem.lasting(trial.user_attrs["timed"]["epochs"])
    lengths = {name: value for name in LENGTH if (value := getattr(problem, name)) is not None}
    return Point(options | lengths, trial.values[0], trial.user_attrs["timed"]["reached"])


def fast_result(
    study: Study, sha256: str, finals: Mapping[By, Final], final_budget: Budget | None = None
) -> Tuned:
    """Return the record of a study with a budget.

    Its settings are those of the fewest seconds to the target; where nothing came to it, those of the least
    loss, and the record says so.

    Args:
        study: with the trials that it needs.
        sha256: hash of the problem's data.
        finals: by seconds, by loss; where there are none the trials themselves decide.
        final_budget: of the finals.

    Raises:
        ValueError: the study has no budget.
    """
    budget, search = study.search.budget, study.search
    if budget is None:
        raise ValueError("study must have a budget for settings of the fewest seconds, got none")
    fastest = study.fastest()
    by_seconds = finals.get("seconds")
    there = fastest is not None if not finals else by_seconds is not None and reached(by_seconds)
    chosen = fastest if fastest is not None and there else study.best()
    final = finals.get("seconds" if there else "loss")
    alone = next(iter(finals)) if len(finals) == 1 and fastest is not None else None
    record = result(study, sha256)
    about = msgspec.structs.replace(
        record.study,
        edges=edges(chosen.params, search.space),
        command=command(search, record.study.trials, final=final is not None, final_by=alone or "both"),
    )
    return msgspec.structs.replace(
        record,
        settings=final.candidates[final.chosen].settings if final else point(search, chosen).settings,
        study=about,
        final=final if final else msgspec.UNSET,
        frontier=Frontier(
            target=budget.target,
            budget=budget.seconds,
            penalty=PENALTY,
            reached=sum(bool(t.user_attrs["timed"]["reached"]) for t in study.trials("COMPLETE")),
            chosen_by="seconds" if there else "loss",
            front=[point(search, trial) for trial in study.front()],
            final_target=final_budget.target if final_budget else None,
            final_budget=final_budget.seconds if final_budget else None,
            final_by_loss=finals.get("loss"),
        ),
    )


def reached(final: Final) -> bool:
    """Tell whether the winner of a final by seconds came to the target."""
    return isinstance(final.candidates[final.chosen].seconds, float)


def describe(record: Tuned) -> str:
    """Return what a study with a budget found, as a line for the user."""
    found = record.frontier
    if found is msgspec.UNSET:
        raise ValueError("record must be of a study with a budget, got another one")
    best = min(found.front, key=lambda p: p.loss)
    times = [p.seconds for p in found.front if p.seconds is not None]
    quickest = f"{min(times):.2f} s" if times else "no trial"
    return (
        f"{found.reached} of {record.study.complete} trials came to {found.target:.6g} within "
        f"{found.budget:.1f} s; fewest seconds: {quickest}; least loss {best.loss:.6g}"
    )
