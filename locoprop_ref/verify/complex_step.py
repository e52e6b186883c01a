r"""An independent derivative of the network loss, by complex steps, for `verify` and the tests.

For an analytic φ, φ′(a) = Im φ(a + ih)/h up to O(h²). Nothing is subtracted, so at h = 1e-200 the result is
exact up to rounding (Squire and Trapp 1998). Everything in this file is written again from the definitions,
in complex NumPy, and shares no formula with `transfers.py`, `losses.py`, `wirings.py`, `layers.py` or
`network.py`. It uses plain exponentials and logarithms, which are accurate for moderate arguments only. A
function with a kink is analytic on either side of it; the real part of the argument decides which branch is
used, and which number of a window is its maximum.

Layers with positions are written as loops over windows and steps. What a layer says, and what it reads, is
(B, numbers, positions); of a wiring only its recipe is read, the names of its functions and their arguments.
"""

from collections.abc import Iterator
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
    clipped = parameters.get("straight_through", "clipped") == "clipped"
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
        "sign": (
            # what the straight-through derivative differentiates: a step with a slope of its own
            lambda z: np.where(z.real >= 0, 1.0, -1.0) + 1j * z.imag * (clipped <= (np.abs(z.real) <= 1)),
            _piecewise(lambda z: z, lambda z: -z),
        ),
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


def _patches(y: Any, shape: Any, size: int, stride: int, padding: int) -> Any:
    """Return the patches of images, (B, C·size², positions)."""
    C, H, W = shape
    image = np.zeros((len(y), C, H + 2 * padding, W + 2 * padding), y.dtype)
    for h in range(H):
        for w in range(W):
            image[:, :, padding + h, padding + w] = y.reshape(len(y), C, H, W)[:, :, h, w]
    return np.stack([window.reshape(len(y), -1) for window in _windows(image, size, stride)], axis=-1)


def _pool(y: Any, shape: Any, size: int, kind: str, stride: int) -> Any:
    """Return the mean or the maximum, the first of the largest, of every window: (B, C, positions)."""
    pooled = []
    for window in _windows(y.reshape(len(y), *shape), size, stride):
        numbers = window.reshape(*window.shape[:2], -1)
        if kind == "mean":
            pooled.append(numbers.sum(axis=-1) / size**2)
        else:
            first = np.argmax(numbers.real, axis=-1)[..., None]
            pooled.append(np.take_along_axis(numbers, first, axis=-1)[..., 0])
    return np.stack(pooled, axis=-1)


def _windows(image: Any, size: int, stride: int) -> Iterator[Any]:
    """Yield the windows that fit into images, (B, C, size, size), row by row."""
    for top in range(0, image.shape[2] - size + 1, stride):
        for left in range(0, image.shape[3] - size + 1, stride):
            yield image[:, :, top : top + size, left : left + size]


_READ: dict[str, Any] = {
    "patches": _patches,
    "pool": _pool,
    "flatten": lambda y, shape: y.reshape(len(y), -1, 1),
    "steps": lambda y, shape: np.stack([y.reshape(len(y), *shape)[:, t] for t in range(shape[0])], axis=-1),
    "every_step": lambda y, shape: y.reshape(len(y), *shape),
    "last_step": lambda y, shape: y.reshape(len(y), *shape)[:, :, -1:],
}


def read_by_definition(recipe: Any, y: Any) -> Any:
    """Return what a wiring reads, (B, d, positions), from what is said below, B examples.

    >>> read_by_definition((("pool", (1, 2, 2), 2, "max", 2),), np.array([[3.0, 1.0, 2.0, 0.0]]))
    array([[[3.]]])
    """
    for name, *arguments in recipe:
        y = _READ[name](y, *arguments)
    return y


def _said(layer: Any, W: Any, y: Any) -> Iterator[tuple[Any, Any, Any]]:
    """Yield X̃, X̃W̃ and f(X̃W̃) of a layer at every position, all of B examples, from what is said below."""
    f, _ = complex_transfer(layer.transfer.name, layer.transfer.parameters)
    read = y.reshape(len(y), -1, 1) if layer.wiring is None else read_by_definition(layer.wiring.recipe, y)
    start = layer.initial_state
    h, one = np.zeros((len(y), W.shape[1])) + (0 if start is None else to_numpy(start)), np.ones((len(y), 1))
    for position in range(read.shape[2]):
        parts = [read[:, :, position]] + [h] * layer.recurrent + [one] * (layer.b is not None)
        x = np.concatenate(parts, axis=1)
        a = x @ W
        h = f(a)
        yield x, a, h


def rows_by_definition(network: Network, x: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return X̃ and X̃W̃ of every layer, rows ordered (position, example), on the host."""
    y, found = to_numpy(x), []
    for layer, W in zip(network.layers, _weights(network, float), strict=True):
        at = list(_said(layer, W, y))
        found.append((np.vstack([x for x, _, _ in at]), np.vstack([a for _, a, _ in at])))
        y = np.stack([said for _, _, said in at], axis=-1)
    return found


def _weights(network: Network, dtype: Any) -> list[np.ndarray]:
    """Return W̃ of every layer as a new array."""
    return [
        np.array(
            to_numpy(layer.W) if layer.b is None else np.vstack([to_numpy(layer.W), to_numpy(layer.b)]), dtype
        )
        for layer in network.layers
    ]


def _through(layer: Any, W: Any, y: Any) -> Any:
    """Return what a layer says, (B, d_out, positions)."""
    return np.stack([said for _, _, said in _said(layer, W, y)], axis=-1)


def complex_step_gradients(network: Network, x: Any, t: Any) -> list[np.ndarray]:
    """Return ∂L/∂W̃ of every layer, from one complex forward pass per weight (float64, on the host)."""
    y, t, weights = to_numpy(x), to_numpy(t), _weights(network, complex)
    result = [np.empty(W.shape) for W in weights]
    for m, (W, gradient) in enumerate(zip(weights, result, strict=True)):
        for index in np.ndindex(W.shape):
            W[index] += STEP * 1j
            said = y
            for layer, W_above in zip(network.layers[m:], weights[m:], strict=True):
                said = _through(layer, W_above, said)
            gradient[index] = _complex_loss(network.loss.name, said[:, :, 0], t).imag / STEP
            W[index] -= STEP * 1j
        y = _through(network.layers[m], W, y)  # the layers below it do not depend on the next W̃
    return result
