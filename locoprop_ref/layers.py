r"""A layer: the rows of its input, its pre-activation, and the way back to the layer below.

Examples are rows. A layer takes what the layer below says, y, and goes through four steps:

    x = rows(y)              (R, d_in)     the rows that its weights act on; a dense layer has R = B
    â = xW + b = x̃W̃          (R, d_out)    pre-activation
    ŷ = f(â)                 (R, d_out)    post-activation
    pull_back(g)             ∂L/∂y, from g = ∂L/∂â

The bias is one more input that is always 1: with x̃ = [x, 1] and W̃ = [W; b], xW + b = x̃W̃. A layer that has
been made from W̃ keeps it, and its W and b are views of it, so that a training step copies no weights.

>>> import numpy as np
>>> from locoprop_ref.transfers import transfer
>>> layer = Layer(np.ones((3, 2)), np.zeros(2), transfer("tanh"))
>>> layer.augment(np.ones((4, 3))).shape, layer.stacked.shape
((4, 4), (4, 2))
"""

from dataclasses import dataclass, field
from typing import Any

from locoprop_ref import checks
from locoprop_ref.backend import array_namespace, device
from locoprop_ref.transfers import Transfer


@dataclass(frozen=True)
class Layer:
    r"""One dense layer ŷ = f(xW + b).

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
    # W̃, if the layer was made from it
    _stacked: Any = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        checks.array("W", self.W, ndim=2)
        if self.b is not None:
            checks.array("b", self.b, shape=(self.W.shape[1],))
            checks.same_dtype(W=self.W, b=self.b)
        checks.instance("transfer", self.transfer, Transfer, "a Transfer, as transfer('tanh') makes")

    @property
    def stacked(self) -> Any:
        """The weights W̃ = [W; b], (d_in + 1, d_out); without bias W itself, (d_in, d_out)."""
        if self.b is None:
            return self.W
        if self._stacked is not None:
            return self._stacked
        return array_namespace(self.W, self.b).concat([self.W, self.b[None, :]], axis=0)

    def with_stacked(self, W: Any) -> "Layer":
        """Return the layer with other weights, whose W and b are views of W̃: the inverse of `stacked`.

        Args:
            W: W̃, in the shape, dtype and library of `stacked`.

        Raises:
            ValueError, TypeError: W̃ has another shape, dtype or library.
        """
        checks.like("W", W, self.stacked)
        layer = object.__new__(Layer)
        whole = self.b is None
        parts = {"W": W if whole else W[:-1, :], "b": None if whole else W[-1, :], "transfer": self.transfer}
        for name, value in {**parts, "_stacked": W}.items():
            object.__setattr__(layer, name, value)
        return layer

    def rows(self, y: Any) -> Any:
        """Return the rows x of the layer's input, (R, d_in): for a dense layer y itself, R = B.

        Args:
            y: (B, d_in), what the layer below says, or the batch.
        """
        return y

    def augment(self, x: Any) -> Any:
        """Return x̃, (R, d_in + 1): x with a last column of ones; without bias x itself, (R, d_in).

        Args:
            x: (R, d_in) rows of the layer's input.
        """
        if self.b is None:
            return x
        xp = array_namespace(x)
        return xp.concat([x, xp.ones((x.shape[0], 1), dtype=x.dtype, device=device(x))], axis=1)

    def pre_activation(self, x: Any) -> Any:
        """Return â = xW + b, (R, d_out); nothing is checked here (`forward` does).

        Args:
            x: (R, d_in) rows of the layer's input.
        """
        a_hat = x @ self.W
        if self.b is not None:
            a_hat += self.b
        return a_hat

    def pull_back(self, g: Any) -> Any:
        """Return ∂L/∂y for the output y of the layer below, (B, d_in): for a dense layer gWᵀ.

        Args:
            g: (R, d_out), ∂L/∂â.
        """
        return g @ self.W.T
