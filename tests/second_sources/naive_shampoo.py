"""Shampoo once more: every factor formed anew from all gradients, and roots by another algorithm.

The second source of `locoprop_ref.methods.shampoo`. Networks are those of `naive.py`, and gradients come
from its loops over examples; where the package decomposes into eigenvalues, SciPy's fractional powers
(Schur-Pade) serve.
"""

import naive
import numpy as np
from scipy.linalg import fractional_matrix_power


def factor(seen, h, side):
    """L or R by definition: epsilon I + the sum or weighted mean of the squares of all gradients seen."""
    age = np.arange(len(seen))[::-1]
    weights = h["factor_decay"] ** age / np.sum(h["factor_decay"] ** age)
    if h["statistics"] == "sum":
        weights = np.ones(len(seen))
    squares = [G @ G.T if side == "left" else G.T @ G for G in seen]
    return h["epsilon"] * np.eye(len(squares[0])) + sum(w * S for w, S in zip(weights, squares, strict=True))


def grafted_length(G, h, mean_square):
    """The Frobenius norm of the other rule's update; its mean square is changed in place."""
    if h["grafting"] == "sgd":
        return np.sqrt(np.sum(G**2))
    mean_square[:] = h["grafting_decay"] * mean_square + (1 - h["grafting_decay"]) * G**2
    return np.sqrt(np.sum(G**2 / (mean_square + h["grafting_epsilon"])))


def train(layers, batches, loss, h):
    """The layers after every batch (rate, x, t); `h` holds all settings by name."""
    shapes = [np.shape(naive.stacked(W, b)) for W, b, _ in layers]
    seen, root = [[] for _ in shapes], [None for _ in shapes]
    velocity, mean_square = [np.zeros(s) for s in shapes], [np.ones(s) for s in shapes]
    for k, (rate, x, t) in enumerate(batches):
        moved = []
        for m, G in enumerate(map(np.array, naive.gradients(layers, x, t, loss))):
            if k % h["factor_interval"] == 0:
                seen[m].append(G)
            if k % h["inverse_interval"] == 0:
                sides = (factor(seen[m], h, side) for side in ("left", "right"))
                root[m] = [fractional_matrix_power(S, -1 / h["root"]) for S in sides]
            D = root[m][0] @ G @ root[m][1]
            if h["grafting"] != "none":
                D = D * grafted_length(G, h, mean_square[m]) / np.sqrt(np.sum(D**2))
            velocity[m] = h["momentum"] * velocity[m] + D
            W, b, f = layers[m]
            V = np.array(naive.stacked(W, b)) - rate * h["learning_rate"] * velocity[m]
            moved.append((*naive.unstacked(V.tolist(), b is not None), f))
        layers = moved
        yield layers
