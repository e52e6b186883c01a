"""One step of every minibatch row of the family, in plain NumPy with whole matrices.

The second source of `methods.family`, its parts and their settings. A network is a list of (W̃, name of f),
the bias as last row of W̃, f "tanh" or "identity"; the loss is the squared error, ½‖ŷ − t‖² in the mean over
the examples. Every row maps (layers, x, t, extra) to the new W̃ of all layers, where `extra` holds the numbers
that the row draws at random.
"""

import numpy as np

GAMMA, ETA = 10.0, 0.01  # γ; η, with ηγ = 0.1
F = {"tanh": np.tanh, "identity": lambda a: a}
SLOPE = {"tanh": lambda a: 1 - np.tanh(a) ** 2, "identity": np.ones_like}


def wide(x):
    return np.hstack([x, np.ones((len(x), 1))])


def passes(layers, x, t):
    """x̃, a and g of every layer, g = ∂L/∂a."""
    xs, activations, said = [], [], x
    for W, f in layers:
        xs.append(wide(said))
        activations.append(xs[-1] @ W)
        said = F[f](activations[-1])
    g = [(said - t) / len(x) * SLOPE[layers[-1][1]](activations[-1])]
    for m in range(len(layers) - 1, 0, -1):
        W, f = layers[m][0][:-1], layers[m - 1][1]
        g.insert(0, (g[0] @ W.T) * SLOPE[f](activations[m - 1]))
    return xs, activations, g


def each_layer(step):
    """A row that changes every layer by a function of its W̃, x̃ and g."""

    def row(layers, x, t, extra):
        xs, _, g = passes(layers, x, t)
        return [step(W, x_m, g_m) for (W, _), x_m, g_m in zip(layers, xs, g, strict=True)]

    return row


def ridge(x, right):
    """(X̃ᵀX̃ + I/η)⁻¹ times the right side."""
    return np.linalg.inv(x.T @ x + np.eye(x.shape[1]) / ETA) @ right


def eg(W, x, g):
    """w = w⁺ − w⁻ with w⁺w⁻ = ¼, multiplied by e^{∓0.1 ∂L/∂w}."""
    positive, dW = (W + np.sqrt(W * W + 1)) / 2, x.T @ g
    return positive * np.exp(-0.1 * dW) - (positive - W) * np.exp(0.1 * dW)


def rmsprop_steps(W, gradient):
    """K = 10 steps of the authors' RMSProp: mean square from ones, ε in the root, rates s·max(1 − k/K, ¼)."""
    square, velocity = np.ones_like(W), np.zeros_like(W)
    for k in range(10):
        dW = gradient(W)
        square = 0.9 * square + 0.1 * dW * dW
        velocity = 0.999 * velocity + 1e-5 * max(1 - k / 10, 0.25) * dW / np.sqrt(square + 1e-5)
        W = W - velocity
    return W


def adam_step(W, dW):
    """The first step: both moments are divided by what they were multiplied with, ε against the raw root."""
    mean, square = 0.1 * dW, 0.001 * dW * dW
    return W - 1e-3 * np.sqrt(0.001) / 0.1 * mean / (np.sqrt(square) + 1e-8)


def prox(W, x, g):
    """W̃₀ − γ(W̃₀ − W̃_prox), W̃_prox by least squares towards a − g."""
    rows = np.vstack([x, np.eye(len(W)) / np.sqrt(ETA)])
    nearest = np.linalg.lstsq(rows, np.vstack([x @ W - g, W / np.sqrt(ETA)]), rcond=None)[0]
    return W - GAMMA * (W - nearest)


def locoprop_s(W, x, g):
    y = x @ W - GAMMA * g
    return rmsprop_steps(W, lambda V: x.T @ (x @ V - y))


def matching(layers, x, t, extra, exact):
    xs, activations, g = passes(layers, x, t)
    found = []
    for (W, f), x_m, a, g_m in zip(layers, xs, activations, g, strict=True):
        y = F[f](a) - GAMMA * g_m
        if not exact:
            found.append(rmsprop_steps(W, lambda V, x=x_m, y=y, f=f: x.T @ (F[f](x @ V) - y)))
            continue
        new = W.copy()
        for _ in range(30):  # undamped: η is small
            for j in range(W.shape[1]):
                now = x_m @ new[:, j]
                hessian = (x_m.T * SLOPE[f](now)) @ x_m + np.eye(len(W)) / ETA
                gradient = x_m.T @ (F[f](now) - y[:, j]) + (new[:, j] - W[:, j]) / ETA
                new[:, j] -= np.linalg.inv(hessian) @ gradient
        found.append(new)
    return found


def kfac(W, x, g):
    G = len(g) * g.T @ g + 0.01 * np.eye(g.shape[1])
    return W - GAMMA * ridge(x, x.T @ g) @ np.linalg.inv(G)


def gauss_newton(layers, x, t, extra):
    xs, activations, g = passes(layers, x, t)
    J = [np.eye(g[-1].shape[1])[None].repeat(len(x), axis=0)]
    for m in range(len(layers) - 1, 0, -1):
        slopes = SLOPE[layers[m - 1][1]](activations[m - 1])
        J.insert(0, np.einsum("bij,kj,bk->bik", J[0], layers[m][0][:-1], slopes))
    changes = []
    for (W, _), x_m, J_m in zip(layers, xs, J, strict=True):
        d = np.array([np.linalg.pinv(J_b) @ r for J_b, r in zip(J_m, len(x) * g[-1], strict=True)])
        changes.append(W - ridge(x_m, x_m.T @ d))
    return changes


def target_propagation(layers, x, t, inverses, difference):
    """Targets of ŷ by the inverses [V; c]; the last layer learns on the network loss itself."""
    xs, activations, g = passes(layers, x, t)
    said = [F[f](a) for a, (_, f) in zip(activations, layers, strict=True)]
    targets = [said[-2] - GAMMA * g[-1] @ layers[-1][0][:-1].T]
    for m in range(len(layers) - 3, -1, -1):
        f, V = F[layers[m][1]], inverses[m]
        back = f(wide(targets[0]) @ V)
        targets.insert(0, said[m] + back - f(wide(said[m + 1]) @ V) if difference else back)
    found = [
        rmsprop_steps(W, lambda V, x=x_m, y=y, f=f: x.T @ (F[f](x @ V) - y))
        for (W, f), x_m, y in zip(layers[:-1], xs, targets, strict=False)
    ]
    W = layers[-1][0]
    return [*found, rmsprop_steps(W, lambda V: xs[-1].T @ (xs[-1] @ V - t) / len(x))]


def feedback(layers, x, t, matrices, direct):
    xs, activations, g = passes(layers, x, t)
    errors = [g[-1]]
    for m in range(len(layers) - 2, -1, -1):
        above = errors[-1] if direct else errors[0]
        R = matrices[m]
        errors.insert(0, (above @ R.T) * SLOPE[layers[m][1]](activations[m]))
    return [W - 0.1 * x_m.T @ e for (W, _), x_m, e in zip(layers, xs, errors, strict=True)]


def z_il(layers, x, t, extra):
    xs, _, g = passes(layers, x, t)
    M = len(layers)
    parts = zip(layers, xs, g, strict=True)
    return [W - 0.01 * 0.5 ** (M - 1 - m) * x_m.T @ g_m for m, ((W, _), x_m, g_m) in enumerate(parts)]


def alternating(layers, x, t, extra, memory):
    """Codes c_m by one step of size 1 each, which are moved inputs as well."""
    xs, activations, g = passes(layers, x, t)
    codes, above = [], g[-1]
    for m in range(len(layers) - 2, -1, -1):
        moved = activations[m] - (above @ layers[m + 1][0][:-1].T) * SLOPE[layers[m][1]](activations[m])
        codes.insert(0, moved)
        above = activations[m] - moved
    inputs = [xs[0], *(wide(F[f](c)) for c, (_, f) in zip(codes, layers, strict=False))]
    found = []
    for m, (W, _) in enumerate(layers):
        x_m = inputs[m]
        if m < len(layers) - 1:
            gradient = x_m.T @ (x_m @ W - codes[m])
        else:  # the network loss by the moved input, as itself or as the target a − ∂L/∂a
            gradient = x_m.T @ (x_m @ W - t) / len(x)
        found.append(W - ridge(x_m, gradient) if memory else adam_step(W, gradient))
    return found


ROWS = {
    "SGD": each_layer(lambda W, x, g: W - 0.1 * x.T @ g),
    "SGD by one inner step": each_layer(lambda W, x, g: W - 0.1 * x.T @ g),
    "SGD with L2 decay": each_layer(lambda W, x, g: (W - 0.1 * x.T @ g) / (1 + ETA * 1e-4)),
    "SGD with decoupled decay": each_layer(lambda W, x, g: (1 - 1e-4) * W - 0.1 * x.T @ g),
    "EG±": each_layer(eg),
    "LocoProp-S": each_layer(locoprop_s),
    "LocoProp-S, closed form": each_layer(lambda W, x, g: W - GAMMA * ridge(x, x.T @ g)),
    "LocoProp-M": lambda *given: matching(*given, exact=False),
    "LocoProp-M, exact": lambda *given: matching(*given, exact=True),
    "ProxProp": each_layer(prox),
    "FOOF of a batch": each_layer(lambda W, x, g: W - GAMMA * ridge(x, x.T @ g)),
    "FOOF": each_layer(lambda W, x, g: W - GAMMA * ridge(x, x.T @ g)),
    "K-FAC": each_layer(kfac),
    "Gauss–Newton targets": gauss_newton,
    "target propagation": lambda *given: target_propagation(*given, difference=False),
    "difference target prop.": lambda *given: target_propagation(*given, difference=True),
    "feedback alignment": lambda *given: feedback(*given, direct=False),
    "direct feedback alignment": lambda *given: feedback(*given, direct=True),
    "predictive coding, Z-IL": z_il,
    "alternating minimization": lambda *given: alternating(*given, memory=False),
    "AM-mem": lambda *given: alternating(*given, memory=True),
}
