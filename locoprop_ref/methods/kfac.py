r"""K-FAC: the natural gradient with a Kronecker-factored Fisher matrix, block by block.

    ∇ = ∂L/∂W̃,    Δ = (A + π√λ I)⁻¹ ∇ (G + √λ/π I)⁻¹,    v ← μv + νΔ,    W̃ ← W̃ − r·s·v

A and G are running averages (`factors.py`) of the second moments of the inputs x̃ and of the derivatives at
the pre-activations, the latter for outputs that the network draws itself (`sample.py`). ν = 1 unless
`kl_clip` is set. This is the block-diagonal form; the paper's block-tridiagonal one, its choice of step size
and momentum from the quadratic model, and its adaptation of λ are left out.

Source: Martens and Grosse, "Optimizing Neural Networks with Kronecker-factored Approximate Curvature", ICML
2015 (arXiv 1503.05671).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from typing import Any

from locoprop_ref import checks
from locoprop_ref.backend import array_namespace, device
from locoprop_ref.layers import Layer, layer_input, stacked, unstacked
from locoprop_ref.methods.base import Info, State, check_entries, check_step, run_layers
from locoprop_ref.methods.fisher import sample_output
from locoprop_ref.methods.kronecker import damped_inverses, input_factor, output_factor, running_average
from locoprop_ref.network import Network, Trace, backward, forward

FISHERS = ("sampled", "empirical")

# what the state holds of a layer
KEPT = ("A", "G", "A_inverse", "G_inverse", "velocity")


@dataclass(frozen=True)
class KFAC:
    r"""K-FAC with factored Tikhonov damping and momentum.

    Args:
        learning_rate: s > 0; default 0.01, a first guess, untuned.
        damping: λ > 0, default 0.01, a first guess, untuned; λ is split over A and G by their traces.
        momentum: μ, 0 ≤ μ < 1; default 0.9, the usual one (the paper chooses it at every step).
        fisher: "sampled" (default, the paper: the Fisher matrix, with t drawn from the network's own output,
            which costs a second backward pass) or "empirical" (the batch's labels).
        factor_decay: of the running averages, 0 ≤ decay < 1; default 0.95 (the paper). 0: this batch alone.
        factor_interval: the factors see every so many-th batch; default 1, all of them.
        inverse_interval: the inverses are computed at every so many-th step and kept in between; default 20
            (the paper's T₃, which computes them at each of the first three steps besides).
        kl_clip: κ > 0, or inf (default: off), see below.
        parallel_layers: the layers side by side (default True, for the reason given in `LocoProp`).

    Raises:
        ValueError, TypeError: a setting out of its range.

    With κ the new direction is shortened by ν = min(1, √(κ/q)), q = (r·s)² Σ_m ⟨Δ_m, ∇_m⟩. As ⟨Δ, ∇⟩ is
    Δᵀ(A ⊗ G)Δ, damping included, q is the squared length of the step r·sΔ in the metric of the Fisher matrix,
    about twice the Kullback–Leibler divergence between the network's outputs before and after. After Ba,
    Grosse and Martens, "Distributed Second-order Optimization using Kronecker-Factored Approximations", ICLR
    2017, who bound the step in that metric. κ sees Δ alone, at this step's r: momentum comes afterwards, so
    that a step r·s·v may be longer, most of all after steps at r = 0, where nothing is clipped and v fills.

    >>> KFAC(damping=0.1).inverse_interval
    20
    """

    learning_rate: float = 1e-2
    damping: float = 1e-2
    momentum: float = 0.9
    fisher: str = "sampled"
    factor_decay: float = 0.95
    factor_interval: int = 1
    inverse_interval: int = 20
    kl_clip: float = inf
    parallel_layers: bool = True

    def __post_init__(self) -> None:
        checks.positive("learning_rate", self.learning_rate)
        checks.positive("damping", self.damping)
        checks.fraction("momentum", self.momentum)
        checks.one_of("fisher", self.fisher, FISHERS)
        checks.fraction("factor_decay", self.factor_decay)
        checks.integer("factor_interval", self.factor_interval)
        checks.integer("inverse_interval", self.inverse_interval)
        checks.positive("kl_clip", self.kl_clip, infinite=True)
        checks.boolean("parallel_layers", self.parallel_layers)

    def init(self, network: Network, seed: int = 0) -> State:
        """Return the state: the seed, step 0, and every layer's factors, inverses and velocity, all zeros.

        Args:
            network: the network to train.
            seed: of the draws from the network's output, an integer ≥ 0.

        Raises:
            ValueError, TypeError: seed is no integer of at least 0.
        """
        checks.integer("seed", seed, minimum=0)
        return {"layers": tuple(map(_fresh, network.layers)), "seed": int(seed), "step": 0}

    def step(
        self, network: Network, state: State, x: Any, t: Any, *, rate: float = 1.0
    ) -> tuple[Network, State, Info]:
        """Return (network, state, info) after one batch; at rate 0 no weight moves, averages and v do.

        Args:
            network: the network.
            state: what `init` or the step before returned.
            x: (B, d_0) batch, in the dtype of the network.
            t: (B, d_M), what the network should say.
            rate: r ≥ 0, the schedule's factor of the step size, default 1.

        Returns:
            the network and the state after the step, and an empty dict.

        Raises:
            ValueError, TypeError: r < 0, a state of another network or method, x or t of another shape, dtype
                or library than the network, or (on the host) with nan or infinity in it.
        """
        check_step(network, state, x, t, rate)
        for number in ("seed", "step"):
            checks.integer(f"state[{number!r}]", state.get(number), minimum=0)
        check_entries(network, state, KEPT)
        trace = forward(network, x)
        g = backward(network, trace, t)
        g_model = self._model_gradients(network, state, trace, g)
        everything = zip(network.layers, state["layers"], trace.x, g, g_model, strict=True)
        tasks = [partial(self._precondition, *parts, state["step"]) for parts in everything]
        gradients, directions, states = zip(*run_layers(tasks, network, self.parallel_layers), strict=True)
        nu = self._clip(gradients, directions, rate)
        parts = zip(network.layers, states, directions, strict=True)
        moves = [partial(self._move, *part, nu, rate * self.learning_rate) for part in parts]
        layers, states = zip(*run_layers(moves, network, self.parallel_layers), strict=True)
        return replace(network, layers=layers), {**state, "layers": states, "step": state["step"] + 1}, {}

    def _model_gradients(self, network: Network, state: State, trace: Trace, g: Any) -> Any:
        """Return the g of every layer that G is made of; nothing is drawn where G is not due."""
        if self.fisher == "empirical" or state["step"] % self.factor_interval:
            return g
        t = sample_output(network, trace.a_hat[-1], seed=state["seed"], step=state["step"])
        return backward(network, trace, t)

    def _precondition(
        self, layer: Layer, state: State, x: Any, g: Any, g_model: Any, step: int
    ) -> tuple[Any, Any, State]:
        """Return (∇, Δ, state) of a layer, its factors and inverses renewed where they are due."""
        x = layer_input(layer, x)
        A, G = state["A"], state["G"]
        if step % self.factor_interval == 0:
            count = step // self.factor_interval + 1
            A = running_average(A, input_factor(x), count, self.factor_decay)
            G = running_average(G, output_factor(g_model), count, self.factor_decay)
        inverses = state["A_inverse"], state["G_inverse"]
        if step % self.inverse_interval == 0:
            inverses = damped_inverses(A, G, self.damping)
        gradient, (A_inverse, G_inverse) = x.T @ g, inverses
        direction = A_inverse @ gradient @ G_inverse
        return gradient, direction, {
            **state, "A": A, "G": G, "A_inverse": A_inverse, "G_inverse": G_inverse,
        }  # fmt: skip

    def _clip(self, gradients: Sequence[Any], directions: Sequence[Any], rate: float) -> Any:
        """Return ν = min(1, √(κ/q)) as √(κ/max(q, κ)), which divides by no zero."""
        if self.kl_clip == inf:
            return 1.0
        xp = array_namespace(*gradients)
        products = (xp.sum(pair[0] * pair[1]) for pair in zip(gradients, directions, strict=True))
        q = (rate * self.learning_rate) ** 2 * sum(products)
        return xp.sqrt(self.kl_clip / xp.maximum(q, self.kl_clip))

    def _move(self, layer: Layer, state: State, direction: Any, nu: Any, rate: float) -> tuple[Layer, State]:
        # v ← μv + νΔ,  W̃ ← W̃ − r·s·v
        velocity = self.momentum * state["velocity"]
        velocity += nu * direction
        return unstacked(layer, stacked(layer) - rate * velocity), {**state, "velocity": velocity}


def _fresh(layer: Layer) -> State:
    W = stacked(layer)
    xp = array_namespace(W)
    inputs, outputs = (xp.zeros((d, d), dtype=W.dtype, device=device(W)) for d in W.shape)
    return {
        "A": inputs, "G": outputs, "A_inverse": inputs, "G_inverse": outputs, "velocity": xp.zeros_like(W),
    }  # fmt: skip
