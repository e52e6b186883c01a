r"""FOOF: gradient descent on neurons; K-FAC with λ on A alone and the identity for the inverse of G.

    v ← μv + (A + λI)⁻¹ ∂L/∂W̃,    W̃ ← W̃ − r·s·v

A is the running average of X̃ᵀX̃/B (`kronecker.py`). On this batch alone (decay 0, intervals 1, no momentum) it
is LocoProp-S in closed form: with s = γ/B and λ = 1/(ηB),

    s(A + λI)⁻¹ ∂L/∂W̃ = γ(X̃ᵀX̃ + I/η)⁻¹ X̃ᵀg = ηγ(I + ηX̃ᵀX̃)⁻¹ X̃ᵀg.

Source: Benzing, "Gradient Descent on Neurons and its Link to Approximate Second-order Optimization", ICML
2022 (arXiv 2201.12250).
"""

from dataclasses import dataclass
from typing import Any

from locoprop_ref import checks
from locoprop_ref.backend import array_namespace, device
from locoprop_ref.methods.base import State
from locoprop_ref.methods.gradient import GradientMethod
from locoprop_ref.methods.kronecker import damped_inverse, input_factor, running_average
from locoprop_ref.optimizers import Momentum


@dataclass(frozen=True)
class FOOF(GradientMethod):
    """FOOF with momentum; its inverse may be kept for some steps.

    Args:
        learning_rate: s > 0; default 0.1.
        damping: λ > 0; default 0.01. Both are those of `locoprop_s_closed` (γ = 100, η = 0.1) at B = 1000.
        momentum: μ, 0 ≤ μ < 1; default 0, a first guess, untuned.
        factor_decay: of the running average, 0 ≤ decay < 1; default 0.95 (that of K-FAC, Martens and Grosse
            2015). 0: this batch alone, which both tuned settings chose: at 0.95 and this learning rate a
            CURVES autoencoder diverged.
        factor_interval: update A every `factor_interval` batches; default 1.
        inverse_interval: compute the inverse every `inverse_interval` steps and keep it in between; default
            1. Kept for five steps it was no longer that of the inputs: a CURVES autoencoder's loss exploded.
        parallel_layers: the layers side by side (default True, for the reason given in `LocoProp`).

    Raises:
        ValueError, TypeError: a setting out of its range.

    >>> FOOF(damping=0.1).learning_rate
    0.1
    """

    learning_rate: float = 0.1
    damping: float = 1e-2
    momentum: float = 0.0
    factor_decay: float = 0.95
    factor_interval: int = 1
    inverse_interval: int = 1
    parallel_layers: bool = True

    def __post_init__(self) -> None:
        checks.keep(self, checks.positive, "learning_rate", "damping")
        checks.keep(self, checks.fraction, "momentum", "factor_decay")
        checks.keep(self, checks.integer, "factor_interval", "inverse_interval")
        checks.keep(self, checks.boolean, "parallel_layers")

    @property
    def preconditioner(self) -> "InputPreconditioner":
        """(A + λI)⁻¹."""
        return InputPreconditioner(
            self.damping, self.factor_decay, self.factor_interval, self.inverse_interval
        )

    @property
    def optimizer(self) -> Momentum:
        """V ← μv + Δ, W̃ ← W̃ − r·s·v."""
        return Momentum(self.momentum)


@dataclass(frozen=True)
class InputPreconditioner:
    """Δ = (A + λI)⁻¹ ∇, A the running average of X̃ᵀX̃/B; the arguments are those of `FOOF`."""

    damping: float
    factor_decay: float
    factor_interval: int
    inverse_interval: int

    def init(self, W: Any) -> State:
        """Return A and its inverse, zeros."""
        xp, d = array_namespace(W), W.shape[0]
        zeros = xp.zeros((d, d), dtype=W.dtype, device=device(W))
        return {"A": zeros, "A_inverse": zeros}

    def update(
        self, gradient: Any, x: Any, g: Any, state: State, step: int, num_examples: int
    ) -> tuple[Any, State]:
        """Return (Δ, state); A and its inverse are renewed in the steps in which they are due."""
        A, A_inverse = state["A"], state["A_inverse"]
        if step % self.factor_interval == 0:
            count = step // self.factor_interval + 1
            A = running_average(A, input_factor(x, num_examples), count, self.factor_decay)
        if step % self.inverse_interval == 0:
            A_inverse = damped_inverse(A, self.damping)
        return A_inverse @ gradient, {"A": A, "A_inverse": A_inverse}
