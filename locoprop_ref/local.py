r"""The local problem of a layer: matching loss, target, regularizer.

Every layer gets its own convex problem, anchored at its present weights W̃₀:

    min_W̃  Σ_rows D_F(x̃W̃, a*)  +  (1/2η)‖W̃ − W̃₀‖²,        y* = f(a*) = f(â₀) − γg

with the Bregman divergence D_F(â, a*) = F(â) − F(a*) − f(a*)·(â − a*) of F, the **matching loss** of f.
LocoProp-M takes the layer's own f and F; LocoProp-S takes the identity and a²/2, so that D_F is the squared
loss on pre-activations, and is otherwise the same problem. Local losses **sum** over the batch: g carries
the 1/B of the network loss already.

Source: Amid, Anil, Warmuth, "LocoProp: Enhancing BackProp via Local Loss Optimization", AISTATS 2022.
"""

from dataclasses import dataclass
from math import inf
from typing import Any

from locoprop_ref import check
from locoprop_ref.backend import array_namespace
from locoprop_ref.transfer import Transfer

REDUCTIONS = ("sum", "mean")


def matching_loss(transfer: Transfer, a_hat: Any, a: Any) -> Any:
    r"""Return D_F(â, a) = F(â) − F(a) − f(a)·(â − a) ≥ 0, the matching loss of f = ∇F.

    Args:
        transfer: f with its integral F.
        a_hat: (..., d) pre-activation, the prediction.
        a: pre-activation of the target, in the same shape.

    Returns:
        the divergence of every element (softmax: of every row), summed over nothing.

    Raises:
        ValueError, TypeError: shapes or dtypes differ.

    >>> import numpy as np
    >>> from locoprop_ref.transfer import transfer
    >>> matching_loss(transfer("identity"), np.array([3.0]), np.array([1.0]))  # ½(3 − 1)²
    array([2.])
    >>> matching_loss(transfer("relu"), np.array([-3.0]), np.array([-1.0]))  # both negative
    array([0.])
    """
    check.instance("transfer", transfer, Transfer, "a Transfer, as transfer('tanh') makes")
    check.array("a_hat", a_hat)
    check.array("a", a, shape=tuple(a_hat.shape))
    check.same_dtype(a_hat=a_hat, a=a)
    xp = array_namespace(a_hat, a)
    linear = transfer.f(a) * (a_hat - a)
    if not transfer.elementwise:
        linear = xp.sum(linear, axis=-1)
    return transfer.F(a_hat) - transfer.F(a) - linear


def target(y_hat: Any, g: Any, target_step: float) -> Any:
    r"""Return the local target y* = ŷ − γg, (B, d_out).

    Args:
        y_hat: f(â₀) of the *local* transfer: the post-activation for M, the pre-activation for S.
        g: ∂L/∂â, always from the network's own transfer function.
        target_step: γ > 0 (the authors' code calls it the activation learning rate: 10).

    Raises:
        ValueError, TypeError: γ ≤ 0, or shapes or dtypes differ.
    """
    check.positive("target_step", target_step)
    check.array("y_hat", y_hat)
    check.array("g", g, shape=tuple(y_hat.shape))
    check.same_dtype(y_hat=y_hat, g=g)
    return y_hat - target_step * g


@dataclass(frozen=True)
class LocalProblem:
    r"""One layer's problem, min over W̃ of c·Σ_rows [F(x̃W̃) − y*·x̃W̃] + (1/2η)‖W̃ − W̃₀‖².

    c = 1 for the reduction "sum"; for "mean" the sum over the rows is divided by B, c = 1/B. With c = 1 this
    is the objective of the module's first lines less the constant Σ F*(y*), so that it needs only y*, never
    a*, and stays defined where F*(y*) is infinite.

    Args:
        x: X̃, (B, d̃) input of the layer, the bias' column of ones included.
        y_target: y*, (B, d_out); a target of â for S, of ŷ for M.
        transfer: the local transfer function: the layer's own for M, the identity for S.
        W0: W̃₀, (d̃, d_out) the weights where the problem is anchored, the bias as last row.
        weight_step: η > 0 of the proximal term, or inf (default, the authors' code) for none.
        reduction: "sum" over the batch (default, the authors' code) or "mean".
        a_hat0: X̃W̃₀, where the forward pass has computed it already; saves the solvers one product.

    Raises:
        ValueError, TypeError: shapes that do not fit, mixed dtypes, η ≤ 0, unknown reduction.

    >>> import numpy as np
    >>> from locoprop_ref.transfer import transfer
    >>> problem = LocalProblem(np.eye(2), np.ones((2, 3)), transfer("tanh"), np.zeros((2, 3)))
    >>> problem.gradient(problem.W0)[0]
    array([-1., -1., -1.])
    """

    x: Any
    y_target: Any
    transfer: Transfer
    W0: Any
    weight_step: float = inf
    reduction: str = "sum"
    a_hat0: Any = None

    def __post_init__(self) -> None:
        check.instance("transfer", self.transfer, Transfer, "a Transfer, as transfer('tanh') makes")
        check.batch("x", self.x)
        check.array("y_target", self.y_target, shape=(self.x.shape[0], None))
        check.array("W0", self.W0, shape=(self.x.shape[1], self.y_target.shape[1]))
        if self.a_hat0 is not None:
            check.array("a_hat0", self.a_hat0, shape=tuple(self.y_target.shape))
        check.same_dtype(x=self.x, y_target=self.y_target, W0=self.W0, a_hat0=self.a_hat0)
        check.positive("weight_step", self.weight_step, infinite=True)
        check.one_of("reduction", self.reduction, REDUCTIONS)

    @property
    def scale(self) -> float:
        """Factor of the data term: 1 for the sum over the batch, 1/B for the mean."""
        return 1.0 if self.reduction == "sum" else 1.0 / self.x.shape[0]

    def pre_activation(self, W: Any) -> Any:
        """Return X̃W̃, (B, d_out), taken from `a_hat0` at W̃₀ itself."""
        return self.a_hat0 if W is self.W0 and self.a_hat0 is not None else self.x @ W

    def residual(self, W: Any) -> Any:
        """Return f(X̃W̃) − y*, (B, d_out); at W̃₀ it is γg (unless the target was projected)."""
        return self.transfer.f(self.pre_activation(W)) - self.y_target

    def _check(self, W: Any) -> None:
        check.array("W", W, shape=tuple(self.W0.shape))
        check.same_dtype(W0=self.W0, W=W)

    def value(self, W: Any) -> Any:
        """Return the objective at W̃, (d̃, d_out), as a 0-d array."""
        self._check(W)
        xp = array_namespace(self.x)
        a_hat = self.pre_activation(W)
        data = xp.sum(self.transfer.F(a_hat)) - xp.sum(self.y_target * a_hat)
        return self.scale * data + xp.sum((W - self.W0) ** 2) / (2 * self.weight_step)

    def gradient(self, W: Any) -> Any:
        """Return c·X̃ᵀ(f(X̃W̃) − y*) + (W̃ − W̃₀)/η, (d̃, d_out), with c = 1 ("sum") or 1/B ("mean")."""
        self._check(W)
        gradient = self.x.T @ self.residual(W)
        if self.scale != 1:
            gradient *= self.scale
        if self.weight_step != inf and W is not self.W0:
            gradient += (W - self.W0) / self.weight_step
        return gradient
