r"""FOOF: gradient descent on neurons; K-FAC with λ on A alone and the identity for the inverse of G.

    v ← μv + (A + λI)⁻¹ ∂L/∂W̃,    W̃ ← W̃ − r·s·v

A is the running average of X̃ᵀX̃/B (`factors.py`). On this batch alone (decay 0, intervals 1, no momentum) it
is LocoProp-S in closed form: with s = γ/B and λ = 1/(ηB),

    s(A + λI)⁻¹ ∂L/∂W̃ = γ(X̃ᵀX̃ + I/η)⁻¹ X̃ᵀg = ηγ(I + ηX̃ᵀX̃)⁻¹ X̃ᵀg.

Source: Benzing, "Gradient Descent on Neurons and its Link to Approximate Second-order Optimization", ICML
2022 (arXiv 2201.12250).
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from locoprop_ref import checks
from locoprop_ref.backend import array_namespace, device
from locoprop_ref.layers import Layer, layer_input, stacked, unstacked
from locoprop_ref.methods.base import Info, State, check_entries, check_step, run_layers
from locoprop_ref.methods.kronecker import damped_inverse, input_factor, running_average
from locoprop_ref.network import Network, backward, forward

# what the state holds of a layer
KEPT = ("A", "A_inverse", "velocity")


@dataclass(frozen=True)
class FOOF:
    """FOOF with momentum, its inverse computed now and then.

    Args:
        learning_rate: s > 0; default 0.1.
        damping: λ > 0; default 0.01. Both are those of `locoprop_s_closed` (γ = 100, η = 0.1) at B = 1000.
        momentum: μ, 0 ≤ μ < 1; default 0, a first guess, untuned.
        factor_decay: of the running average, 0 ≤ decay < 1; default 0.95 (that of K-FAC, Martens and Grosse
            2015). 0: this batch alone, which both tuned settings chose: at 0.95 and this learning rate a
            CURVES autoencoder diverged.
        factor_interval: A sees every so many-th batch; default 1, all of them.
        inverse_interval: the inverse is computed at every so many-th step and kept in between; default 1.
            Kept for five steps it was no longer that of the inputs: a CURVES autoencoder's loss exploded.
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
        checks.positive("learning_rate", self.learning_rate)
        checks.positive("damping", self.damping)
        checks.fraction("momentum", self.momentum)
        checks.fraction("factor_decay", self.factor_decay)
        checks.integer("factor_interval", self.factor_interval)
        checks.integer("inverse_interval", self.inverse_interval)
        checks.boolean("parallel_layers", self.parallel_layers)

    def init(self, network: Network, seed: int = 0) -> State:
        """Return the state: step 0, and every layer's factor, inverse and velocity, all zeros.

        Args:
            network: the network to train.
            seed: for methods that draw random numbers; this one does not.
        """
        return {"layers": tuple(map(_fresh, network.layers)), "step": 0}

    def step(
        self, network: Network, state: State, x: Any, t: Any, *, rate: float = 1.0
    ) -> tuple[Network, State, Info]:
        """Return (network, state, info) after one batch; at rate 0 no weight moves, the average and v do.

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
        step = checks.integer("state['step']", state.get("step"), minimum=0)
        check_entries(network, state, KEPT)
        trace = forward(network, x)
        g = backward(network, trace, t)
        everything = zip(network.layers, state["layers"], trace.x, g, strict=True)
        tasks = [partial(self._update, *parts, step, rate * self.learning_rate) for parts in everything]
        layers, states = zip(*run_layers(tasks, network, self.parallel_layers), strict=True)
        return replace(network, layers=layers), {"layers": states, "step": step + 1}, {}

    def _update(
        self, layer: Layer, state: State, x: Any, g: Any, step: int, rate: float
    ) -> tuple[Layer, State]:
        x = layer_input(layer, x)
        A, A_inverse = state["A"], state["A_inverse"]
        if step % self.factor_interval == 0:
            A = running_average(A, input_factor(x), step // self.factor_interval + 1, self.factor_decay)
        if step % self.inverse_interval == 0:
            A_inverse = damped_inverse(A, self.damping)
        velocity = self.momentum * state["velocity"]
        velocity += A_inverse @ (x.T @ g)
        moved = unstacked(layer, stacked(layer) - rate * velocity)
        return moved, {"A": A, "A_inverse": A_inverse, "velocity": velocity}


def _fresh(layer: Layer) -> State:
    W = stacked(layer)
    xp = array_namespace(W)
    zeros = xp.zeros((W.shape[0], W.shape[0]), dtype=W.dtype, device=device(W))
    return {"A": zeros, "A_inverse": zeros, "velocity": xp.zeros_like(W)}
