"""The final: the settings that were best on the reduced problem are tried on the whole network.

Momenta, decays and dampings carry over from a narrow network to a wide one; rates do not (with RMSProp's rate
tuned on a quarter of the width, the whole network's loss rises again). So the best settings are trained on
the whole network with their rate times 1, ¼ and 1/16, and beside them the settings that the search began with
(with a budget, the tuned ones). Then further rounds try the winner's rate times 4 and ¼, until a larger and a
smaller one were worse. The least held-out loss wins.

A final has no state of its own: `play` goes through its rounds again, from the outcomes of the runs that are
there (see `finals`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from locoprop_ref.experiments.tune.ranges import Values
from locoprop_ref.experiments.tune.space import ranges_of
from locoprop_ref.experiments.tuned.record import Candidate, Final

FACTORS = (1.0, 0.25, 0.0625)


def rate_of(method: str) -> str:
    """Return which option of a method is its rate.

    >>> rate_of("adam"), rate_of("locoprop-m"), rate_of("locoprop-s-closed")
    ('learning_rate', 'local_lr', 'target_step')
    """
    return ranges_of(method)[0].option


def candidates(method: str, best: Mapping[str, Any], beside: Sequence[Mapping[str, Any]]) -> list[Values]:
    """Return the settings of the first round: the best at three rates, and those that the search began with.

    Args:
        method: one of `tuned.ALL`.
        best: settings that were best on the reduced problem.
        beside: settings that the search began with, see `Finals.beside`.

    >>> [c["learning_rate"] for c in candidates("sgd", {"learning_rate": 0.8}, [{"learning_rate": 0.01}])]
    [0.8, 0.2, 0.05, 0.01]
    >>> [c["learning_rate"] for c in candidates("sgd", {"learning_rate": 0.01}, [{"learning_rate": 0.01}])]
    [0.01, 0.0025, 0.000625]
    """
    scaled = [_at_rate(method, best, factor) for factor in FACTORS]
    return scaled + [dict(one) for one in beside if one not in scaled]


def further(method: str, winner: Mapping[str, Any], tried: Sequence[Mapping[str, Any]]) -> list[Values]:
    """Return the settings of a further round: the winner's at four times its rate, at a quarter, or none.

    Args:
        method: one of `tuned.ALL`.
        winner: settings that are the best so far.
        tried: all settings so far, with the winner. Where one has a larger (smaller) rate, and is the winner
            otherwise, no larger (smaller) rate is tried.

    >>> further("sgd", {"learning_rate": 0.8}, [{"learning_rate": 0.8}, {"learning_rate": 0.2}])
    [{'learning_rate': 3.2}]
    >>> further("sgd", {"learning_rate": 0.2}, [{"learning_rate": r} for r in (0.8, 0.2, 0.05)])
    []
    """
    rates = [each[rate_of(method)] for each in tried if differ_in_rate_alone(method, each, winner)]
    rate = winner[rate_of(method)]
    factors = [4.0] * (rate == max(rates)) + [0.25] * (rate == min(rates))
    return [_at_rate(method, winner, factor) for factor in factors]


def differ_in_rate_alone(method: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Tell whether settings are the same, except perhaps for the rate.

    >>> differ_in_rate_alone(
    ...     "adam", {"learning_rate": 0.1, "decay": 0.9}, {"learning_rate": 0.2, "decay": 0.9}
    ... )
    True
    """
    rate = rate_of(method)
    return dict(one) | {rate: other[rate]} == other


def _at_rate(method: str, settings: Mapping[str, Any], factor: float) -> Values:
    rate = rate_of(method)
    return dict(settings) | {rate: float(f"{factor * settings[rate]:.3g}")}


@dataclass(frozen=True)
class Outcome:
    """How a candidate's run ended: its held-out loss, and whether it diverged."""

    loss: float
    diverged: bool

    @property
    def order(self) -> tuple[float, ...]:
        """What is least of the best outcome."""
        return (self.loss, self.diverged)

    def candidate(self, settings: Values) -> Candidate:
        """Return the candidate with this outcome, as it is stored."""
        return Candidate(settings, self.loss)


@dataclass(frozen=True)
class Played:
    """A final as far as its runs are there: candidates with outcomes in their order, and those without."""

    tried: list[tuple[Values, Outcome]]
    missing: list[Values]

    @property
    def chosen(self) -> int:
        """The number of the winner: the best outcome, and of equal ones the earlier."""
        outcomes = [outcome for _, outcome in self.tried]
        return min(range(len(outcomes)), key=lambda n: outcomes[n].order)

    def record(self, problem: dict[str, Any]) -> Final:
        """Return the final, at its end, as it is stored.

        Args:
            problem: the record of the final's problem.
        """
        tried = [outcome.candidate(settings) for settings, outcome in self.tried]
        return Final(problem, tried, self.chosen, tried[self.chosen].loss)


def play(
    method: str,
    best: Mapping[str, Any],
    beside: Sequence[Mapping[str, Any]],
    outcome_of: Callable[[Values], Outcome | None],
) -> Played:
    """Go through the rounds of a final until runs are missing, or until it has ended.

    Args:
        method, best, beside: see `candidates`.
        outcome_of: returns how the run of a candidate ended, or None where it has not.
    """
    tried: list[tuple[Values, Outcome]] = []
    coming = candidates(method, best, beside)
    while coming:
        found = [(settings, outcome_of(settings)) for settings in coming]
        missing = [settings for settings, outcome in found if outcome is None]
        if missing:
            return Played(tried, missing)
        tried += [(settings, outcome) for settings, outcome in found if outcome]
        winner, outcome = tried[Played(tried, []).chosen]
        coming = [] if outcome.diverged else further(method, winner, [settings for settings, _ in tried])
    return Played(tried, [])
