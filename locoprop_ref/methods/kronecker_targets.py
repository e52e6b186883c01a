r"""Kronecker targets: K-FAC as a choice of target, y* = f(â − γgG⁻¹).

K-FAC divides the gradient of a layer by two matrices, A of its inputs and G of the derivatives at its
pre-activations (see `kronecker`). The closed form of LocoProp-S contains the first one already. The second
one goes into the target: the displacement γg becomes γgG⁻¹, and

    W̃ − W̃₀ = −ηγ (I + ηX̃ᵀX̃)⁻¹ X̃ᵀg G⁻¹,        X̃ᵀg = ∂L/∂W̃,

is the step of K-FAC on this batch with A = X̃ᵀX̃/B, the learning rate γ/B, and the damping 1/(ηB) on A. With
G = I it is FOOF, which is LocoProp-S itself.

Source: Martens and Grosse, "Optimizing Neural Networks with Kronecker-factored Approximate Curvature", ICML
2015 (arXiv 1503.05671), for G.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from locoprop_ref import checks
from locoprop_ref.backend import array_namespace, device, solve_positive_definite
from locoprop_ref.methods.fisher import sample_output
from locoprop_ref.methods.kfac import FISHERS, Fisher
from locoprop_ref.methods.kronecker import output_factor, running_average
from locoprop_ref.network import Network, Trace, backward
from locoprop_ref.targets import LayerTarget, LocalLoss, State, check_state, displaced


@dataclass(frozen=True)
class KroneckerTargets:
    r"""K-FAC's targets, y* = f(â − γg(G + δI)⁻¹), G the second moment of ∂ℓ/∂â.

    G = (B²/R) gᵀg is a mean over the rows of ∂ℓ/∂â = Bg, the derivative of an example's own loss ℓ; it keeps
    the 1/B of the mean over the batch in g out of the factor.

    Args:
        step: γ > 0; default 10, that of `GradientTargets`, untuned here.
        damping: δ > 0, which is added to the diagonal of G as it is; default 0.01, a first guess, untuned.
            `KFAC` splits one damping over A and G instead, see `kronecker.damping_shares`.
        fisher: "empirical" (default: G from the batch's labels) or "sampled" (K-FAC's own: G from labels that
            are drawn from the network's output, which costs a second backward pass).
        factor_decay: of a running average of G, 0 ≤ decay < 1, see `kronecker.running_average`; default 0,
            this batch alone.

    Raises:
        ValueError, TypeError: a setting out of its range.

    >>> from locoprop_ref.methods.locoprop import LocoProp
    >>> from locoprop_ref.solvers import ClosedForm
    >>> kfac = LocoProp("squared", KroneckerTargets(step=5), weight_step=0.1, solver=ClosedForm())
    >>> kfac.targets.damping
    0.01
    """

    step: float = 10.0
    damping: float = 0.01
    fisher: Fisher = "empirical"
    factor_decay: float = 0.0

    def __post_init__(self) -> None:
        checks.keep(self, checks.positive, "step", "damping")
        checks.one_of("fisher", self.fisher, FISHERS)
        checks.keep(self, checks.fraction, "factor_decay")

    def init(self, network: Network, seed: int = 0) -> State:
        """Return step 0, the seed of the draws from the network's output, and G = 0 of every layer.

        Raises:
            ValueError, TypeError: seed is no integer of at least 0.
        """
        checks.instance("network", network, Network, "a Network, as initialize makes")
        factors = []
        for layer in network.layers:
            xp, width = array_namespace(layer.W), layer.W.shape[1]
            factors.append(xp.zeros((width, width), dtype=layer.W.dtype, device=device(layer.W)))
        return {"step": 0, "seed": checks.integer("seed", seed, minimum=0, maximum=None), "G": tuple(factors)}

    def __call__(
        self, network: Network, trace: Trace, t: Any, local: LocalLoss, state: State
    ) -> tuple[Sequence[LayerTarget], State]:
        """Return (x, f(â − γg(G + δI)⁻¹), f) of every layer, and the state with the renewed factors."""
        widths = [layer.W.shape[1] for layer in network.layers]
        check_state(state, network, step=None, seed=None, G=[(d, d) for d in widths])
        g, count = backward(network, trace, t), state["step"] + 1
        model_g = g
        if self.fisher == "sampled":
            drawn = sample_output(network, trace.a_hat[-1], seed=state["seed"], step=state["step"])
            model_g = backward(network, trace, drawn)
        factors = tuple(
            running_average(G, output_factor(g_m, t.shape[0]), count, self.factor_decay)
            for G, g_m in zip(state["G"], model_g, strict=True)
        )
        parts = zip(network.layers, trace.x, trace.a_hat, g, factors, strict=True)
        targets = [
            displaced(layer, local(layer), x, a_hat, self.displacement(g_m, G))
            for layer, x, a_hat, g_m, G in parts
        ]
        return targets, {**state, "step": count, "G": factors}

    def displacement(self, g: Any, G: Any) -> Any:
        """Return γg(G + δI)⁻¹, (R, d_out).

        Args:
            g: (R, d_out), ∂L/∂â, the 1/B of the mean over the batch included.
            G: (d_out, d_out), symmetric and positive semidefinite.
        """
        xp = array_namespace(g)
        damped = G + self.damping * xp.eye(G.shape[0], dtype=G.dtype, device=device(G))
        return self.step * solve_positive_definite(damped, g.T, xp=xp).T
