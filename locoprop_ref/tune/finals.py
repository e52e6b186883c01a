"""The final: what was best on the reduced problem, tried on the whole network before it is kept.

Momenta, decays and dampings carry over from a narrow network to a wide one; rates do not (RMSProp's, tuned
on a quarter of the width, let the whole network's loss rise again). So the best settings are trained on the
whole network with their rate times 1, ¼ and 1/16, and the package's own defaults beside them. Where the
largest rate wins, further rounds try four times as much each, until that is no better. The least held-out
loss is kept.
"""

from collections.abc import Mapping
from typing import Any

from locoprop_ref.tuned import CONTESTANTS

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
    """Return the settings of the final: the best ones at three rates, then the defaults, unless among them.

    Args:
        contestant: one of `tuned.CONTESTANTS`.
        best: settings that were best on the reduced problem.
        untuned: the package's defaults of the same options.

    >>> [c["learning_rate"] for c in candidates("sgd", {"learning_rate": 0.8}, {"learning_rate": 0.01})]
    [0.8, 0.2, 0.05, 0.01]
    >>> [c["learning_rate"] for c in candidates("sgd", {"learning_rate": 0.01}, {"learning_rate": 0.01})]
    [0.01, 0.0025, 0.000625]
    """
    rate = RATE[contestant]
    scaled = [dict(best) | {rate: float(f"{factor * best[rate]:.3g}")} for factor in FACTORS]
    return (*scaled, *([] if untuned in scaled else [dict(untuned)]))


def further(contestant: str, best: Mapping[str, Any], rounds: int) -> tuple[dict[str, Any], ...]:
    """Return the settings of a further round: the best ones at 4^rounds times their rate.

    Args:
        contestant: one of `tuned.CONTESTANTS`.
        best: settings that were best on the reduced problem.
        rounds: that there have been, at least 1.

    >>> further("sgd", {"learning_rate": 0.8}, 2)
    ({'learning_rate': 12.8},)
    """
    rate = RATE[contestant]
    return (dict(best) | {rate: float(f"{best[rate] / FACTORS[1] ** rounds:.3g}")},)


def edge(number: int) -> dict[str, str]:
    """Return {"rate factor": "low"} where the smallest factor won: a smaller one may be better still."""
    return {"rate factor": "low"} if number == len(FACTORS) - 1 else {}
