r"""The regularizer: how far a layer's weights may go from where they stand, and in which metric.

    Proximal(η)    (1/2η)‖W̃ − W̃₀‖², the paper's; η = ∞ is no regularizer, as in the authors' code

A class of your own needs the six methods of `Regularizer`, and inherits from nothing. It is convex, and least
at or near the present weights W̃₀; the bias is the last row of W̃ and is regularized like every other weight.

>>> import numpy as np
>>> W0 = np.zeros((2, 1))
>>> Proximal(0.5).gradient(np.ones((2, 1)), W0, {})
array([[2.],
       [2.]])
"""

from dataclasses import dataclass
from math import inf
from typing import Any, Protocol, runtime_checkable

from locoprop_ref import checks
from locoprop_ref.backend import array_namespace

State = dict[str, Any]


@runtime_checkable
class Regularizer(Protocol):
    """The contract of a regularizer R(W̃, W̃₀)."""

    def init(self, W0: Any) -> State:
        """Return the state of one layer before the first step; {} for a regularizer without memory."""

    def value(self, W: Any, W0: Any, state: State) -> Any:
        """Return R, a number or a 0-d array."""

    def gradient(self, W: Any, W0: Any, state: State) -> Any:
        """Return ∂R/∂W̃ in the shape of W̃, or None where it is known to vanish."""

    def metric(self, W: Any, W0: Any, state: State) -> Any:
        """Return the second derivative P: a number p ≥ 0 for pI, or a (d̃, d̃) matrix, alike for every unit."""

    def scaled(self, rate: float) -> "Regularizer":
        """Return the regularizer of a schedule's rate r > 0: the smaller r, the nearer the solution to W̃₀."""

    def update(self, x: Any, state: State) -> State:
        """Return the state after a step on the rows x̃, (R, d̃)."""


@dataclass(frozen=True)
class Proximal:
    r"""The proximal term (1/2η)‖W̃ − W̃₀‖², bias included.

    Args:
        weight_step: η > 0, or inf (default, as in the authors' code) for no regularizer.

    Raises:
        ValueError, TypeError: η is not a positive number or inf.
    """

    weight_step: float = inf

    def __post_init__(self) -> None:
        checks.keep(self, checks.positive, "weight_step", infinite=True)

    def init(self, W0: Any) -> State:
        """Return {}: it remembers nothing."""
        return {}

    def value(self, W: Any, W0: Any, state: State) -> Any:
        """Return ‖W̃ − W̃₀‖²/2η."""
        return array_namespace(W).sum((W - W0) ** 2) / (2 * self.weight_step)

    def gradient(self, W: Any, W0: Any, state: State) -> Any:
        """Return (W̃ − W̃₀)/η, or None at W̃₀ itself and for η = inf."""
        if W is W0 or self.weight_step == inf:
            return None
        return (W - W0) / self.weight_step

    def metric(self, W: Any, W0: Any, state: State) -> float:
        """Return 1/η; 0 for η = inf."""
        return 1 / self.weight_step

    def scaled(self, rate: float) -> "Proximal":
        """Return the proximal term with the step r·η."""
        return self if rate == 1 else Proximal(rate * self.weight_step)

    def update(self, x: Any, state: State) -> State:
        """Return the state unchanged."""
        return state
