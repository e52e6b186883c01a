r"""Gauss–Newton targets: one slider from LocoProp's direction to that of target propagation.

For one example, let J_m = ∂â_M/∂â_m, a d_M × d_m matrix, and let r be the error at the last pre-activation,
r = B ∂L/∂â_M. Which displacement of the pre-activations of layer m removes this error? A Levenberg–Marquardt
step on the activations answers

    min_d  ½(1−τ)‖J_m d‖² + ½τ‖d‖² − γ r·J_m d,        d_m = γ J_mᵀ ((1−τ) J_m J_mᵀ + τI)⁻¹ r.

    τ = 1    d_m = γ J_mᵀ r = γB g_m     steepest descent: LocoProp's direction, with B times its γ
    τ → 0    d_m = γ J_m⁺ r              Gauss–Newton: target propagation with exact inverses, to first order

So LocoProp and target propagation are the two ends of one slider. That r is the right error supposes a linear
output with the squared loss, or takes the Hessian of the loss at the output for I.

Meulemans et al., "A Theoretical Framework for Target Propagation", NeurIPS 2020, have target propagation as
Gauss–Newton.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from locoprop_ref import checks
from locoprop_ref.backend import array_namespace, device
from locoprop_ref.network import Network, Trace, pull_down
from locoprop_ref.targets import LayerTarget, LocalLoss, State, displaced


@dataclass(frozen=True)
class GaussNewtonTargets:
    r"""The targets y* = f(â − d) with d = γ Jᵀ((1−τ) J Jᵀ + τI)⁻¹ r of every example.

    For small networks: every output costs a backward pass, and every layer keeps a (d_M × d_m) matrix of each
    example. A layer with positions has d_m numbers at each, and J_m has a column for each of them.

    Args:
        step: γ > 0, default 1. The last layer's displacement is γr for every τ; with the squared loss and a
            linear output γ = 1 makes its target the label.
        tau: 0 ≤ τ ≤ 1, default 0.5, the middle; τ = 0 takes the pseudo-inverse J⁺. With τ = λ/(1 + λ) it is
            the damping λ of Levenberg and Marquardt, with γ(1 + λ) for the step.

    Raises:
        ValueError, TypeError: γ is not a positive number, or τ is outside its range.

    >>> GaussNewtonTargets(tau=0).step
    1.0
    """

    step: float = 1.0
    tau: float = 0.5

    def __post_init__(self) -> None:
        checks.keep(self, checks.positive, "step")
        tau = checks.number("tau", self.tau)
        if not 0 <= tau <= 1:
            raise ValueError(f"tau must be at least 0 and at most 1, got {self.tau!r}")
        object.__setattr__(self, "tau", tau)

    def init(self, network: Network, seed: int = 0) -> State:
        """Return {}: the targets of a batch depend on nothing before it."""
        return {}

    def __call__(
        self, network: Network, trace: Trace, t: Any, local: LocalLoss, state: State
    ) -> tuple[Sequence[LayerTarget], State]:
        """Return (x, f(â − d), f) of every layer, from one backward pass for every output."""
        last = network.layers[-1]
        r = t.shape[0] * network.loss.g(trace.a_hat[-1], t, last.transfer)
        jacobians = output_jacobians(network, trace)
        parts = zip(network.layers, trace.x, trace.a_hat, jacobians, strict=True)
        return [
            displaced(layer, local(layer), x, a_hat, as_rows(self.displacement(J, r), layer.positions))
            for layer, x, a_hat, J in parts
        ], state

    def displacement(self, J: Any, r: Any) -> Any:
        """Return γJᵀ((1−τ)JJᵀ + τI)⁻¹r of every example, (B, d).

        Args:
            J: (B, d_M, d), the Jacobian of the last pre-activation of every example.
            r: (B, d_M), the error of every example, without the 1/B of the mean.
        """
        xp = array_namespace(J, r)
        if self.tau == 0:
            # A saturated unit's slope can be 1e-300: 1/σ of such a Jacobian would overflow: it counts as 0
            limits = xp.finfo(J.dtype)
            J = xp.where(xp.abs(J) > limits.smallest_normal / limits.eps**2, J, xp.zeros_like(J))
            return self.step * (xp.linalg.pinv(J) @ r[:, :, None])[:, :, 0]
        transposed = xp.matrix_transpose(J)
        damped = (1 - self.tau) * (J @ transposed)
        damped += self.tau * xp.eye(J.shape[1], dtype=J.dtype, device=device(J))
        return self.step * (transposed @ xp.linalg.solve(damped, r[:, :, None]))[:, :, 0]


def output_jacobians(network: Network, trace: Trace) -> tuple[Any, ...]:
    r"""Return J_m = ∂â_M/∂â_m of every layer and example, (B, d_M, P d_m), by d_M backward passes.

    Args:
        network: the network.
        trace: of its forward pass on B examples.

    Returns:
        one array a layer. With P positions a row of J_m is ordered (position, unit).

    Raises:
        TypeError: no Network, or no Trace.

    >>> import numpy as np
    >>> from locoprop_ref.network import forward, initialize
    >>> network = initialize((3, 5, 2), transfers="tanh")
    >>> [J.shape for J in output_jacobians(network, forward(network, np.ones((4, 3))))]
    [(4, 2, 5), (4, 2, 2)]
    """
    checks.instance("network", network, Network, "a Network, as initialize makes")
    a_hat = checks.instance("trace", trace, Trace, "a Trace, as forward(network, x) makes").a_hat[-1]
    xp, (batch, outputs) = array_namespace(a_hat), a_hat.shape
    identity = xp.eye(outputs, dtype=a_hat.dtype, device=device(a_hat))
    rows = [
        pull_down(network, trace, xp.broadcast_to(identity[k, :], (batch, outputs))) for k in range(outputs)
    ]
    return tuple(
        xp.stack([as_examples(row[m], layer.positions) for row in rows], axis=1)
        for m, layer in enumerate(network.layers)
    )


def as_examples(rows: Any, positions: int) -> Any:
    """Return the rows of a layer, (P·B, d) ordered (position, example), as (B, P·d).

    Args:
        rows: (P·B, d).
        positions: P.
    """
    xp, width = array_namespace(rows), rows.shape[1]
    cube = xp.reshape(rows, (positions, -1, width))
    return xp.reshape(xp.permute_dims(cube, (1, 0, 2)), (-1, positions * width))


def as_rows(examples: Any, positions: int) -> Any:
    """Return what `as_examples` made as rows again, (P·B, d).

    Args:
        examples: (B, P·d).
        positions: P.
    """
    xp, width = array_namespace(examples), examples.shape[1] // positions
    cube = xp.reshape(examples, (-1, positions, width))
    return xp.reshape(xp.permute_dims(cube, (1, 0, 2)), (-1, width))
