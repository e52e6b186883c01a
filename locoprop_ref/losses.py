r"""Network losses L: summed over the outputs, averaged over the batch.

    squared_error            ½‖ŷ − t‖²                      any last transfer
    sigmoid_cross_entropy    −Σ t log ŷ + (1−t) log(1−ŷ)    last transfer sigmoid
    softmax_cross_entropy    −Σ t log ŷ                     last transfer softmax

Both cross-entropies are matching losses: for a target t in the range of f they equal F(â) − t·â, which is
computed from the pre-activation and cannot overflow, and their gradient is (f(â) − t)/B. The sum over
outputs makes one number of an example; the 1/B of the mean is carried by g.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from locoprop_ref import checks
from locoprop_ref.backend import array_namespace
from locoprop_ref.transfers import Transfer


@dataclass(frozen=True)
class OutputLoss:
    """A network loss: its value, and its gradient g with respect to the last pre-activation."""

    name: str
    last_transfer: str | None  # the only transfer it goes with, None for any
    _per_example: Callable[..., Any]
    _g: Callable[..., Any]

    def value(self, a_hat: Any, t: Any, transfer: Transfer) -> Any:
        """Return L, a 0-d array: sum over outputs, mean over the batch.

        Args:
            a_hat: (B, d_out), pre-activation of the last layer.
            t: (B, d_out), what the network should say.
            transfer: transfer function of the last layer.

        Raises:
            ValueError: the shapes differ, or the loss does not go with this transfer.
            TypeError: the dtypes differ, or the libraries.
        """
        xp = self._checked(a_hat, t, transfer)
        return xp.mean(self._per_example(a_hat, t, transfer, xp))

    def g(self, a_hat: Any, t: Any, transfer: Transfer) -> Any:
        """Return g = ∂L/∂â, (B, d_out), with the 1/B of the mean; arguments and errors as for `value`."""
        xp = self._checked(a_hat, t, transfer)
        g = self._g(a_hat, t, transfer, xp)
        g /= a_hat.shape[0]
        return g

    def check_transfer(self, transfer: Transfer) -> None:
        """Raise a ValueError unless the loss goes with this last transfer."""
        if not isinstance(transfer, Transfer):
            checks.instance("transfer", transfer, Transfer, "a Transfer, as transfer('tanh') makes")
        if self.last_transfer not in (None, transfer.name):
            raise ValueError(
                f"the last transfer must be {self.last_transfer!r} for {self.name}, got {transfer.name!r}"
            )

    def _checked(self, a_hat: Any, t: Any, transfer: Transfer) -> Any:
        checks.batch("a_hat", a_hat)
        checks.array("t", t, shape=tuple(a_hat.shape))
        checks.same_dtype(a_hat=a_hat, t=t)
        self.check_transfer(transfer)
        return array_namespace(a_hat, t)


def _squared(a_hat: Any, t: Any, transfer: Transfer, xp: Any) -> Any:
    return xp.sum((transfer.f(a_hat) - t) ** 2, axis=-1) / 2


def _squared_g(a_hat: Any, t: Any, transfer: Transfer, xp: Any) -> Any:
    return transfer.vjp(a_hat, transfer.f(a_hat) - t)


def _sigmoid_entropy(a_hat: Any, t: Any, transfer: Transfer, xp: Any) -> Any:
    return xp.sum(transfer.F(a_hat) - t * a_hat, axis=-1)


def _sigmoid_g(a_hat: Any, t: Any, transfer: Transfer, xp: Any) -> Any:
    g = transfer.f(a_hat)
    g -= t
    return g


def _softmax_entropy(a_hat: Any, t: Any, transfer: Transfer, xp: Any) -> Any:
    # −Σ t log p = (Σ t) logsumexp(â) − t·â, for label rows of any sum
    return xp.sum(t, axis=-1) * transfer.F(a_hat) - xp.sum(t * a_hat, axis=-1)


def _softmax_g(a_hat: Any, t: Any, transfer: Transfer, xp: Any) -> Any:
    return xp.sum(t, axis=-1, keepdims=True) * transfer.f(a_hat) - t


_LOSSES = {
    loss.name: loss
    for loss in (
        OutputLoss("squared_error", None, _squared, _squared_g),
        OutputLoss("sigmoid_cross_entropy", "sigmoid", _sigmoid_entropy, _sigmoid_g),
        OutputLoss("softmax_cross_entropy", "softmax", _softmax_entropy, _softmax_g),
    )
}
OUTPUT_LOSSES = tuple(_LOSSES)


def output_loss(name: str) -> OutputLoss:
    """Return the network loss of that name, one of `OUTPUT_LOSSES`.

    Raises:
        ValueError: unknown name (the nearest is suggested).

    >>> output_loss("squared_error").name
    'squared_error'
    """
    return _LOSSES[checks.one_of("output_loss", name, OUTPUT_LOSSES)]


def matching_loss(transfer: Transfer, a_hat: Any, a: Any) -> Any:
    r"""Return D_F(â, a) = F(â) − F(a) − f(a)·(â − a) ≥ 0, the matching loss of f = ∇F.

    Args:
        transfer: f with its integral F.
        a_hat: (..., d) pre-activation, the prediction.
        a: pre-activation of the target, in the same shape.

    Returns:
        the divergence of every element (softmax: of every row), summed over nothing.

    Raises:
        ValueError, TypeError: shapes or dtypes differ.

    >>> import numpy as np
    >>> from locoprop_ref.transfers import transfer
    >>> matching_loss(transfer("identity"), np.array([3.0]), np.array([1.0]))  # ½(3 − 1)²
    array([2.])
    >>> matching_loss(transfer("relu"), np.array([-3.0]), np.array([-1.0]))  # both negative
    array([0.])
    """
    checks.instance("transfer", transfer, Transfer, "a Transfer, as transfer('tanh') makes")
    checks.array("a_hat", a_hat)
    checks.array("a", a, shape=tuple(a_hat.shape))
    checks.same_dtype(a_hat=a_hat, a=a)
    return transfer.divergence(a_hat, a)
