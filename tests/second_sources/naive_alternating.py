"""Codes of alternating minimization by complex steps on their losses; nothing is known of the chain rule.

The second source of `locoprop_ref.code_targets`. A code moves down the derivative of the loss right above it,
which is computed as a number for each example. Networks are those of `naive.py`, with tanh in hidden layers,
which is analytic.
"""

import numpy as np


def losses(name, a, t):
    """The network loss of every example, from the pre-activation."""
    if name == "squared_error":
        return np.sum((a - t) ** 2, axis=1) / 2
    if name == "sigmoid_cross_entropy":
        return np.sum(np.log(1 + np.exp(a)) - t * a, axis=1)
    return np.sum(t, axis=1) * np.log(np.sum(np.exp(a), axis=1)) - np.sum(t * a, axis=1)


def weight(h, code):
    """1 for sums, 2/(B·d) for the mean of squares."""
    return 2 / code.size if h["reduction"] == "mean" else 1.0


def code_losses(above_layer, code, start, above, t, loss_name, h):
    """What a code is moved by, for every example: the loss above it, and the anchor."""
    W, b, _ = above_layer
    predicted = np.tanh(code) @ np.array(W) + np.array(b)
    if above is None:
        value = losses(loss_name, predicted, t) / len(t) / h["coupling"]
    else:
        value = weight(h, above) * np.sum((predicted - above) ** 2, axis=1) / 2
    return value + h["anchor"] * weight(h, start) * np.sum((code - start) ** 2, axis=1) / 2


def derivative(function, code):
    """The derivative of every example's loss by each of its units."""
    columns = []
    for i in range(code.shape[1]):
        columns.append(function(code + 1e-30j * (np.arange(code.shape[1]) == i)).imag / 1e-30)
    return np.stack(columns, axis=1)


def codes(layers, x, t, loss_name, h):
    """The codes of every layer but the last, from the bottom up."""
    a_hats, y, t = [], np.array(x), np.array(t)
    for W, b, _ in layers[:-1]:
        a_hats.append(y @ np.array(W) + np.array(b))
        y = np.tanh(a_hats[-1])
    found = []
    for m in range(len(a_hats) - 1, -1, -1):
        parts = a_hats[m], found[-1] if found else None, t, loss_name, h
        code, velocity = a_hats[m], 0.0
        for _ in range(h["steps"]):
            g = derivative(lambda c, m=m, parts=parts: code_losses(layers[m + 1], c, *parts), code)
            velocity = h["momentum"] * velocity + g
            code = code - h["lr"] * (g + h["momentum"] * velocity)
        found.append(code)
    return found[::-1]
