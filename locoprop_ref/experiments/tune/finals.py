"""The final: what was best on the reduced problem, tried on the whole network before it is kept.

Momenta, decays and dampings carry over from a narrow network to a wide one; rates do not (RMSProp's, tuned
on a quarter of the width, let the whole network's loss rise again). So the best settings are trained on the
whole network with their rate times 1, ¼ and 1/16, and those that the search began with beside them. Whichever
wins, further rounds try four times or a quarter of its rate, until a larger and a smaller one were worse. The
least held-out loss is kept.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from locoprop_ref.experiments.tuned import CONTESTANTS

FACTORS = (1.0, 0.25, 0.0625)
# which option of a contestant is its rate
RATE = {name: "learning_rate" for name in CONTESTANTS} | {
    "locoprop-s": "local_lr",
    "locoprop-m": "local_lr",
    "locoprop-s-closed": "target_step",
}


def candidates(
    contestant: str, best: Mapping[str, Any], untuned: Mapping[str, Any]
) -> tuple[dict[str, Any], ...]:
    """Return the settings of the final: the best ones at three rates, then the first, unless among them.

    Args:
        contestant: one of `tuned.CONTESTANTS`.
        best: settings that were best on the reduced problem.
        untuned: those that the search began with, see `space.untuned`.

    >>> [c["learning_rate"] for c in candidates("sgd", {"learning_rate": 0.8}, {"learning_rate": 0.01})]
    [0.8, 0.2, 0.05, 0.01]
    >>> [c["learning_rate"] for c in candidates("sgd", {"learning_rate": 0.01}, {"learning_rate": 0.01})]
    [0.01, 0.0025, 0.000625]
    """
    rate = RATE[contestant]
    scaled = [dict(best) | {rate: float(f"{factor * best[rate]:.3g}")} for factor in FACTORS]
    return (*scaled, *([] if untuned in scaled else [dict(untuned)]))


def further(
    contestant: str, winner: Mapping[str, Any], tried: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, Any], ...]:
    """Return the settings of a further round: the winner's at four times its rate, at a quarter, or none.

    Args:
        contestant: one of `tuned.CONTESTANTS`.
        winner: settings that are the best so far.
        tried: all that were, the winner among them. Where one has a larger (smaller) rate, and is the winner
            otherwise, the winner is not tried with a larger (smaller) one.

    >>> further("sgd", {"learning_rate": 0.8}, [{"learning_rate": 0.8}, {"learning_rate": 0.2}])
    ({'learning_rate': 3.2},)
    >>> further("sgd", {"learning_rate": 0.2}, [{"learning_rate": r} for r in (0.8, 0.2, 0.05)])
    ()
    """
    rate = RATE[contestant]
    rates = [each[rate] for each in tried if alike(contestant, each, winner)]
    factors = [4.0] * (winner[rate] == max(rates)) + [0.25] * (winner[rate] == min(rates))
    return tuple(dict(winner) | {rate: float(f"{factor * winner[rate]:.3g}")} for factor in factors)


def alike(contestant: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Tell whether settings differ in nothing but the rate.

    >>> alike("adam", {"learning_rate": 0.1, "decay": 0.9}, {"learning_rate": 0.2, "decay": 0.9})
    True
    """
    rate = RATE[contestant]
    return dict(one) | {rate: other[rate]} == other
