r"""Shampoo: a preconditioner with one factor for each side of a layer's gradient.

The gradient ∇ = ∂L/∂W̃ of a layer is a (d̃_in, d_out) matrix, the bias as last row. Shampoo sums what it has
seen of its rows and of its columns,

    L ← L + ∇∇ᵀ, (d̃_in, d̃_in),      R ← R + ∇ᵀ∇, (d_out, d_out),      L₀ = R₀ = εI,

and steps along L^{−1/4} ∇ R^{−1/4}. With the rows of W̃ laid end to end that is (L^{1/4} ⊗ R^{1/4})⁻¹ vec ∇: a
Kronecker product in the place of full-matrix AdaGrad's (εI + Σ vec ∇ (vec ∇)ᵀ)^{1/2}. The statistics come
from the gradient of the mean over the batch, where K-FAC's come from single examples.

Source: Gupta, Koren, Singer, "Shampoo: Preconditioned Stochastic Tensor Optimization", ICML 2018, the case of
matrices. Grafting: Agarwal, Anil, Hazan, Koren, Zhang, "Disentangling Adaptive Gradient Methods from Learning
Rates", 2020. Averages and other exponents are later variants, not the paper's.
"""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from locoprop_ref import checks
from locoprop_ref.backend import array_namespace, device
from locoprop_ref.methods.base import State
from locoprop_ref.methods.gradient import GradientMethod
from locoprop_ref.methods.roots import inverse_root
from locoprop_ref.optimizers import SGD, Momentum, Optimizer, RMSProp

Statistics = Literal["sum", "average"]
Grafting = Literal["none", "sgd", "rmsprop"]
STATISTICS: tuple[str, ...] = get_args(Statistics)
GRAFTINGS: tuple[str, ...] = get_args(Grafting)


@dataclass(frozen=True)
class Shampoo(GradientMethod):
    r"""Shampoo: W̃ ← W̃ − r·learning_rate·v,  v ← μv + L^{−1/p} ∇ R^{−1/p}.

    A sum of squares grows, and so the steps shrink like AdaGrad's; with an average they keep their length.
    With p = 4 a singular value σ of the first gradient becomes σ/√(σ² + ε): nearly 1 once σ² outweighs ε.

    Args:
        learning_rate: default 0.1, a plain first guess, too large for the MNIST autoencoder, whose loss it
            blew up; tuned there, with RMSProp's grafting and roots at every step, it is 0.000327.
        epsilon: ε > 0 of L₀ = R₀ = εI, default 1e-4, a plain first guess, as is every ε against gradients of
            unknown size; with "average" it is added to the average.
        momentum: μ, 0 ≤ μ < 1, of a heavy ball over the finished (grafted) update; default 0, since the
            paper's algorithm has none.
        statistics: "sum" (default, the paper) or "average": L ← δ_n L + (1 − δ_n)∇∇ᵀ, and R likewise.
        factor_decay: δ, 0 ≤ δ < 1, of the average, default 0.99, a plain first guess: a hundred updates
            or so. The n-th weighs 1 − δ_n = (1 − δ)/(1 − δⁿ), so that all weights sum to one from the first
            update on: an average without bias towards its start, as Adam's correction makes it.
        root: p ≥ 1, default 4 (the paper, for matrices).
        grafting: "none" (default, the paper), or "sgd" or "rmsprop": a layer's update keeps Shampoo's
            direction and takes the length, in the Frobenius norm, of that rule's update of the layer.
        grafting_decay: ρ of RMSProp's mean square, which starts at ones (its dialect "tf1"); default 0.9, as
            in `RMSProp`.
        grafting_epsilon: ε inside the root of RMSProp, default 1e-5, as in `RMSProp`.
        factor_interval: steps from one update of L and R to the next, default 1 (the paper).
        inverse_interval: steps from one computation of the roots to the next, default 20, a plain first
            guess: eigenvectors cost more than the rest of a step. The first step always computes them.
        parallel_layers: update the layers side by side (default True, for the reason given in `LocoProp`).

    Raises:
        ValueError, TypeError: a setting out of its range.

    >>> from locoprop_ref.network import initialize, network_loss
    >>> import numpy as np
    >>> network, x = initialize((3, 2, 3), transfers="tanh"), np.eye(3)
    >>> shampoo = Shampoo(learning_rate=0.05)
    >>> moved, _, _ = shampoo.step(network, shampoo.init(network), x, x)
    >>> bool(network_loss(moved, x, x) < network_loss(network, x, x))
    True
    """

    learning_rate: float = 0.1
    epsilon: float = 1e-4
    momentum: float = 0.0
    statistics: Statistics = "sum"
    factor_decay: float = 0.99
    root: int = 4
    grafting: Grafting = "none"
    grafting_decay: float = 0.9
    grafting_epsilon: float = 1e-5
    factor_interval: int = 1
    inverse_interval: int = 20
    parallel_layers: bool = True

    def __post_init__(self) -> None:
        checks.keep(self, checks.positive, "learning_rate", "epsilon", "grafting_epsilon")
        checks.keep(self, checks.fraction, "momentum", "factor_decay", "grafting_decay")
        checks.keep(self, checks.integer, "root", "factor_interval", "inverse_interval")
        checks.one_of("statistics", self.statistics, STATISTICS)
        checks.one_of("grafting", self.grafting, GRAFTINGS)
        checks.keep(self, checks.boolean, "parallel_layers")

    @property
    def preconditioner(self) -> "RootPreconditioner":
        """L^{−1/p} ∇ R^{−1/p}, with the length of the grafted rule."""
        grafted: Optimizer | None = None
        if self.grafting == "rmsprop":
            grafted = RMSProp("tf1", self.grafting_decay, 0.0, self.grafting_epsilon)
        elif self.grafting == "sgd":
            grafted = SGD()
        return RootPreconditioner(
            self.epsilon, self.statistics, self.factor_decay, self.root, grafted,
            self.factor_interval, self.inverse_interval,
        )  # fmt: skip

    @property
    def optimizer(self) -> Optimizer:
        """V ← μv + Δ, W̃ ← W̃ − r·s·v."""
        return Momentum(self.momentum) if self.momentum > 0 else SGD()

    def counts(self, seed: int) -> dict[str, int]:
        """Return {"count": 0}."""
        return {"count": 0}

    def joined(self, kept: State, of_optimizer: State) -> State:
        """Return what the state holds of a layer; the optimizer's part has a name of its own."""
        return {**kept, "momentum": of_optimizer}

    def apart(self, entry: State) -> tuple[State, State]:
        """Return the two parts: `joined` undone."""
        return {name: entry[name] for name in entry if name != "momentum"}, entry["momentum"]


@dataclass(frozen=True)
class RootPreconditioner:
    """Δ = L^{−1/p} ∇ R^{−1/p}; `grafted` is the rule that lends its length, the rest is as in `Shampoo`."""

    epsilon: float
    statistics: Statistics
    factor_decay: float
    root: int
    grafted: Optimizer | None
    factor_interval: int
    inverse_interval: int

    def init(self, W: Any) -> State:
        """Return the factors (less εI), their roots, zeros, and the state of the grafted rule."""
        xp = array_namespace(W)
        zeros = tuple(xp.zeros((d, d), dtype=W.dtype, device=device(W)) for d in W.shape)
        return {"factors": zeros, "roots": zeros, "grafting": self.grafted.init(W) if self.grafted else {}}

    def update(
        self, gradient: Any, x: Any, g: Any, state: State, step: int, num_examples: int
    ) -> tuple[Any, State]:
        """Return (Δ, state); factors and roots are renewed in the steps in which they are due."""
        factors, roots, grafting = state["factors"], state["roots"], state["grafting"]
        if step % self.factor_interval == 0:
            factors = self._accumulate(factors, gradient, step // self.factor_interval)
        if step % self.inverse_interval == 0:
            roots = tuple(inverse_root(factor, self.root, ridge=self.epsilon) for factor in factors)
        direction = roots[0] @ gradient @ roots[1]
        if self.grafted is not None:
            other, grafting = self.grafted.update(gradient, grafting, 1.0)
            direction = _with_length_of(other, direction)
        return direction, {"factors": factors, "roots": roots, "grafting": grafting}

    def _accumulate(self, factors: tuple[Any, Any], gradient: Any, updates: int) -> tuple[Any, Any]:
        """Return L and R, without their εI, with one more gradient in them."""
        new = (gradient @ gradient.T, gradient.T @ gradient)
        if self.statistics == "sum":
            return factors[0] + new[0], factors[1] + new[1]
        weight = (1 - self.factor_decay) / (1 - self.factor_decay ** (updates + 1))
        left, right = ((1 - weight) * F + weight * N for F, N in zip(factors, new, strict=True))
        return left, right


def _with_length_of(other: Any, direction: Any) -> Any:
    """Return ‖other‖ · direction/‖direction‖ in the Frobenius norm; zero stays zero."""
    xp = array_namespace(direction)
    length = xp.linalg.vector_norm(direction)
    return direction * (xp.linalg.vector_norm(other) / xp.where(length > 0, length, xp.ones_like(length)))
