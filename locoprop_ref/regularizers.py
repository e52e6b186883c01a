r"""The regularizer: how far a layer's weights may go from where they stand, and in which metric.

    Proximal(η)             (1/2η)‖W̃ − W̃₀‖², the paper's; η = ∞ is no regularizer, as in the authors' code
    L2Decay(η, λ)           (1/2η)‖W̃ − W̃₀‖² + (λ/2)‖W̃‖²        another anchor, and a shorter step
    DecoupledDecay(η, κ)    (1/2η)‖W̃ − (1 − κ)W̃₀‖²             another anchor
    RunningMetric(η, ρ)     ½⟨W̃ − W̃₀, P(W̃ − W̃₀)⟩               P remembers the inputs of past batches

A class of your own needs the six methods of `Regularizer`, and inherits from nothing. It is convex, and least
at or near the present weights W̃₀; the bias is the last row of W̃ and is regularized like every other weight.

The two decays are often taken for the same thing. With the linear local loss both shrink the weights and add
a gradient step: L2Decay gives (W̃₀ − ηγ∂L/∂W̃)/(1 + ηλ), DecoupledDecay (1 − κ)W̃₀ − ηγ∂L/∂W̃. With κ =
ηλ/(1 + ηλ) they still differ in the length of the gradient step, and with any other local loss in more.

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
from locoprop_ref.backend import array_namespace, device

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


@dataclass(frozen=True)
class L2Decay:
    r"""The proximal term and L2 decay, (1/2η)‖W̃ − W̃₀‖² + (λ/2)‖W̃‖², bias included.

    Up to a constant it is a proximal term with another anchor and a shorter step,

        (1/2η′)‖W̃ − A‖²,        A = W̃₀/(1 + ηλ),  η′ = η/(1 + ηλ),

    while the target is still taken at W̃₀. To first order the data term of a local problem is γ times the
    network loss, so that λ here stands for a penalty (λ/2γ)‖W̃‖² on L.

    Args:
        weight_step: η > 0, or inf (default) for no proximal term.
        decay: λ ≥ 0, default 1e-4, a usual value.

    Raises:
        ValueError, TypeError: η or λ out of its range.

    >>> import numpy as np
    >>> L2Decay(weight_step=1.0, decay=0.5).gradient(np.ones((1, 1)), np.zeros((1, 1)), {})
    array([[1.5]])
    """

    weight_step: float = inf
    decay: float = 1e-4

    def __post_init__(self) -> None:
        checks.keep(self, checks.positive, "weight_step", infinite=True)
        checks.keep(self, checks.not_negative, "decay")

    def init(self, W0: Any) -> State:
        """Return {}: it remembers nothing."""
        return {}

    def value(self, W: Any, W0: Any, state: State) -> Any:
        """Return ‖W̃ − W̃₀‖²/2η + λ‖W̃‖²/2."""
        xp = array_namespace(W)
        return xp.sum((W - W0) ** 2) / (2 * self.weight_step) + self.decay / 2 * xp.sum(W * W)

    def gradient(self, W: Any, W0: Any, state: State) -> Any:
        """Return (W̃ − W̃₀)/η + λW̃."""
        if W is W0:  # no 0/η, which is 0/0 for η below the smallest number of the dtype
            return self.decay * W
        return (W - W0) / self.weight_step + self.decay * W

    def metric(self, W: Any, W0: Any, state: State) -> float:
        """Return 1/η + λ."""
        return 1 / self.weight_step + self.decay

    def scaled(self, rate: float) -> "L2Decay":
        """Return it with the step r·η; λ, a part of the objective, stays."""
        return self if rate == 1 else L2Decay(rate * self.weight_step, self.decay)

    def update(self, x: Any, state: State) -> State:
        """Return the state unchanged."""
        return state


@dataclass(frozen=True)
class DecoupledDecay:
    r"""Decoupled decay as an anchor, (1/2η)‖W̃ − (1 − κ)W̃₀‖², bias included.

    With the linear local loss W̃ = (1 − κ)W̃₀ − ηγ∂L/∂W̃: the weights decay by a share that has nothing to do
    with the length of the step (Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019).

    Args:
        weight_step: η > 0, finite.
        decay: κ, 0 ≤ κ < 1, the share of every weight that decays in one step; default 1e-4.

    Raises:
        ValueError, TypeError: η or κ out of its range.

    >>> import numpy as np
    >>> DecoupledDecay(weight_step=0.5, decay=0.25).gradient(np.zeros((1, 1)), np.ones((1, 1)), {})
    array([[-1.5]])
    """

    weight_step: float
    decay: float = 1e-4

    def __post_init__(self) -> None:
        checks.keep(self, checks.positive, "weight_step")
        checks.keep(self, checks.fraction, "decay")

    def init(self, W0: Any) -> State:
        """Return {}: it remembers nothing."""
        return {}

    def value(self, W: Any, W0: Any, state: State) -> Any:
        """Return ‖W̃ − (1 − κ)W̃₀‖²/2η."""
        return array_namespace(W).sum((W - (1 - self.decay) * W0) ** 2) / (2 * self.weight_step)

    def gradient(self, W: Any, W0: Any, state: State) -> Any:
        """Return (W̃ − (1 − κ)W̃₀)/η."""
        return (W - (1 - self.decay) * W0) / self.weight_step

    def metric(self, W: Any, W0: Any, state: State) -> float:
        """Return 1/η."""
        return 1 / self.weight_step

    def scaled(self, rate: float) -> "DecoupledDecay":
        """Return it with the step r·η and the decay r·κ, as a schedule scales both."""
        return self if rate == 1 else DecoupledDecay(rate * self.weight_step, rate * self.decay)

    def update(self, x: Any, state: State) -> State:
        """Return the state unchanged."""
        return state


@dataclass(frozen=True)
class RunningMetric:
    r"""A metric with memory, ½⟨W̃ − W̃₀, P(W̃ − W̃₀)⟩ with P = I/η + Σ ρ^age X̃ᵀX̃ over the **past** batches.

    The present batch is not part of P: the data term of the squared local loss adds its X̃ᵀX̃. After t batches
    the closed form is therefore

        W̃ − W̃₀ = −γ (A_t + I/η)⁻¹ X̃ᵀg,        A_t = ρA_{t−1} + X̃ᵀX̃:

    ρ < 1 is FOOF with its running covariance; ρ = 1, γ = B, on one linear layer with the squared error, is
    recursive least squares: after every batch W̃ is the ridge regression on all rows so far, with the penalty
    (1/2η)‖W̃ − W̃_init‖². The sums belong to the reduction "sum"; with "mean" the past weighs B times more.

    Args:
        weight_step: η > 0, finite: 1/η is the ridge, which keeps P positive definite.
        decay: ρ, 0 ≤ ρ ≤ 1, the share of the past that a batch keeps; default 1, nothing is forgotten.

    Raises:
        ValueError, TypeError: η or ρ out of its range.

    >>> import numpy as np
    >>> rule = RunningMetric(weight_step=1.0, decay=0.5)
    >>> state = rule.update(np.ones((4, 1)), rule.init(np.zeros((1, 1))))  # A = 4
    >>> rule.metric(None, None, state)
    array([[3.]])
    """

    weight_step: float
    decay: float = 1.0

    def __post_init__(self) -> None:
        checks.keep(self, checks.positive, "weight_step")
        checks.keep(self, checks.not_negative, "decay")
        if self.decay > 1:
            raise ValueError(f"decay must be at least 0 and at most 1, got {self.decay}")

    def init(self, W0: Any) -> State:
        """Return A = 0, (d̃, d̃)."""
        checks.array("W0", W0, ndim=2)
        d, xp = W0.shape[0], array_namespace(W0)
        return {"gram": xp.zeros((d, d), dtype=W0.dtype, device=device(W0))}

    def value(self, W: Any, W0: Any, state: State) -> Any:
        """Return ½⟨W̃ − W̃₀, P(W̃ − W̃₀)⟩."""
        change = W - W0
        return array_namespace(W).sum(change * (self.metric(W, W0, state) @ change)) / 2

    def gradient(self, W: Any, W0: Any, state: State) -> Any:
        """Return P(W̃ − W̃₀), or None at W̃₀ itself."""
        return None if W is W0 else self.metric(W, W0, state) @ (W - W0)

    def metric(self, W: Any, W0: Any, state: State) -> Any:
        """Return P = I/η + ρA, (d̃, d̃)."""
        gram = state["gram"]
        xp = array_namespace(gram)
        ridge = xp.eye(gram.shape[0], dtype=gram.dtype, device=device(gram)) / self.weight_step
        return self.decay * gram + ridge

    def scaled(self, rate: float) -> "RunningMetric":
        """Return it with the ridge of the step r·η; what it remembers stays."""
        return self if rate == 1 else RunningMetric(rate * self.weight_step, self.decay)

    def update(self, x: Any, state: State) -> State:
        """Return A ← ρA + X̃ᵀX̃."""
        return {"gram": self.decay * state["gram"] + x.T @ x}
