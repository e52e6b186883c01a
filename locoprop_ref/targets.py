r"""Targets: where the y* of every layer's local problem comes from.

    gradient         y* = f(â) − γg, a step along −g from what the layer says now    LocoProp
    Kronecker        y* = f(â − γgG⁻¹), G an output factor                           K-FAC
    Gauss–Newton     y* = f(â − γJᵀ((1−τ)JJᵀ + τI)⁻¹r), J = ∂â_M/∂â                  to target propagation
    feedback         y* = f(â) − γg, g through random weights                        feedback alignment
    inverse          y*_{m−1} = ŷ_{m−1} + ψ_m(y*_m) − ψ_m(ŷ_m), ψ_m learned          target propagation
    code             y* = f(c), c a code after its steps, and inputs f(c)            alternating minimization

The first of them stands here; each of the others has a file of its name, `methods/kronecker_targets.py`,
`gauss_newton_targets.py`, and so on.

A target rule sees the network, its forward pass and the batch, and returns for every layer what its problem
is made of: the rows of its input, y* and the local transfer function. A class of your own with the two
methods of `Targets` is a target rule, and inherits from nothing:

>>> from locoprop_ref.network import forward, initialize
>>> import numpy as np
>>> class Shrinking:
...     "Every layer shall say a little less than it does."
...     def init(self, network, seed=0):
...         return {}
...     def __call__(self, network, trace, t, local, state):
...         parts = zip(network.layers, trace.x, trace.a_hat, strict=True)
...         return [LayerTarget(x, 0.9 * local(m).f(a), local(m), a) for m, x, a in parts], state
>>> isinstance(Shrinking(), Targets)
True
"""

import numbers
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from locoprop_ref import checks
from locoprop_ref.backend import array_namespace, on_host
from locoprop_ref.layers import Layer
from locoprop_ref.losses import OutputLoss
from locoprop_ref.network import Network, Trace, backward
from locoprop_ref.transfers import Transfer

State = dict[str, Any]
LocalLoss = Callable[[Layer], Transfer]  # the local transfer function of a layer


@dataclass(frozen=True)
class LayerTarget:
    """What a target rule says of one layer.

    Args:
        x: (R, d_in) rows of the layer's input, without the column of ones.
        y_target: y*, (R, d_out), a target of f(â) for the local transfer function f.
        transfer: the local transfer function f.
        a_hat: (R, d_out), the pre-activation for these rows where it is known already, else None (default).
        loss_weight: factor of the layer's local loss, default 1; 1/B makes of the label, as the target of a
            matching output layer, the network loss itself, which is a mean.
    """

    x: Any
    y_target: Any
    transfer: Transfer
    a_hat: Any = None
    loss_weight: float = 1.0


@runtime_checkable
class Targets(Protocol):
    """The contract of a target rule."""

    def init(self, network: Network, seed: int = 0) -> State:
        """Return the state before the first step, arrays and numbers; {} for a rule without memory."""

    def __call__(
        self, network: Network, trace: Trace, t: Any, local: LocalLoss, state: State
    ) -> tuple[Sequence[LayerTarget], State]:
        """Return the targets of all layers, from the bottom up, and the state.

        Args:
            network: the network; none of its weights has moved yet.
            trace: of its forward pass.
            t: (B, d_M), what the network should say.
            local: gives the local transfer function of a layer.
            state: what `init` or the step before returned.
        """


@dataclass(frozen=True)
class GradientTargets:
    r"""LocoProp's targets, y* = f(â) − γg with g = ∂L/∂â: one step of steepest descent from what stands.

    Args:
        step: γ > 0, default 10 (the authors' code calls it the activation learning rate); or one number for
            each layer, from the bottom up.

    Raises:
        ValueError, TypeError: a γ that is not a positive number.

    >>> GradientTargets(step=4).steps(2)
    (4.0, 4.0)
    """

    step: float | tuple[float, ...] = 10.0

    @classmethod
    def geometric(cls, factor: float, layers: int, top: float = 1.0) -> "GradientTargets":
        r"""Return the targets with γ_m = top·s^{M−m}, a geometric schedule down the layers.

        For LocoProp-S these are the targets of several algorithms. The first step on the codes of alternating
        minimization, of size s, gives them with top = 1/μ, where 1/μ is the weight of the network loss (see
        `code_targets`). Z-IL, predictive coding in which a layer learns at the moment when its error first
        arrives (Song, Lukasiewicz, Xu, Bogacz, NeurIPS 2020), has them with top = 1, and with s = 1 it is
        BackProp.

        Args:
            factor: s > 0, by which γ changes from a layer to the one below.
            layers: M ≥ 1.
            top: γ_M > 0 of the last layer, default 1.

        Raises:
            ValueError, TypeError: s or γ_M is not a positive number, or M is no integer of at least 1.

        >>> GradientTargets.geometric(0.5, layers=3).step
        (0.25, 0.5, 1.0)
        """
        s, gamma = checks.positive("factor", factor), checks.positive("top", top)
        M = checks.integer("layers", layers)
        return cls(tuple([gamma * s ** (M - m) for m in range(1, M + 1)]))

    def __post_init__(self) -> None:
        given = self.step if isinstance(self.step, tuple) else (self.step,)
        steps = tuple([checks.positive("target_step", gamma) for gamma in given])
        object.__setattr__(self, "step", steps if isinstance(self.step, tuple) else steps[0])

    def init(self, network: Network, seed: int = 0) -> State:
        """Return {}: the targets of a batch depend on nothing before it."""
        checks.instance("network", network, Network, "a Network, as initialize makes")
        self.steps(len(network.layers))
        return {}

    def steps(self, count: int) -> tuple[float, ...]:
        """Return γ of every layer.

        Raises:
            ValueError: there are as many numbers as there are neither one nor layers.
        """
        if not isinstance(self.step, tuple):
            return (self.step,) * count
        if len(self.step) != count:
            raise ValueError(
                f"target_step must be one number, or one for each of {count} layers, got {self.step}"
            )
        return self.step

    def __call__(
        self, network: Network, trace: Trace, t: Any, local: LocalLoss, state: State
    ) -> tuple[Sequence[LayerTarget], State]:
        """Return (x, f(â) − γg, f) of every layer, from one backward pass."""
        g, gammas = backward(network, trace, t), self.steps(len(network.layers))
        parts = zip(network.layers, trace.x, trace.a_hat, trace.y_hat, g, gammas, strict=True)
        return [self.of_layer(layer, local(layer), *rest) for layer, *rest in parts], state

    def of_layer(
        self, layer: Layer, f: Transfer, x: Any, a_hat: Any, y_hat: Any, g: Any, gamma: float
    ) -> LayerTarget:
        """Return the target of one layer, y* = f(â) − γg.

        Args:
            layer: the layer.
            f: its local transfer function.
            x: (R, d_in) rows of its input.
            a_hat: (R, d_out) pre-activation.
            y_hat: (R, d_out) post-activation, which is f(â) where f is the layer's own.
            g: (R, d_out), ∂L/∂â, the 1/B of the mean over the batch included.
            gamma: γ of this layer.
        """
        y = y_hat if f is layer.transfer else f.f(a_hat)
        return LayerTarget(x, _stepped(y, g, gamma), f, a_hat)


def check_state(state: Any, network: Network, **wanted: Any) -> None:
    """Check the state of a target rule: its names, and the shapes and the dtype of its arrays.

    Args:
        state: the state.
        network: the network, in whose dtype the arrays are.
        **wanted: for every name None for a count, an integer of at least 0, or a list with the shape of
            every array of a tuple.

    Raises:
        ValueError: the state is another nest.

    >>> from locoprop_ref.network import initialize
    >>> check_state({"step": 3, "G": ()}, initialize((2, 1), transfers="tanh"), step=None, G=[])
    """
    right, dtype = isinstance(state, dict) and state.keys() == wanted.keys(), network.layers[0].W.dtype
    for name, shapes in wanted.items() if right else ():
        value = state[name]
        if shapes is None:
            right = right and isinstance(value, numbers.Integral) and int(value) >= 0
        elif not isinstance(value, tuple) or len(value) != len(shapes):
            right = False
        else:
            found = [(tuple(getattr(v, "shape", ())), getattr(v, "dtype", None)) for v in value]
            right = right and found == [(tuple(shape), dtype) for shape in shapes]
    if not right:
        raise ValueError("state['targets'] must be what init made of this network, got another nest")


def displaced(layer: Layer, f: Transfer, x: Any, a_hat: Any, d: Any) -> LayerTarget:
    r"""Return the target of a layer whose pre-activation shall move by −d: y* = f(â − d).

    For d = γg LocoProp has another target, y* = f(â) − γg. They agree where f is the identity, as in
    LocoProp-S; to subtract any other displacement from f(â) would mix its units with those of ŷ.

    Args:
        layer: the layer.
        f: its local transfer function.
        x: (R, d_in) rows of its input.
        a_hat: (R, d_out), pre-activation.
        d: (R, d_out), displacement of the pre-activation.
    """
    return LayerTarget(x, f.f(a_hat - d), f, a_hat)


def network_loss_target(layer: Layer, loss: OutputLoss, x: Any, t: Any, a_hat: Any = None) -> LayerTarget:
    r"""Return the target that makes the last layer's local problem the network loss L itself.

    A matching loss is Σ D_F(â, t) summed over the batch, and L is its mean: y* = t with the weight 1/B.

    Args:
        layer: the last layer.
        loss: the network loss.
        x: (B, d_in) rows of the layer's input.
        t: (B, d_M), what the network should say; with a softmax every row sums to 1.
        a_hat: (B, d_M), the pre-activation for these rows where it is known already.

    Raises:
        ValueError, TypeError: the network loss is not the matching loss of the last transfer function, or t
            does not fit the layer's output.
    """
    f = layer.transfer
    checks.array("t", t, shape=(x.shape[0] // layer.positions, layer.W.shape[1]))
    checks.same_dtype(x=x, t=t)
    if f.name != (loss.last_transfer or "identity"):
        raise ValueError(
            "network must have the matching loss of its last transfer function for a last layer that learns "
            f"on the network loss itself, got {loss.name} with {f.name!r}"
        )
    return LayerTarget(x, t, f, a_hat, 1.0 / t.shape[0])


def target(y_hat: Any, g: Any, target_step: float) -> Any:
    r"""Return the local target y* = ŷ − γg, (B, d_out).

    Args:
        y_hat: f(â₀) of the *local* transfer: the post-activation for M, the pre-activation for S.
        g: ∂L/∂â, always from the network's own transfer function.
        target_step: γ > 0 (the authors' code calls it the activation learning rate: 10).

    Raises:
        ValueError, TypeError: γ ≤ 0, or shapes or dtypes differ.
    """
    gamma = checks.positive("target_step", target_step)
    checks.array("y_hat", y_hat)
    checks.like("g", g, y_hat, of="y_hat")
    return _stepped(y_hat, g, gamma)


def _stepped(y_hat: Any, g: Any, gamma: float) -> Any:
    return y_hat - gamma * g


def code_update(network: Network, trace: Trace, t: Any, step: float) -> tuple[Any, ...]:
    r"""Return the codes c_1..c_{M−1} of alternating minimization after one step on each, from the top down.

    Methods of auxiliary coordinates give every hidden layer a variable of its own, its code c_m, here of the
    pre-activation, and minimize in turn over the codes and over the weights. The loss between two layers is

        E_{m+1}(c_m) = ½‖ĉ_{m+1}(c_m) − c_{m+1}‖²,        ĉ_{m+1}(c) = f_m(c) W_{m+1} + b_{m+1},

    summed over the batch; the topmost code sees the network loss L(c_{M−1}) itself, the mean over the batch.
    One gradient step on each code, from the top down, makes the codes the targets of LocoProp-S with γ_m =
    s^{M−m}.

    Every code starts at the forward pass, c_m = â_m, and moves along the gradient of the loss above it, in
    which the code c_{m+1} has moved already:

        c_{M−1} ← â_{M−1} − s ∂L/∂c_{M−1},
        c_m ← â_m − s ((â_{m+1} − c_{m+1}) W_{m+1}ᵀ) f′_m(â_m),        m = M−2..1,

    since ĉ_{m+1}(â_m) = â_{m+1}.

    Args:
        network: the network; its weights stay as they are.
        trace: of its forward pass.
        t: (B, d_M), what the network should say.
        step: s > 0.

    Returns:
        M − 1 arrays, c_m of shape (B, d_m); none for a network of one layer.

    Raises:
        ValueError, TypeError: s ≤ 0, a trace of another network, or t does not fit the network's output or
            (on the host) has nan or infinity in it.

    >>> import numpy as np
    >>> from locoprop_ref.network import forward, initialize
    >>> network = initialize((3, 5, 4, 2), transfers="tanh")
    >>> trace = forward(network, np.ones((6, 3)))
    >>> [code.shape for code in code_update(network, trace, np.ones((6, 2)), 0.5)]
    [(6, 5), (6, 4)]
    """
    checks.instance("network", network, Network, "a Network")
    checks.instance("trace", trace, Trace, "a Trace, as forward(network, x) makes")
    step = checks.positive("step", step)
    layers = network.layers
    if any(layer.recurrent for layer in layers):
        raise ValueError("network must have no recurrent layer for codes: paths through it differ in length")
    if [a.shape[1] for a in trace.a_hat] != [layer.W.shape[1] for layer in layers]:
        raise ValueError("trace must be of the forward pass of this network, got one of other layers")
    checks.batch("t", t, width=layers[-1].W.shape[1])
    if on_host(t):
        checks.finite("t", t, xp=array_namespace(t))
    above = network.loss.g(trace.a_hat[-1], t, layers[-1].transfer)  # ∂L/∂â_M
    codes: list[Any] = []
    for m in reversed(range(len(layers) - 1)):
        a_hat = trace.a_hat[m]
        codes.append(
            a_hat - step * layers[m].transfer.vjp(a_hat, layers[m + 1].pull_back(above, trace.y_hat[m]))
        )
        above = a_hat - codes[-1]  # ∂E_m/∂ĉ_m for the code below, ĉ_m being â_m still
    return tuple(reversed(codes))
