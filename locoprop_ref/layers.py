r"""A layer ŷ = f(xW + b): the rows of its input, its pre-activation, and g for the layer below."""

from dataclasses import dataclass, replace
from typing import Any

from locoprop_ref import checks
from locoprop_ref.backend import array_namespace, device
from locoprop_ref.transfers import Transfer


@dataclass(frozen=True)
class Layer:
    r"""One layer ŷ = f(xW + b).

    Args:
        W: (d_in, d_out) weights.
        b: (d_out,) bias, or None for a layer without one.
        transfer: its transfer function f.

    Raises:
        TypeError, ValueError: W is no matrix of floats, b does not fit it, or transfer is no Transfer.
    """

    W: Any
    b: Any
    transfer: Transfer

    def __post_init__(self) -> None:
        checks.array("W", self.W, ndim=2)
        if self.b is not None:
            checks.array("b", self.b, shape=(self.W.shape[1],))
            checks.same_dtype(W=self.W, b=self.b)
        checks.instance("transfer", self.transfer, Transfer, "a Transfer, as transfer('tanh') makes")


def pre_activation(layer: Layer, x: Any) -> Any:
    """Return â = xW + b, (B, d_out); nothing is checked here (`forward` does).

    Args:
        layer: the layer.
        x: (B, d_in) its input.
    """
    a_hat = x @ layer.W
    if layer.b is not None:
        a_hat += layer.b
    return a_hat


def layer_input(layer: Layer, x: Any) -> Any:
    """Return x̃, (B, d_in + 1): x with a last column of ones; without bias x itself, (B, d_in).

    Args:
        layer: the layer.
        x: (B, d_in) its input.
    """
    if layer.b is None:
        return x
    xp = array_namespace(x)
    return xp.concat([x, xp.ones((x.shape[0], 1), dtype=x.dtype, device=device(x))], axis=1)


def stacked(layer: Layer) -> Any:
    """Return W̃ = [W; b], (d_in + 1, d_out), or W itself, (d_in, d_out), where the layer has no bias."""
    if layer.b is None:
        return layer.W
    return array_namespace(layer.W, layer.b).concat([layer.W, layer.b[None, :]], axis=0)


def unstacked(layer: Layer, W: Any) -> Layer:
    """Return the layer with the weights and bias of W̃, the inverse of `stacked`.

    Args:
        layer: says whether there is a bias, and which transfer function.
        W: W̃, in the shape that `stacked` returns.

    Raises:
        ValueError, TypeError: as for `Layer`.
    """
    return replace(layer, W=W) if layer.b is None else replace(layer, W=W[:-1, :], b=W[-1, :])
