"""Seconds: what a trial with two objectives has, and the loss that it should reach in them.

The first objective is the held-out loss at the end of the budget, the second one the seconds to the target
loss. Seconds are those of the steps alone: nothing is evaluated in them. A schedule belongs to its budget: a
trial has a share of the budget's seconds, which is searched too, and its schedule ends with them.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from locoprop_ref import checks
from locoprop_ref.experiments.tune.ranges import Range

# the share of the seconds in which the schedule ends. The rest is for steps that take longer than the few
# that were timed beforehand
SHARE = Range("schedule_share", 0.2, 0.95, no_edge="high")
PENALTY = (
    "a trial that does not come to the target within its budget counts with the seconds of the whole budget, "
    "and never as one that reached it"
)


@dataclass(frozen=True)
class Judged:
    """How epochs went: the last loss within the budget, the seconds to the target (or None), and all."""

    loss: float
    reached: float | None
    spent: float


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Seconds of steps, and a target loss.

    Args:
        seconds: what the steps of a trial may take.
        target: the loss that it should come to.

    Raises:
        ValueError: one of them is not a positive number.
    """

    seconds: float
    target: float

    def __post_init__(self) -> None:
        for name, value in (("budget", self.seconds), ("target", self.target)):
            checks.positive(name, value)

    def epochs(self, share: float, epoch_seconds: float) -> int:
        """Return how many epochs fit into a share of the seconds, at least one.

        >>> Budget(seconds=10, target=60.0).epochs(0.5, 0.9)
        5
        """
        return max(1, int(share * self.seconds / epoch_seconds))

    def judge(self, epochs: Iterable[tuple[float, float, float]], untrained: float) -> Judged:
        """Return how epochs went; no further one is taken once the seconds are spent.

        An epoch that ends after the budget counts for neither objective.

        Args:
            epochs: of each the loss that is minimized, the one that is held against the target, its seconds.
            untrained: the loss before the first one.

        >>> Budget(seconds=3, target=6).judge([(8, 7, 1.2), (6, 5, 1.3), (4, 3, 1.1)], untrained=9)
        Judged(loss=6, reached=2.5, spent=2.5)
        """
        loss, reached, spent = untrained, None, 0.0
        for each, held_against, seconds in epochs:
            if spent + seconds > self.seconds:
                break
            loss, spent = each, spent + seconds
            if reached is None and held_against <= self.target:
                reached = spent
        return Judged(loss, reached, spent)
