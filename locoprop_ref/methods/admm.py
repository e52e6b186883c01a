r"""ADMM: training without gradients, all examples at once (Taylor et al. 2016).

Every example has for every hidden layer an activation a_m and a pre-activation z_m of its own, for the last
layer z_M, and a multiplier λ that holds z_M to the network's output. With p_m = a_{m−1}W_m + b_m and a_0 = x,

    E = ℓ(z_M, t) + ⟨λ, z_M⟩ + (β/2)‖z_M − p_M‖² + Σ_{m<M} [(γ/2)‖a_m − relu(z_m)‖² + (β/2)‖z_m − p_m‖²],

ℓ(z, t) = ½(z − t)², or the hinge loss for labels 0 and 1. All terms are **sums** over examples and units. One
step minimizes E over one block of variables after the other, each exactly:

    for m < M:  W̃_m    least squares from a_{m−1} to z_m
                a_m    (γ relu(z_m) + β(z_{m+1} − b_{m+1})W_{m+1}ᵀ) (γI + βW_{m+1}W_{m+1}ᵀ)⁻¹
                z_m    each number by itself: the cheaper of max(0, (γa + βp)/(γ + β)) and min(0, p)
    for m = M:  W̃_M    least squares
                z_M    each number by itself
                λ      λ + κβ(z_M − p_M), which minimizes nothing

So the step of the weights is LocoProp-S without regularizer, with codes for inputs and for targets. With
κ = 0, λ stays 0, and the method is block coordinate descent ("BCD"), which never raises E.

Source: Taylor, Burmeister, Xu, Singh, Patel, Goldstein, "Training Neural Networks Without Gradients: A
Scalable ADMM Approach", ICML 2016. Their penalties have no ½.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, get_args

from locoprop_ref import checks
from locoprop_ref.backend import array_namespace, device, solve_positive_definite
from locoprop_ref.layers import Layer
from locoprop_ref.methods.base import Info, State, check_network, check_step
from locoprop_ref.methods.offline import check_examples, fitted
from locoprop_ref.network import Network, forward

LastLoss = Literal["squared", "hinge"]
LAST_LOSSES: tuple[str, ...] = get_args(LastLoss)


@dataclass(frozen=True)
class ADMM:
    r"""ADMM on all examples, for dense networks whose hidden layers are ReLU; κ = 0 is coordinate descent.

    The output is linear: ADMM fits the pre-activation of the last layer to the targets with its own loss, and
    neither the network loss nor the last transfer function takes part. They only evaluate the network, and to
    classify, softmax and sigmoid have their largest output where the pre-activation has it.

    Args:
        activation_penalty: γ > 0 of ½‖a − relu(z)‖²; default 10, a first guess.
        pre_activation_penalty: β > 0 of ½‖z − p‖²; default 1, a first guess.
        multiplier_step: κ ≥ 0, default 1; 0 for block coordinate descent.
        last_loss: "squared" (default) or "hinge", for targets that are 0 or 1.
        warm_start: steps ≥ 0 before λ moves, default 0.

    Raises:
        ValueError, TypeError: a setting out of its range.

    >>> import numpy as np
    >>> from locoprop_ref.network import initialize
    >>> network = initialize((3, 8, 2), transfers=("relu", "identity"))
    >>> x = np.random.default_rng(0).normal(size=(50, 3))
    >>> t, descent = x[:, :2] ** 2, ADMM(multiplier_step=0)
    >>> state, energies = descent.init(network), []
    >>> for _ in range(10):
    ...     network, state, info = descent.step(network, state, x, t)
    ...     energies.append(float(descent.energy(network, state, x, t)))
    >>> energies == sorted(energies, reverse=True)
    True
    """

    sees_all_examples: ClassVar[bool] = True  # a step takes all examples, always in the same order

    activation_penalty: float = 10.0
    pre_activation_penalty: float = 1.0
    multiplier_step: float = 1.0
    last_loss: LastLoss = "squared"
    warm_start: int = 0

    def __post_init__(self) -> None:
        checks.keep(self, checks.positive, "activation_penalty", "pre_activation_penalty")
        checks.keep(self, checks.not_negative, "multiplier_step")
        checks.one_of("last_loss", self.last_loss, LAST_LOSSES)
        checks.keep(self, checks.integer, "warm_start", minimum=0)

    def init(self, network: Network, seed: int = 0) -> State:
        """Return the state before the examples are known: codes that are None.

        Raises:
            ValueError: a hidden layer that is not ReLU, or a layer that is not dense.
        """
        _check_network(network)
        return {"layers": tuple(dict.fromkeys(names) for names in _names(network)), "steps": 0}

    def step(
        self, network: Network, state: State, x: Any, t: Any, *, rate: float = 1.0
    ) -> tuple[Network, State, Info]:
        """Return (network, state, {}) after every block has been minimized once, from the bottom up.

        The first step begins with the codes of the forward pass, z = â and a = relu(z), and with λ = 0. The
        rate multiplies κ, since the blocks have no step size; at rate 0 nothing moves.

        Args:
            network: the network.
            state: what `init` or the step before returned.
            x: (B, d_0), all examples.
            t: (B, d_M), for the hinge loss 0 or 1 (numbers above ½ count as 1).
            rate: r ≥ 0, default 1.

        Raises:
            ValueError, TypeError: another number of examples than before; see also `init`.
        """
        r = check_step(network, state, x, t, rate)
        _check_network(network)
        if check_examples(network, state, x, t, _names(network)):
            state = _codes_of_forward_pass(network, state, x)
        count = checks.integer("state['steps']", state.get("steps"), minimum=0)
        if r == 0:
            return network, state, {}
        gamma, beta = self.activation_penalty, self.pre_activation_penalty
        layers, codes, below = list(network.layers), [dict(entry) for entry in state["layers"]], x
        for m, entry in enumerate(codes[:-1]):
            layers[m] = fitted(layers[m], below, entry["z"])
            a = activation_block(layers[m + 1], entry["z"], codes[m + 1]["z"], gamma, beta)
            z = hidden_block(a, layers[m].pre_activation(below), gamma, beta)
            codes[m], below = {"a": a, "z": z}, a
        layers[-1] = fitted(layers[-1], below, codes[-1]["z"])
        p, multiplier = layers[-1].pre_activation(below), codes[-1]["multiplier"]
        z = last_block(p, t, multiplier, beta, self.last_loss)
        if count >= self.warm_start and self.multiplier_step:
            multiplier = multiplier_update(multiplier, z, p, r * self.multiplier_step * beta)
        codes[-1] = {"z": z, "multiplier": multiplier}
        return replace(network, layers=tuple(layers)), {"layers": tuple(codes), "steps": count + 1}, {}

    def energy(self, network: Network, state: State, x: Any, t: Any) -> Any:
        """Return E, a 0-d array: the sum over all examples, for the codes of a state after a step.

        Args:
            network: the network.
            state: after a step.
            x: (B, d_0), all examples.
            t: (B, d_M).
        """
        xp, gamma, beta = array_namespace(x), self.activation_penalty, self.pre_activation_penalty
        below, total = x, 0.0
        for layer, codes in zip(network.layers, state["layers"], strict=True):
            total = total + beta / 2 * xp.sum((codes["z"] - layer.pre_activation(below)) ** 2)
            if "a" in codes:
                total = total + gamma / 2 * xp.sum((codes["a"] - _relu(codes["z"], xp)) ** 2)
                below = codes["a"]
        z, multiplier = codes["z"], codes["multiplier"]
        return total + xp.sum(multiplier * z) + xp.sum(last_losses(z, t, self.last_loss))


def last_losses(z: Any, t: Any, loss: LastLoss) -> Any:
    """Return ℓ(z, t) of every number: ½(z − t)²; or hinge, max(0, 1 − z) for label 1 and max(0, z) for 0."""
    xp = array_namespace(z, t)
    if loss == "squared":
        return (z - t) ** 2 / 2
    return xp.where(t > 0.5, _relu(1 - z, xp), _relu(z, xp))


def activation_block(upper: Layer, z: Any, z_above: Any, gamma: float, beta: float) -> Any:
    r"""Return the a that minimizes (γ/2)‖a − relu(z)‖² + (β/2)‖z⁺ − aW⁺ − b⁺‖², (B, d).

    Args:
        upper: the layer above, with W⁺ and b⁺.
        z: (B, d) pre-activations of this layer.
        z_above: z⁺, those of the layer above.
        gamma, beta: γ and β.
    """
    xp, W = array_namespace(z), upper.W
    aim = z_above if upper.b is None else z_above - upper.b
    metric = gamma * xp.eye(W.shape[0], dtype=W.dtype, device=device(W)) + beta * (W @ W.T)
    right = gamma * _relu(z, xp) + beta * (aim @ W.T)
    return solve_positive_definite(metric, right.T, xp=xp).T


def hidden_block(a: Any, p: Any, gamma: float, beta: float) -> Any:
    r"""Return the z that minimizes (γ/2)(a − relu(z))² + (β/2)(z − p)², number by number.

    On either side of the kink E is a parabola in z. Its minimum over z ≥ 0 is at max(0, (γa + βp)/(γ + β)),
    over z ≤ 0 at min(0, p): the cheaper of the two is the answer.

    Args:
        a: (B, d) activations.
        p: (B, d) pre-activations that the layer below gives.
        gamma, beta: γ and β.
    """
    xp = array_namespace(a, p)
    active, resting = _relu((gamma * a + beta * p) / (gamma + beta), xp), -_relu(-p, xp)

    def cost(z: Any) -> Any:
        return gamma * (a - _relu(z, xp)) ** 2 + beta * (z - p) ** 2

    return xp.where(cost(active) <= cost(resting), active, resting)


def last_block(p: Any, t: Any, multiplier: Any, beta: float, loss: LastLoss) -> Any:
    r"""Return the z that minimizes ℓ(z, t) + λz + (β/2)(z − p)², number by number.

    Args:
        p: (B, d_M) the network's output.
        t: (B, d_M) targets; for the hinge loss 0 or 1.
        multiplier: (B, d_M) λ.
        beta: β.
        loss: "squared" or "hinge".
    """
    if loss == "squared":
        return (t - multiplier + beta * p) / (1 + beta)
    # The slope of the hinge moves q by 1/β towards its kink (1 for label 1, 0 for label 0), never beyond it.
    xp, q = array_namespace(p, t), p - multiplier / beta
    one = xp.maximum(q, xp.minimum(xp.ones_like(q), q + 1 / beta))
    zero = xp.minimum(q, xp.maximum(xp.zeros_like(q), q - 1 / beta))
    return xp.where(t > 0.5, one, zero)


def multiplier_update(multiplier: Any, z: Any, p: Any, step: float) -> Any:
    """Return λ + κβ(z − p), for step = κβ."""
    return multiplier + step * (z - p)


def _relu(a: Any, xp: Any) -> Any:
    return xp.maximum(a, xp.zeros_like(a))


def _names(network: Network) -> list[tuple[str, ...]]:
    return [*[("a", "z") for _ in network.layers[:-1]], ("z", "multiplier")]


def _codes_of_forward_pass(network: Network, state: State, x: Any) -> State:
    trace = forward(network, x)
    hidden = [{"a": a, "z": z} for a, z in zip(trace.y_hat[:-1], trace.a_hat[:-1], strict=True)]
    z = trace.a_hat[-1]
    return {**state, "layers": (*hidden, {"z": z, "multiplier": array_namespace(z).zeros_like(z)})}


def _check_network(network: Network) -> None:
    for layer in check_network(network).layers:
        if layer.wiring is not None:
            raise ValueError("network must have dense layers alone for admm, got one with positions")
    for layer in network.layers[:-1]:
        if layer.transfer.name != "relu":
            raise ValueError(
                f"network must have relu in its hidden layers for admm, got {layer.transfer.name!r}"
            )
