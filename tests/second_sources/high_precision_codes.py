"""The step of alternating minimization on its codes (pre-activations), example by example, in 50 digits.

The second source of `locoprop_ref.targets.code_update`. A code moves down the gradient of the loss right
above it: the network's loss at the last layer, half the squared distance to the next layer's moved code
elsewhere. Derivatives are differences of that loss (`high_precision_losses.derivative`), so that none is
written by hand.
"""

import naive
import numpy as np
from high_precision import mp
from high_precision_losses import derivative, precise


def code_update(layers, x, t, loss, step):
    """The moved codes of every layer but the last, for a batch of which the loss takes the mean."""
    exact = [(precise(W), None if b is None else precise(b), f) for W, b, f in layers]
    rows = [moved_codes(exact, *map(precise, pair), loss, step, len(x)) for pair in zip(x, t, strict=True)]
    return [np.array(codes, dtype=float) for codes in zip(*rows, strict=True)]


def moved_codes(layers, x, t, loss, step, batch):
    """The moved codes of one example."""
    codes = [rows[0] for rows in naive.forward(layers, [x], mp)[1]]
    moved = [None] * (len(layers) - 1)
    for m in reversed(range(len(moved))):
        below, (W, b, f), code = layers[m][2], layers[m + 1], [codes[m]]

        def value(m=m, below=below, W=W, b=b, f=f, code=code):
            above = naive.affine(naive.f_row(below, code[0], mp), W, b)
            if m == len(moved) - 1:
                return naive.loss(loss, [naive.f_row(f, above, mp)], [t], mp) / batch
            return mp.fsum([(a - c) ** 2 for a, c in zip(above, moved[m + 1], strict=True)]) / 2

        slopes = derivative(value, code)[0]
        moved[m] = [c - step * mp.mpf(float(s)) for c, s in zip(code[0], slopes, strict=True)]
    return moved
