r"""Mirror descent as a first-order rule: exponentiated gradient and p-norm algorithms.

With the linear local loss γ⟨∂L/∂W̃, W̃⟩ and a Bregman divergence in the place of the squared distance, the
local problem min γ⟨∂L/∂W̃, W̃⟩ + D_Ψ(W̃, W̃₀)/η is solved by a gradient step on the dual weights θ = ∇Ψ(W̃):

    θ ← θ − s·g,        W̃ = ∇Ψ*(θ),        s = ηγ for g = ∂L/∂W̃

    geometry        ∇Ψ(w)                              what the step does to w
    eg+-            asinh(w/β)                         w = w⁺ − w⁻, w⁺ ← w⁺e^{−sg}, w⁻ ← w⁻e^{sg}, w⁺w⁻ = β²/4
    eg              ln w,  w > 0                       w ← w e^{−sg}
    eg-normalized   ln w,  w > 0, Σ_i w_ij = 1         w ← w e^{−sg}/Σ w e^{−sg}
    p-norm          sign(w)|w|^{q−1}/‖w‖_q^{q−2}       the inverse link, with p for q; 1/p + 1/q = 1

The columns of W̃ are the weights of the units: sums and norms run down each of them, the bias included.

Sources: Kivinen, Warmuth, "Exponentiated Gradient versus Gradient Descent for Linear Predictors", 1997 (EG,
EG±); Grove, Littlestone, Schuurmans 2001, and Gentile 2003 (p-norm); Ghai, Hazan, Singer 2020 (EG± by asinh).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from locoprop_ref import checks
from locoprop_ref.backend import array_namespace
from locoprop_ref.optimizers import State

Geometry = Literal["eg+-", "eg", "eg-normalized", "p-norm"]
GEOMETRIES: tuple[str, ...] = get_args(Geometry)


@dataclass(frozen=True)
class MirrorDescent:
    r"""Mirror descent, θ ← θ − s·g and W = ∇Ψ*(θ), with the state θ = ∇Ψ(W).

    The state holds the weights in another form, so that nothing else may move them: keep it from batch to
    batch, or start anew from the weights of the batch (`Descend(local_state="reset")`); both are the same up
    to rounding.

    Args:
        geometry: "eg+-" (default: weights of both signs), "eg", "eg-normalized" or "p-norm", see the module.
        beta: β > 0 of EG±, default 1: both halves of a weight 0 are β/2. Where β is large against the weights
            the step is gradient descent with the rate sβ.
        p: p ≥ 2 of the p-norm, default 2, which is gradient descent.

    Raises:
        ValueError, TypeError: an unknown geometry, β ≤ 0 or p < 2.

    >>> import numpy as np
    >>> rule = MirrorDescent("eg")
    >>> W = np.array([[0.5]])
    >>> change, state = rule.update(np.array([[np.log(2)]]), rule.init(W), 1.0)  # halves the weight
    >>> W - change
    array([[0.25]])
    """

    geometry: Geometry = "eg+-"
    beta: float = 1.0
    p: float = 2.0

    def __post_init__(self) -> None:
        checks.one_of("geometry", self.geometry, GEOMETRIES)
        checks.keep(self, checks.positive, "beta", "p")
        if self.p < 2:
            raise ValueError(f"p must be at least 2, got {self.p}")

    def init(self, W: Any) -> State:
        """Return θ = ∇Ψ(W).

        Raises:
            ValueError: a weight that is not positive, for "eg" and "eg-normalized", or for the latter a
                column whose sum is not 1 (initialize the network with such weights).
        """
        xp = array_namespace(W)
        if self.geometry.startswith("eg") and self.geometry != "eg+-" and not bool(xp.all(W > 0)):
            raise ValueError(f"W must be positive for {self.geometry!r}, got a weight that is not")
        if self.geometry == "eg-normalized":
            off = float(xp.max(xp.abs(xp.sum(W, axis=0) - 1)))
            if off > 8 * W.shape[0] * float(xp.finfo(W.dtype).eps):
                raise ValueError(
                    f"W must have columns of sum 1 for 'eg-normalized', got one that is {off:.2g} off"
                )
        return {"dual": _LINKS[self.geometry][0](self, W, xp)}

    def update(self, gradient: Any, state: State, rate: float) -> tuple[Any, State]:
        """Return (∇Ψ*(θ) − ∇Ψ*(θ − s·g), θ − s·g)."""
        xp, primal = array_namespace(gradient), _LINKS[self.geometry][1]
        dual = state["dual"] - rate * gradient
        return primal(self, state["dual"], xp) - primal(self, dual, xp), {"dual": dual}


def _softmax(theta: Any, xp: Any) -> Any:
    weights = xp.exp(theta - xp.max(theta, axis=0, keepdims=True))
    return weights / xp.sum(weights, axis=0, keepdims=True)


def _norm_link(a: Any, q: float, xp: Any) -> Any:
    # sign(a)|a|^{q−1}/‖a‖^{q−2}, written with |a|/‖a‖ ≤ 1; a column of zeros stays one
    norm = xp.linalg.vector_norm(a, axis=0, keepdims=True, ord=q)
    share = xp.abs(a) / xp.where(norm > 0, norm, 1.0)
    return xp.sign(a) * share ** (q - 1) * norm


# geometry: ∇Ψ, ∇Ψ*
_LINKS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "eg+-": (lambda m, w, xp: xp.asinh(w / m.beta), lambda m, t, xp: m.beta * xp.sinh(t)),
    "eg": (lambda m, w, xp: xp.log(w), lambda m, t, xp: xp.exp(t)),
    "eg-normalized": (lambda m, w, xp: xp.log(w), lambda m, t, xp: _softmax(t, xp)),
    "p-norm": (
        lambda m, w, xp: _norm_link(w, m.p / (m.p - 1), xp),
        lambda m, t, xp: _norm_link(t, m.p, xp),
    ),
}
