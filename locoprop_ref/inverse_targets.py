r"""Inverse targets: target propagation, with inverses of the layers that are learned on the way.

Target propagation asks what a layer should have said for the layer above to say its target. ψ_m answers, an
approximate inverse of layer m, ψ_m(y_m) ≈ y_{m−1}; from the top down,

    plain         y*_{m−1} = ψ_m(y*_m)
    difference    y*_{m−1} = ŷ_{m−1} + ψ_m(y*_m) − ψ_m(ŷ_m)

The difference takes off what ψ_m gets wrong at ŷ_m, so that a layer whose target is met gives none below.

ψ_m is one layer of its own, ψ_m(y) = f_{m−1}(yV_m + c_m), and learns as a denoising autoencoder: with the
noise ε ~ Normal(0, σ²I) and h = ŷ_{m−1} + ε it takes a step on

    (1/2B) Σ_rows ‖ψ_m(f_m(hW_m + b_m)) − h‖².

Sources: LeCun 1986; Bengio, arXiv 1407.7906; Lee, Zhang, Fischer, Bengio, "Difference Target Propagation",
ECML 2015 (arXiv 1412.7525).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal, get_args

import numpy as np

from locoprop_ref import checks
from locoprop_ref.backend import array_namespace, device, dtype_name, to_backend
from locoprop_ref.layers import Layer
from locoprop_ref.network import Network, Trace
from locoprop_ref.optimizers import Adam, Optimizer
from locoprop_ref.targets import LayerTarget, LocalLoss, State, check_state, network_loss_target

Correction = Literal["difference", "plain"]
Start = Literal["penultimate", "output"]
ForwardLoss = Literal["matching", "squared_outputs"]
CORRECTIONS: tuple[str, ...] = get_args(Correction)
STARTS: tuple[str, ...] = get_args(Start)
FORWARD_LOSSES: tuple[str, ...] = get_args(ForwardLoss)


@dataclass(frozen=True)
class InverseTargets:
    r"""The targets of (difference) target propagation, and the training of its inverses.

    A step computes the targets with the inverses as they are, and then trains these on the same batch, with
    the weights of the network before its step.

    Args:
        step: γ > 0 of the first target, default 10, that of `GradientTargets`, untuned here.
        correction: "difference" (default) or "plain".
        start: "penultimate" (default; believed to be the original's choice): y*_{M−1} = ŷ_{M−1} −
            γ∂L/∂ŷ_{M−1}, and the last layer learns on the network loss itself; or "output": y*_M = ŷ_M −
            γg_M, which needs ψ_M. In both the 1/B of the mean over the batch is in the derivative.
        forward_loss: "matching" (default: y* is the target of the layer's matching loss; needs
            `LocoProp("matching", ...)`), or "squared_outputs" (Lee et al.: the first inner gradient is
            that of ½‖f(â) − y*‖², which has one slope f′ more; K > 1 steps continue with the local loss).
        noise: σ ≥ 0, default 0.1, a first guess, untuned.
        optimizer: of the inverses, default `Adam()`.
        inverse_lr: its learning rate > 0, default 1e-3, that of Adam's paper.
        inverse_steps: steps of the inverses a batch, each with its own noise, default 1.

    Raises:
        ValueError, TypeError: a setting out of its range.

    >>> from locoprop_ref.network import initialize
    >>> network = initialize((3, 5, 4, 2), transfers=("tanh", "tanh", "identity"))
    >>> [tuple(psi["W"].shape) for psi in InverseTargets().init(network)["inverses"]]
    [(5, 5)]
    """

    step: float = 10.0
    correction: Correction = "difference"
    start: Start = "penultimate"
    forward_loss: ForwardLoss = "matching"
    noise: float = 0.1
    optimizer: Optimizer = field(default_factory=Adam)
    inverse_lr: float = 1e-3
    inverse_steps: int = 1

    def __post_init__(self) -> None:
        checks.keep(self, checks.positive, "step", "inverse_lr")
        checks.keep(self, checks.not_negative, "noise")
        checks.keep(self, checks.integer, "inverse_steps")
        checks.one_of("correction", self.correction, CORRECTIONS)
        checks.one_of("start", self.start, STARTS)
        checks.one_of("forward_loss", self.forward_loss, FORWARD_LOSSES)
        checks.conforms("optimizer", self.optimizer, Optimizer, "an Optimizer, as optimizer('sgd') makes")

    def init(self, network: Network, seed: int = 0) -> State:
        r"""Return step 0, the seed of the noise, and Ṽ = [V; c] of ψ_2..ψ_{M−1} ("output": ..ψ_M).

        V is drawn uniform in ±√(6/(d_m + d_{m−1})), in float64 by NumPy, c is 0.

        Raises:
            ValueError, TypeError: a layer with positions, or seed is no integer of at least 0.
        """
        checks.instance("network", network, Network, "a Network, as initialize makes")
        for m, layer in enumerate(network.layers, start=1):
            if layer.wiring is not None:
                raise ValueError(f"network must have dense layers alone for learned inverses, not layer {m}")
        seed = checks.integer("seed", seed, minimum=0, maximum=None)
        rng = np.random.default_rng([seed, 0, 4])
        inverses = []
        for _, layer in self._pairs(network):
            d_below, d = layer.W.shape
            V = rng.uniform(-1, 1, (d, d_below)) * (6 / (d + d_below)) ** 0.5
            stacked = _numbers(np.vstack([V, np.zeros((1, d_below))]), like=layer.W)
            inverses.append({"W": stacked, "optimizer": self.optimizer.init(stacked)})
        return {"step": 0, "seed": seed, "inverses": tuple(inverses)}

    def _pairs(self, network: Network) -> list[tuple[Layer, Layer]]:
        """Return (layer m−1, layer m) for every ψ_m."""
        pairs = list(pairwise(network.layers))
        return pairs if self.start == "output" else pairs[:-1]

    def __call__(
        self, network: Network, trace: Trace, t: Any, local: LocalLoss, state: State
    ) -> tuple[Sequence[LayerTarget], State]:
        """Return the targets of all layers, and the state with the trained inverses.

        Raises:
            ValueError: "matching" with another local loss, or "penultimate" where the network loss is not
                the matching loss of the last transfer function.
        """
        self._check(state, network)
        y_targets = self._propagated(network, trace, t, state["inverses"])
        parts = zip(network.layers, trace.x, trace.a_hat, trace.y_hat, y_targets, strict=False)
        targets = [self._of_layer(layer, local(layer), *rest) for layer, *rest in parts]
        if self.start == "penultimate":
            last = network.layers[-1]
            targets.append(network_loss_target(last, network.loss, trace.x[-1], t, trace.a_hat[-1]))
        return targets, self._trained(network, trace, state)

    def _check(self, state: Any, network: Network) -> None:
        shapes = [(layer.W.shape[1] + 1, layer.W.shape[0]) for _, layer in self._pairs(network)]
        inverses = state.get("inverses") if isinstance(state, dict) else None
        if isinstance(inverses, tuple):
            stacked = tuple(psi.get("W") if isinstance(psi, dict) else None for psi in inverses)
            state = {**state, "inverses": stacked}
        check_state(state, network, step=None, seed=None, inverses=shapes)

    def _propagated(self, network: Network, trace: Trace, t: Any, inverses: Sequence[State]) -> list[Any]:
        """Return y* of the layers, from the bottom up to where it starts."""
        last = network.layers[-1]
        g = network.loss.g(trace.a_hat[-1], t, last.transfer)
        if self.start == "output":
            found = [trace.y_hat[-1] - self.step * g]
        elif len(network.layers) == 1:
            return []
        else:
            found = [trace.y_hat[-2] - self.step * last.pull_back(g, trace.y_hat[-2])]
        kept = list(zip(self._pairs(network), inverses, trace.y_hat[:-1], trace.y_hat[1:], strict=False))
        for (below, _), psi, y_below, y in reversed(kept):
            inverse = _inverse(psi["W"], below)
            target = inverse.through(found[-1])[2]
            if self.correction == "difference":
                target = y_below + (target - inverse.through(y)[2])
            found.append(target)
        return found[::-1]

    def _of_layer(self, layer: Layer, f: Any, x: Any, a_hat: Any, y_hat: Any, y_target: Any) -> LayerTarget:
        if self.forward_loss == "squared_outputs":
            gradient = layer.transfer.vjp(a_hat, y_hat - y_target)
            return LayerTarget(x, f.f(a_hat) - gradient, f, a_hat)
        if f is not layer.transfer:
            raise ValueError(
                f"local_loss must be 'matching' for the forward_loss 'matching', got {f.name} for a layer of "
                f"{layer.transfer.name}"
            )
        return LayerTarget(x, y_target, f, a_hat)

    def _trained(self, network: Network, trace: Trace, state: State) -> State:
        """Return the state after the inverses' steps, all of them with noise of their own."""
        rng, inverses = np.random.default_rng([state["seed"], state["step"], 3]), []
        for (below, layer), psi, y in zip(
            self._pairs(network), state["inverses"], trace.y_hat[:-1], strict=False
        ):
            W, kept = psi["W"], psi["optimizer"]
            for _ in range(self.inverse_steps):
                noisy = y + self.noise * _numbers(rng.standard_normal(tuple(y.shape)), like=y)
                gradient = denoising_gradient(_inverse(W, below), layer, noisy)
                change, kept = self.optimizer.update(gradient, kept, self.inverse_lr)
                W = W - change
            inverses.append({"W": W, "optimizer": kept})
        return {**state, "step": state["step"] + 1, "inverses": tuple(inverses)}


def denoising_gradient(inverse: Layer, layer: Layer, h: Any) -> Any:
    r"""Return the gradient of (1/2B) Σ_rows ‖ψ(f(hW + b)) − h‖² with respect to Ṽ = [V; c] of ψ.

    Args:
        inverse: ψ, a dense layer.
        layer: the layer that it inverts, with f, W and b.
        h: (B, d_in) its noisy inputs.
    """
    y = layer.through(h)[2]
    _, a, h_again = inverse.through(y)
    gradient = inverse.augment(y).T @ inverse.transfer.vjp(a, h_again - h)
    gradient /= h.shape[0]
    return gradient


def _inverse(W: Any, below: Layer) -> Layer:
    """Return ψ as a layer, with the transfer function of the layer below the inverted one."""
    return Layer(W[:-1, :], W[-1, :], below.transfer)


def _numbers(values: np.ndarray, like: Any) -> Any:
    return to_backend(values, xp=array_namespace(like), dtype=dtype_name(like), device=device(like))
