r"""The three losses that `loss_curves` and `loss_surfaces` compare, and checks of their arguments.

Prediction and target are pre-activations, â and a*. The matching loss D_F(â, a*) of LocoProp-M is compared
with

    ½(â − a*)²          the squared loss on pre-activations, which is LocoProp-S
    ½(f(â) − f(a*))²    the squared loss after the transfer function, which is not convex
"""

from typing import Any

import numpy as np

from locoprop_ref import checks
from locoprop_ref.losses import matching_loss
from locoprop_ref.transfers import Transfer, transfer

PREDICTION, TARGET = "prediction â (pre-activation)", "target a* (pre-activation)"
MATCHING, SQUARED, AFTER = (
    "matching loss D_F(â, a*)",
    "squared loss ½(â − a*)²",
    "squared after f: ½(f(â) − f(a*))²",
)

POINT = {
    "identity": "the matching loss is the squared loss",
    "relu": "the matching loss is zero where prediction and target are both negative",
    "leaky_relu": "the matching loss is flat, but not zero, where both are negative",
    "tanh": "the matching loss grows linearly far from its target, and is convex in â",
    "sigmoid": "the matching loss is the cross-entropy, and is convex in â",
    "softplus": "the matching loss is a smooth version of ReLU's matching loss",
    "elu": "the matching loss grows linearly where the unit is saturated",
    "arctan": "the growth of the matching loss becomes linear, and it is convex in â",
}


def drawable(name: str | Transfer, **parameters: Any) -> Transfer:
    """Return the transfer function with this name, or one of your own as it is, if it is elementwise.

    Raises:
        ValueError, TypeError: softmax, an unknown name, wrong parameters, or parameters beside a transfer
            function that has its own.
    """
    if isinstance(name, Transfer) and parameters:
        raise TypeError(
            f"parameters must be those of {name.name!r} itself, got {', '.join(parameters)} beside"
        )
    f = name if isinstance(name, Transfer) else transfer(name, **parameters)
    if not f.elementwise:
        raise ValueError(
            f"name must be of an elementwise transfer to be drawn over one prediction, got {f.name!r}"
        )
    return f


def point(f: Transfer) -> str:
    """Return what a figure of the matching loss shows, for the title."""
    return POINT.get(f.name, "the matching loss, beside the squared loss")


def _two(name: str, limits: Any) -> tuple[float, float]:
    given = checks.several(name, limits, "two numbers")
    if len(given) != 2:
        raise ValueError(f"{name} must be two numbers, got {checks.shown(limits)}")
    return checks.number(name, given[0]), checks.number(name, given[1])


def span(name: str, limits: tuple[float, float], points: int) -> np.ndarray:
    """Return points from the lower to the upper limit; the error message names the argument."""
    low, high = _two(name, limits)
    if not -np.inf < low < high < np.inf:
        raise ValueError(f"{name} must be two finite numbers in increasing order, got {checks.shown(limits)}")
    return np.linspace(low, high, checks.integer("points", points, minimum=2))


def finite(name: str, value: float) -> float:
    """Return the number if it is finite; the error message names the argument."""
    if not np.isfinite(checks.number(name, value)):
        raise ValueError(f"{name} must be finite, got {checks.shown(value)}")
    return float(value)


def losses(f: Transfer, a_hat: Any, a: Any) -> dict[str, np.ndarray]:
    """Return the three losses by name, for predictions `a_hat` and targets `a`, which are broadcast."""
    a_hat, a = np.broadcast_arrays(np.asarray(a_hat, dtype=float), np.asarray(a, dtype=float))
    return {
        MATCHING: matching_loss(f, a_hat, a),
        SQUARED: (a_hat - a) ** 2 / 2,
        AFTER: (f.f(a_hat) - f.f(a)) ** 2 / 2,
    }
