"""Predictive coding in its first wave, with all value nodes moving at all times, in plain loops.

The second source of `GradientTargets.geometric`. Networks are those of `naive.py`. Every layer has value
nodes a_m, which start at the forward pass; the last ones move once along −∂L/∂a_M, and are held there. The
energy is E = Σ_m ½‖a_m − (f(a_{m−1})W_m + b_m)‖², and every hidden node moves by −s ∂E/∂a_m in every time
step, all of them at the same time.
"""

from naive import affine, f_row, forward, jacobian


def errors(layers, x, values):
    """ε_m = a_m − (f(a_{m−1})W_m + b_m) of every layer; rows are examples."""
    found, said = [], x
    for (W, b, transfer), rows in zip(layers, values, strict=True):
        predicted = [affine(row, W, b) for row in said]
        found.append(
            [[a - p for a, p in zip(*pair, strict=True)] for pair in zip(rows, predicted, strict=True)]
        )
        said = [f_row(transfer, row) for row in rows]
    return found


def moved(layers, values, found, m, s):
    """The value nodes of layer m after one time step: a_m − s (ε_m − (ε_{m+1} W_{m+1}ᵀ) f′(a_m))."""
    W, transfer = layers[m + 1][0], layers[m][2]
    rows = []
    for a, own, above in zip(values[m], found[m], found[m + 1], strict=True):
        pulled = [sum(w * e for w, e in zip(row, above, strict=True)) for row in W]
        slopes = jacobian(transfer, a)
        pulled = [sum(u * slopes[i][j] for i, u in enumerate(pulled)) for j in range(len(a))]
        rows.append([a_j - s * (e - p) for a_j, e, p in zip(a, own, pulled, strict=True)])
    return rows


def first_errors(layers, x, g_last, s):
    """ε_m of every layer at the time M − m, when an error first arrives there; the last one is −∂L/∂a_M."""
    a_hats = forward(layers, x)[1]
    held = [[a - g for a, g in zip(*pair, strict=True)] for pair in zip(a_hats[-1], g_last, strict=True)]
    values = [*a_hats[:-1], held]
    M, seen = len(layers), {}
    for time in range(M):
        found = errors(layers, x, values)
        seen[M - 1 - time] = found[M - 1 - time]
        values = [*(moved(layers, values, found, m, s) for m in range(M - 1)), held]
    return [seen[m] for m in range(M)]
