"""Losses in 50 digits, and their derivatives by differences: steps of 1e-20, errors of about 1e-40.

The second source of `locoprop_ref.local` (objective and gradient), of `locoprop_ref.losses` (matching loss)
and of the backward pass in `locoprop_ref.network`. Transfer functions come from `high_precision.py`, the
network from the loops of `naive.py`; no derivative is written by hand.
"""

import math

import high_precision
import naive
import numpy as np
from high_precision import mp

STEP = mp.mpf(10) ** -20


def precise(numbers):
    """Nested lists of floats in 50 digits, each taken as the number that it is."""
    return [precise(v) for v in numbers] if isinstance(numbers, list) else mp.mpf(numbers)


def derivative(value, matrix):
    """The derivative of `value()` in every entry of a matrix of lists, which is changed and restored."""
    result = np.zeros((len(matrix), len(matrix[0])))
    for i, row in enumerate(matrix):
        for j, at in enumerate(row):
            ends = []
            for row[j] in (at + STEP, at - STEP):
                ends.append(value())
            row[j] = at
            result[i, j] = float((ends[0] - ends[1]) / (2 * STEP))
    return result


def network_gradients(layers, x, t, loss):
    """dL/d[W; b] of every layer."""
    x, t = precise(x), precise(t)
    layers = [(precise(W), None if b is None else precise(b), f) for W, b, f in layers]
    return [
        derivative(
            lambda: naive.loss(loss, naive.forward(layers, x, mp)[2][-1], t, mp), W if b is None else [*W, b]
        )
        for W, b, _ in layers
    ]


def local_value(x, y_target, name, W, W0, weight_step=math.inf, mean=False):
    """The local objective: sum of F(a) - y* . a, over the batch for the mean, + |W - W0|^2 / (2 eta)."""
    total = mp.mpf(0)
    for x_row, y_row in zip(precise(x), precise(y_target), strict=True):
        a = [mp.fsum([p * w for p, w in zip(x_row, column, strict=True)]) for column in zip(*W, strict=True)]
        if name == "softmax":
            total += high_precision.log_sum_exp(a)
        else:
            total += mp.fsum([high_precision.ELEMENTWISE[name].F(v) for v in a])
        total -= mp.fsum([y * v for y, v in zip(y_row, a, strict=True)])
    total = total / len(x) if mean else total
    if weight_step == math.inf:
        return total
    gaps = [
        (w - w0) ** 2
        for row, row0 in zip(W, precise(W0), strict=True)
        for w, w0 in zip(row, row0, strict=True)
    ]
    return total + mp.fsum(gaps) / (2 * mp.mpf(weight_step))


def matching_loss(name, a_hat, a):
    """D_F(a_hat, a) of one example by its definition, and the size of the terms whose difference it is.

    Elementwise transfers give a list, an entry for each unit; softmax gives one number.
    """
    a_hat, a = precise(a_hat), precise(a)
    if name == "softmax":
        F, p = high_precision.log_sum_exp, high_precision.softmax(a)
        linear = mp.fsum([p_i * (u - v) for p_i, u, v in zip(p, a_hat, a, strict=True)])
        return F(a_hat) - F(a) - linear, 1 + abs(F(a_hat)) + abs(F(a)) + abs(linear)
    exact = high_precision.ELEMENTWISE[name]
    pairs = list(zip(a_hat, a, strict=True))
    sizes = [1 + abs(exact.F(u)) + abs(exact.F(v)) + abs(exact.f(v) * (u - v)) for u, v in pairs]
    return [exact.divergence(u, v) for u, v in pairs], sizes
