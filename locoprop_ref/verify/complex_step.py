r"""An independent derivative of the network loss, by complex steps, for `verify` and the tests.

For an analytic φ, φ′(a) = Im φ(a + ih)/h up to O(h²). Nothing is subtracted, so at h = 1e-200 the result is
exact up to rounding (Squire and Trapp 1998). Everything in this file is written again from the definitions,
in complex NumPy, and shares no formula with `transfers.py`, `losses.py` or `network.py`. It uses plain
exponentials and logarithms, which are accurate for moderate arguments only. A function with a kink is
analytic on either side of it; the real part of the argument decides which branch is used.
"""

from typing import Any

import numpy as np

from locoprop_ref.backend import to_numpy
from locoprop_ref.network import Network

STEP = 1e-200


def _piecewise(positive: Any, negative: Any) -> Any:
    return lambda z: np.where(z.real > 0, positive(z), negative(z))


def _integral_of_softplus(z: Any) -> Any:
    """Return ∫ log(1 + e^s) ds from −∞ to z by Gauss–Legendre on 45 panels of length 1; e⁻⁴⁵ is omitted."""
    nodes, weights = np.polynomial.legendre.leggauss(20)
    v = (np.arange(45)[:, None] + (1 + nodes) / 2).ravel()
    return np.log(1 + np.exp(z[..., None] - v)) @ np.tile(weights / 2, 45)


def _softmax(z: Any) -> Any:
    return np.exp(z) / np.exp(z).sum(axis=-1, keepdims=True)


def complex_transfer(name: str, parameters: Any) -> tuple[Any, Any]:
    """Return (f, F) of a transfer function as functions of a complex array.

    >>> f, F = complex_transfer("sigmoid", {})
    >>> f(np.array([0j]))
    array([0.5+0.j])
    """
    slope, alpha = parameters.get("slope", 0.01), parameters.get("alpha", 1.0)
    table: dict[str, tuple[Any, Any]] = {
        "identity": (lambda z: z, lambda z: z**2 / 2),
        "relu": (_piecewise(lambda z: z, lambda z: 0 * z), _piecewise(lambda z: z**2 / 2, lambda z: 0 * z)),
        "leaky_relu": (
            _piecewise(lambda z: z, lambda z: slope * z),
            _piecewise(lambda z: z**2 / 2, lambda z: slope * z**2 / 2),
        ),
        "tanh": (np.tanh, lambda z: np.log(np.cosh(z))),
        "sigmoid": (lambda z: 1 / (1 + np.exp(-z)), lambda z: np.log(1 + np.exp(z))),
        "softplus": (lambda z: np.log(1 + np.exp(z)), _integral_of_softplus),
        "elu": (
            _piecewise(lambda z: z, lambda z: alpha * (np.exp(z) - 1)),
            _piecewise(lambda z: z**2 / 2, lambda z: alpha * (np.exp(z) - 1 - z)),
        ),
        "arctan": (np.arctan, lambda z: z * np.arctan(z) - np.log(1 + z**2) / 2),
        "softmax": (_softmax, lambda z: np.log(np.exp(z).sum(axis=-1))),
    }
    return table[name]


def _complex_loss(name: str, y: Any, t: Any) -> Any:
    if name == "squared_error":
        per_output = (y - t) ** 2 / 2
    elif name == "sigmoid_cross_entropy":
        per_output = -t * np.log(y) - (1 - t) * np.log(1 - y)
    else:
        per_output = -t * np.log(y)
    return per_output.sum() / t.shape[0]  # sum over outputs, mean over the batch


def _loss(weights: list[Any], network: Network, x: Any, t: Any) -> Any:
    y = x
    for W, layer in zip(weights, network.layers, strict=True):
        f, _ = complex_transfer(layer.transfer.name, layer.transfer.parameters)
        y = f((np.hstack([y, np.ones((len(y), 1))]) if layer.b is not None else y) @ W)
    return _complex_loss(network.loss.name, y, t)


def complex_step_gradients(network: Network, x: Any, t: Any) -> list[np.ndarray]:
    """Return ∂L/∂W̃ of every layer, from one complex forward pass per weight (float64, on the host)."""
    x, t = to_numpy(x), to_numpy(t)
    weights = [
        np.array(
            to_numpy(layer.W) if layer.b is None else np.vstack([to_numpy(layer.W), to_numpy(layer.b)]),
            complex,
        )
        for layer in network.layers
    ]
    result = [np.empty(W.shape) for W in weights]
    for W, gradient in zip(weights, result, strict=True):
        for index in np.ndindex(W.shape):
            W[index] += STEP * 1j
            gradient[index] = _loss(weights, network, x, t).imag / STEP
            W[index] -= STEP * 1j
    return result
