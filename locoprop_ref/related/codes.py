r"""Alternating minimization: the step that moves the codes, the weights standing still.

Methods of auxiliary coordinates give every hidden layer a variable of its own, its code c_m, here of the
pre-activation, and minimize in turn over the codes and over the weights. Between two layers stands the loss

    E_{m+1}(c_m) = ½‖ĉ_{m+1}(c_m) − c_{m+1}‖²,        ĉ_{m+1}(c) = f_m(c) W_{m+1} + b_{m+1},

summed over the batch; the topmost code sees the network loss L(c_{M−1}) itself, the mean over the batch. One
gradient step on each code, from the top down, makes the codes the targets of LocoProp-S with γ_m = s^{M−m}.
"""

from typing import Any

from locoprop_ref import check
from locoprop_ref.backend import array_namespace, on_host
from locoprop_ref.network import Network, Trace


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
    check.instance("network", network, Network, "a Network")
    check.instance("trace", trace, Trace, "a Trace, as forward(network, x) makes")
    check.positive("step", step)
    layers = network.layers
    if [a.shape[1] for a in trace.a_hat] != [layer.W.shape[1] for layer in layers]:
        raise ValueError("trace must be of the forward pass of this network, got one of other layers")
    check.batch("t", t, width=layers[-1].W.shape[1])
    if on_host(t):
        check.finite("t", t, xp=array_namespace(t))
    above = network.loss.g(trace.a_hat[-1], t, layers[-1].transfer)  # ∂L/∂â_M
    codes: list[Any] = []
    for m in reversed(range(len(layers) - 1)):
        a_hat = trace.a_hat[m]
        codes.append(a_hat - step * layers[m].transfer.vjp(a_hat, above @ layers[m + 1].W.T))
        above = a_hat - codes[-1]  # ∂E_m/∂ĉ_m for the code below, ĉ_m being â_m still
    return tuple(reversed(codes))
