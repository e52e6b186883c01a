"""Methods of all examples at once, number by number: ADMM, and the objective of auxiliary coordinates.

The second source of `methods.admm` and `methods.mac`. ADMM's blocks are least squares problems written out as
stacked rows, and a choice among all candidates for a single number; the derivatives of MAC's objective are
complex steps, and nothing is known of the chain rule. Layers are triples (W, b, transfer) as in `naive.py`.
"""

import numpy as np

# ADMM: codes are lists [{"a": ..., "z": ...}, ...] with "multiplier" for "a" in the last entry -------


def relu(a):
    return a if a > 0 else 0.0


def loss_of_number(z, t, kind):
    if kind == "squared":
        return (z - t) ** 2 / 2
    return relu(1 - z) if t == 1 else relu(z)


def unit_outputs(W, b, row):
    """What every unit of a layer makes of one example."""
    return [sum(W[i][j] * row[i] for i in range(len(row))) + b[j] for j in range(len(b))]


def energy(layers, codes, x, t, h):
    """E, example by example and unit by unit."""
    total = 0.0
    for n, example in enumerate(x):
        row = example
        for (W, b, _), code in zip(layers, codes, strict=True):
            for p, z in zip(unit_outputs(W, b, row), code["z"][n], strict=True):
                total += h["beta"] / 2 * (z - p) ** 2
            if "a" in code:
                for a, z in zip(code["a"][n], code["z"][n], strict=True):
                    total += h["gamma"] / 2 * (a - relu(z)) ** 2
                row = code["a"][n]
        for j, z in enumerate(codes[-1]["z"][n]):
            total += codes[-1]["multiplier"][n][j] * z + loss_of_number(z, t[n][j], h["loss"])
    return total


def cheapest(candidates, cost):
    return min(candidates, key=cost)


def hidden_number(a, p, h):
    """The best of the two minima on either side of the kink, and the kink itself."""

    def cost(z):
        return h["gamma"] * (a - relu(z)) ** 2 + h["beta"] * (z - p) ** 2

    right = (h["gamma"] * a + h["beta"] * p) / (h["gamma"] + h["beta"])
    return cheapest([z for z in (right, 0.0) if z >= 0] + [min(p, 0.0)], cost)


def last_number(p, t, multiplier, h):
    """The best of the minima of every piece of the loss, and its kink."""

    def cost(z):
        return loss_of_number(z, t, h["loss"]) + multiplier * z + h["beta"] / 2 * (z - p) ** 2

    if h["loss"] == "squared":
        return (t - multiplier + h["beta"] * p) / (1 + h["beta"])
    pieces = [p - (multiplier + slope) / h["beta"] for slope in (-1, 0, 1)]
    return cheapest([*pieces, 0.0, 1.0], cost)


def weights(rows, z):
    """Least squares from rows with a one behind them; W and b."""
    wide = np.array([[*row, 1.0] for row in rows])
    found = np.linalg.lstsq(wide, np.array(z), rcond=None)[0]
    return found[:-1].tolist(), found[-1].tolist()


def activations(upper, z, z_above, h):
    """Example by example: √γ a = √γ relu(z) and √β Wᵀa = √β (z⁺ − b), as one least squares problem."""
    W, b, _ = upper
    left = np.vstack([np.sqrt(h["gamma"]) * np.eye(len(W)), np.sqrt(h["beta"]) * np.array(W).T])
    found = []
    for own, above in zip(z, z_above, strict=True):
        right = [np.sqrt(h["gamma"]) * relu(v) for v in own]
        right += [np.sqrt(h["beta"]) * (v - c) for v, c in zip(above, b, strict=True)]
        found.append(np.linalg.lstsq(left, np.array(right), rcond=None)[0].tolist())
    return found


def admm_step(layers, codes, x, t, h):
    """One pass over all blocks from the bottom up; then the multiplier."""
    layers, codes, rows = list(layers), [dict(code) for code in codes], x
    for m, code in enumerate(codes):
        W, b = weights(rows, code["z"])
        layers[m] = (W, b, layers[m][2])
        if m < len(codes) - 1:
            code["a"] = activations(layers[m + 1], code["z"], codes[m + 1]["z"], h)
        p = [unit_outputs(W, b, row) for row in rows]
        for n in range(len(x)):
            if "a" in code:
                pairs = zip(code["a"][n], p[n], strict=True)
                code["z"] = [*code["z"][:n], [hidden_number(a, q, h) for a, q in pairs], *code["z"][n + 1 :]]
            else:
                triples = zip(p[n], t[n], code["multiplier"][n], strict=True)
                new = [last_number(q, label, lam, h) for q, label, lam in triples]
                code["z"] = [*code["z"][:n], new, *code["z"][n + 1 :]]
        rows = code.get("a")
    pushed = h["kappa"] * h["beta"]
    codes[-1]["multiplier"] = [
        [lam + pushed * (v - q) for lam, v, q in zip(*line, strict=True)]
        for line in zip(codes[-1]["multiplier"], codes[-1]["z"], p, strict=True)
    ]
    return layers, codes


# MAC: hidden layers with tanh, a linear output with the squared error ---------------------------------


def mac_losses(layers, codes, x, t, mu):
    """The objective of every example, for codes that may be complex."""
    y, total = np.array(x), 0.0
    for (W, b, _), code in zip(layers, [*codes, None], strict=True):
        predicted = y @ np.array(W) + np.array(b)
        if code is None:
            return total + np.sum((predicted - np.array(t)) ** 2, axis=1) / 2 / len(x) / mu
        total = total + np.sum((code - predicted) ** 2, axis=1) / 2
        y = np.tanh(code)
    return total


def mac_gradient(layers, codes, m, x, t, mu):
    """The derivative of the objective by the code of layer m, one complex step for every unit."""
    columns = []
    for i in range(codes[m].shape[1]):
        bent = [code.astype(complex) for code in codes]
        bent[m] = codes[m] + 1e-30j * (np.arange(codes[m].shape[1]) == i)
        columns.append(mac_losses(layers, bent, x, t, mu).imag / 1e-30)
    return np.stack(columns, axis=1)


def mac_sweep(layers, codes, x, t, mu, lr, steps):
    """Gradient steps on every code, from the top down, each of them seeing what moved before it."""
    codes = [np.array(code) for code in codes]
    for m in range(len(codes) - 1, -1, -1):
        for _ in range(steps):
            codes[m] = codes[m] - lr * mac_gradient(layers, codes, m, x, t, mu)
    return codes
