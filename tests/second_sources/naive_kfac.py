"""K-FAC and FOOF once more, by loops over examples and plain inverses.

The second source of `locoprop_ref.methods.kfac` and `locoprop_ref.methods.foof`. Networks are those of
`naive.py`; a distribution over labels is a list of pairs (probability, t). The gradient of one example, row
by row as a vector, is the Kronecker product of the layer's input [x, 1] and of d = (derivative of the
example's own loss) / (pre-activation).
"""

import itertools
import math

import naive
import numpy as np


def outcomes(loss, y):
    """What a network with outputs y would say itself, as (probability, t).

    The normal distribution around y has the second moments of 2n equally likely points y ± √n e_i, and
    derivatives are linear in t for the squared error, so that these stand for it exactly.
    """
    n = len(y)
    if loss == "squared_error":
        points = [(sign * math.sqrt(n), i) for sign in (1, -1) for i in range(n)]
        return [(1 / (2 * n), [y[j] + size * (i == j) for j in range(n)]) for size, i in points]
    if loss == "softmax_cross_entropy":
        return [(y[i], [float(i == j) for j in range(n)]) for i in range(n)]
    answers = itertools.product((0.0, 1.0), repeat=n)
    return [(math.prod(p if b else 1 - p for p, b in zip(y, t, strict=True)), list(t)) for t in answers]


def pairs(layers, x, t, loss):
    """([x, 1], d) of every layer, for one example."""
    trace = naive.forward(layers, [x])
    gs = naive.backward(layers, trace, [t], loss)
    inputs = [
        naive.with_ones(rows, b is not None)[0] for rows, (_, b, _) in zip(trace[0], layers, strict=True)
    ]
    return [(np.array(row), np.array(g[0])) for row, g in zip(inputs, gs, strict=True)]


def moments(layers, x, labels, loss):
    """(A, G, F) of every layer: the factors and the whole matrix, means over examples and labels.

    `labels` has one distribution for each example: [(1, t)] for a label that is given.
    """
    sums = [[0.0, 0.0, 0.0] for _ in layers]
    for row, distribution in zip(x, labels, strict=True):
        for p, t in distribution:
            for total, (a, d) in zip(sums, pairs(layers, row, t, loss), strict=True):
                v = np.kron(a, d)
                for i, term in enumerate((np.outer(a, a), np.outer(d, d), np.outer(v, v))):
                    total[i] = total[i] + p * term / len(x)
    return sums


def own_labels(layers, x, loss):
    """For every example the distribution that its output stands for."""
    return [outcomes(loss, y) for y in naive.forward(layers, x)[2][-1]]


def drawn_labels(layers, x, loss, seed, step):
    """One draw for every example, from the numbers that the package documents."""
    y, rng = np.array(naive.forward(layers, x)[2][-1]), np.random.default_rng([seed, step, 1])
    if loss == "squared_error":
        t = y + rng.standard_normal(y.shape)
    elif loss == "sigmoid_cross_entropy":
        t = np.where(rng.random(y.shape) <= y, 1.0, 0.0)
    else:
        t = np.eye(y.shape[1])[np.argmax(np.log(y) + rng.gumbel(size=y.shape), axis=1)]
    return t.tolist()


def shifts(A, G, damping):
    """What damping adds to the diagonals of A and of G; dead units below or above say nothing of π."""
    a, g = np.trace(A) / len(A), np.trace(G) / len(G)
    pi = math.sqrt(a / g) if a > 0 and g > 0 else 1.0
    return pi * math.sqrt(damping), math.sqrt(damping) / pi


def train(layers, batches, loss, h, *, seed=None, foof=False):
    """Steps of K-FAC or FOOF over batches (rate, x, t); `seed` draws labels for G, None takes those given.

    Returns the layers and the lengths q that the clip compares with κ.
    """
    memory, lengths = [{"v": 0.0} for _ in layers], []
    for step, (rate, x, t) in enumerate(batches):
        labels = t if seed is None else drawn_labels(layers, x, loss, seed, step)
        found = moments(layers, x, [[(1.0, row)] for row in labels], loss)
        gradients = [np.array(dW) for dW in naive.gradients(layers, x, t, loss)]
        directions = []
        for m, (A, G, _), dW in zip(memory, found, gradients, strict=True):
            if step % h["factor_interval"] == 0:
                k = step // h["factor_interval"] + 1
                kept = min(1 - 1 / k, h["factor_decay"])
                m["A"] = kept * m.get("A", 0.0) + (1 - kept) * A
                m["G"] = kept * m.get("G", 0.0) + (1 - kept) * G
            if step % h["inverse_interval"] == 0:
                on_A, on_G = (h["damping"], 0.0) if foof else shifts(m["A"], m["G"], h["damping"])
                m["left"] = np.linalg.inv(m["A"] + on_A * np.eye(len(A)))
                m["right"] = np.eye(len(G)) if foof else np.linalg.inv(m["G"] + on_G * np.eye(len(G)))
            directions.append(m["left"] @ dW @ m["right"])
        s = rate * h["learning_rate"]
        lengths.append(s**2 * sum(float(np.sum(a * b)) for a, b in zip(directions, gradients, strict=True)))
        kappa = h.get("kl_clip", math.inf)
        shorter = math.sqrt(kappa / lengths[-1]) if lengths[-1] > kappa else 1.0
        moved = []
        for m, (W, b, f), direction in zip(memory, layers, directions, strict=True):
            m["v"] = h["momentum"] * m["v"] + shorter * direction
            V = np.array(naive.stacked(W, b)) - s * m["v"]
            moved.append((*naive.unstacked(V.tolist(), b is not None), f))
        layers = moved
    return layers, lengths
