"""Target propagation by loops over examples, and the denoising loss of an inverse with its derivative.

The second source of `locoprop_ref.inverse_targets`. Layers are those of `naive.py`; so are inverses, as
(V, c, transfer of the layer below). Derivatives are complex steps, for an inverse with tanh or the identity.
"""

import cmath

from naive import affine, f_row, forward, loss_derivative


def says(layer, row, lib=None):
    """f(row W + b) of one example."""
    W, b, transfer = layer
    return f_row(transfer, affine(row, W, b), *([lib] if lib else []))


def by_output(loss_name, y_rows, t):
    """∂L/∂ŷ_M, the 1/B of the mean included."""
    B = len(t)
    return [
        [loss_derivative(loss_name, y, t_i) / B for y, t_i in zip(*p, strict=True)]
        for p in zip(y_rows, t, strict=True)
    ]


def propagated(layers, inverses, x, first, correction):
    """y* of every layer below `first`, its own included, which belongs to the layer of the last inverse."""
    y_hats = forward(layers, x)[2]
    found = [first]
    for m in range(len(inverses), 0, -1):  # inverses[m − 1] leads from layer m down to layer m − 1, from 0
        rows = []
        for b, target in enumerate(found[-1]):
            moved = says(inverses[m - 1], target)
            if correction == "difference":
                was = says(inverses[m - 1], y_hats[m][b])
                moved = [h + (new - old) for h, new, old in zip(y_hats[m - 1][b], moved, was, strict=True)]
            rows.append(moved)
        found.append(rows)
    return found[::-1]


def denoising_loss(inverse, layer, noisy, lib=None):
    """(1/2B) Σ ‖ψ(f(hW + b)) − h‖²."""
    total = 0
    for h in noisy:
        again = says(inverse, says(layer, h, lib), lib)
        total += sum((a - h_i) ** 2 for a, h_i in zip(again, h, strict=True))
    return total / (2 * len(noisy))


def denoising_gradient(inverse, layer, noisy):
    """Its derivative with respect to [V; c], by complex steps."""
    V, c, transfer = inverse
    rows = [*V, c]
    found = []
    for i, row in enumerate(rows):
        found.append([])
        for j in range(len(row)):
            moved = [
                [value + 1e-30j * ((k, n) == (i, j)) for n, value in enumerate(r)] for k, r in enumerate(rows)
            ]
            found[-1].append(
                denoising_loss((moved[:-1], moved[-1], transfer), layer, noisy, cmath).imag / 1e-30
            )
    return found
