r"""Where the local target y* comes from."""

from typing import Any

from locoprop_ref import checks
from locoprop_ref.backend import array_namespace, on_host
from locoprop_ref.network import Network, Trace


def target(y_hat: Any, g: Any, target_step: float) -> Any:
    r"""Return the local target y* = ŷ − γg, (B, d_out).

    Args:
        y_hat: f(â₀) of the *local* transfer: the post-activation for M, the pre-activation for S.
        g: ∂L/∂â, always from the network's own transfer function.
        target_step: γ > 0 (the authors' code calls it the activation learning rate: 10).

    Raises:
        ValueError, TypeError: γ ≤ 0, or shapes or dtypes differ.
    """
    checks.positive("target_step", target_step)
    checks.array("y_hat", y_hat)
    checks.array("g", g, shape=tuple(y_hat.shape))
    checks.same_dtype(y_hat=y_hat, g=g)
    return y_hat - target_step * g


def code_update(network: Network, trace: Trace, t: Any, step: float) -> tuple[Any, ...]:
    r"""Return the codes c_1..c_{M−1} after one gradient step on each, from the top down.

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
    checks.positive("step", step)
    layers = network.layers
    if [a.shape[1] for a in trace.a_hat] != [layer.W.shape[1] for layer in layers]:
        raise ValueError("trace must be of the forward pass of this network, got one of other layers")
    checks.batch("t", t, width=layers[-1].W.shape[1])
    if on_host(t):
        checks.finite("t", t, xp=array_namespace(t))
    above = network.loss.g(trace.a_hat[-1], t, layers[-1].transfer)  # ∂L/∂â_M
    codes: list[Any] = []
    for m in reversed(range(len(layers) - 1)):
        a_hat = trace.a_hat[m]
        codes.append(a_hat - step * layers[m].transfer.vjp(a_hat, above @ layers[m + 1].W.T))
        above = a_hat - codes[-1]  # ∂E_m/∂ĉ_m for the code below, ĉ_m being â_m still
    return tuple(reversed(codes))
