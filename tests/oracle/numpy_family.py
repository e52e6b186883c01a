"""LocoProp's relatives in NumPy: a target for the oracle that shares no code with the package.

Functions are small, so that `relatives_mistakes.py` can replace one of them by a wrong one.
"""

import numpy as np

TRANSFERS = {
    "identity": lambda a: a,
    "tanh": np.tanh,
    "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
    "softplus": lambda a: np.log1p(np.exp(a)),
    "softmax": lambda a: np.exp(a) / np.exp(a).sum(1, keepdims=True),
}
SLOPES = {
    "identity": np.ones_like,
    "tanh": lambda a: 1 / np.cosh(a) ** 2,
    "sigmoid": lambda a: TRANSFERS["sigmoid"](a) * TRANSFERS["sigmoid"](-a),
    "softplus": TRANSFERS["sigmoid"],
}


# networks -------------------------------------------------------------------------------------------


def layers(i):
    return [(i[f"W_{m}"], i[f"b_{m}"], f) for m, f in enumerate(i["transfers"], start=1)]


def forward(net, x):
    """The inputs and the pre-activations of every layer, and the output."""
    xs, a_hats = [], []
    for W, b, f in net:
        xs.append(x)
        a_hats.append(x @ W + b)
        x = TRANSFERS[f](a_hats[-1])
    return xs, a_hats, x


def reduced(g):
    return g / len(g)


def residual(y, t):
    return y - t


def output_error(a, t, f, loss):
    """∂L/∂â of the last layer."""
    slope = SLOPES[f](a) if loss == "squared_error" else 1.0
    return reduced(residual(TRANSFERS[f](a), t) * slope)


def backward(net, a_hats, t, loss):
    g = [output_error(a_hats[-1], t, net[-1][2], loss)]
    for m in range(len(net) - 2, -1, -1):
        g.insert(0, g[0] @ net[m + 1][0].T * SLOPES[net[m][2]](a_hats[m]))
    return g


# codes ----------------------------------------------------------------------------------------------


def start_of_code(a_hat, f):
    return a_hat


def said(code, f):
    """What the layer above reads of a code."""
    return TRANSFERS[f](code)


def slope_of(code, f):
    return SLOPES[f](code)


def mismatch(a, code, f, c):
    """The derivative by the pre-activation of half the squared distance to the code."""
    return squares(code, c) * (a - code)


def squares(code, c):
    return 2 / code.size if c["code_reduction"] == "mean" else 1.0


def top_weight(mu):
    return 1 / mu


def lower_weight(mu):
    return 1.0


def seen_above(found, start, m):
    return found[m + 1]


def code_step(gradient, velocity, rho):
    """The step of a code, and the velocity."""
    velocity = rho * velocity + gradient
    return gradient + rho * velocity, velocity


def fresh_velocity(code, memory, m):
    return np.zeros_like(code)


def anchored(code, start, kappa):
    return kappa * (code - start)


def number_of_steps(K):
    return K


def inputs_below(moved, start, c):
    return moved if c["code_inputs"] == "moved" else start


def moved_codes(net, start, t, i, c, memory):
    found = list(start)
    for m in range(len(net) - 2, -1, -1):
        code, (W, b, f) = start[m], net[m + 1]
        velocity = fresh_velocity(code, memory, m)
        for _ in range(number_of_steps(i["num_code_steps"])):
            a = said(code, net[m][2]) @ W + b
            if m == len(net) - 2:
                e = top_weight(i["coupling"]) * output_error(a, t, f, i["output_loss"])
            else:
                e = lower_weight(i["coupling"]) * mismatch(a, seen_above(found, start, m), f, c)
            gradient = e @ W.T * slope_of(code, net[m][2])
            gradient = gradient + anchored(code, start[m], squares(code, c) * i["anchor"])
            step, velocity = code_step(gradient, velocity, i["momentum"])
            code = code - i["code_lr"] * step
        memory[m] = velocity
        found[m] = code
    return found[:-1]


def codes(i, c):
    net, memory = layers(i), {}
    for x, t in zip(i["x"], i["t"], strict=True):
        start = [start_of_code(a, f) for a, (_, _, f) in zip(forward(net, x)[1], net, strict=True)]
        found = moved_codes(net, start, t, i, c, memory)
    values = {f"code_{m}": code for m, code in enumerate(found, start=1)}
    for m, (W, b, f) in enumerate(net):
        if m:
            x = said(inputs_below(found[m - 1], start[m - 1], c), net[m - 1][2])
        a = x @ W + b
        e = mismatch(a, found[m], f, c) if m < len(found) else output_error(a, t, f, i["output_loss"])
        values |= {f"dW_{m + 1}": x.T @ e, f"db_{m + 1}": e.sum(0)}
    return values


# memory ---------------------------------------------------------------------------------------------


def remembered(old, new, rho):
    return rho * old + new


def moment(x, y):
    return x.T @ y


def pull(C, A, W, x, y):
    return C - A @ W


def ridge_now(where, count):
    """What is added inside the memory, and outside."""
    return (1.0 if count == 0 else 0.0, 0.0) if where == "inside" else (0.0, 1.0)


def triangle(A):
    return np.tril(A)


def memory(i, c):
    W = np.vstack([i["W"], i["b"]])
    A, C = np.zeros((len(W), len(W)), W.dtype), np.zeros_like(W)
    eye = np.eye(len(W), dtype=W.dtype) / i["weight_step"]
    for count, (x, y) in enumerate(zip(i["x"], i["y_target"], strict=True)):
        x = np.hstack([x, np.ones((len(x), 1), x.dtype)])
        A, C = remembered(A, x.T @ x, i["decay"]), remembered(C, moment(x, y), i["decay"])
        inside, outside = ridge_now(c["memory_ridge"], count)
        A, C = A + inside * eye, C + inside * eye @ W
        system, right = A + outside * eye, pull(C, A, W, x, y)
        if "num_sweeps" not in i:
            W = W + np.linalg.solve(system, right)
            continue
        change = np.zeros_like(W)
        for _ in range(i["num_sweeps"]):
            change = change + np.linalg.solve(triangle(system), right - system @ change)
        W = W + change
    return {"W": W[:-1], "b": W[-1]}


# targets --------------------------------------------------------------------------------------------


def moved_by(y, step):
    return y - step


def psi(y, i, m):
    """The inverse of layer m, counted from 1."""
    return TRANSFERS[i["transfers"][m - 2]](y @ i[f"V_{m}"] + i[f"c_{m}"])


def corrected(y_below, target, y, i, m, top):
    return y_below + psi(target, i, m) - psi(y, i, m)


def plain(y_below, target, y, i, m, top):
    return psi(target, i, m)


def first_derivative(net, a_hats, g):
    return g[-1] @ net[-1][0].T


def start_at(c):
    return c["start"]


def inverse_target(i, c):
    net = layers(i)
    xs, a_hats, y = forward(net, i["x"])
    g, ys = backward(net, a_hats, i["t"], i["output_loss"]), [*xs[1:], y]
    if start_at(c) == "output":
        targets = [moved_by(y, i["target_step"] * g[-1])]
    else:
        targets = [moved_by(ys[-2], i["target_step"] * first_derivative(net, a_hats, g)), i["t"]]
    rule = corrected if c["correction"] == "difference" else plain
    highest = len(net) - len(targets) + 1
    for m in range(highest, 1, -1):
        targets.insert(0, rule(ys[m - 2], targets[0], ys[m - 1], i, m, m == highest))
    return named(targets)


def named(targets):
    return {f"y_target_{m}": target for m, target in enumerate(targets, start=1)}


def displaced(a_hat, d, f, method):
    return a_hat - d if method == "locoprop-s" else TRANSFERS[f](a_hat - d)


def factor(g):
    return len(g) * g.T @ g


def damped_division(g, G, damping, x):
    return np.linalg.solve(G + damping * np.eye(len(G), dtype=G.dtype), g.T).T


def kronecker_target(i, c):
    net = layers(i)
    xs, a_hats, _ = forward(net, i["x"])
    g = backward(net, a_hats, i["t"], i["output_loss"])
    return named([
        displaced(a, moved_by(0, -i["target_step"] * damped_division(u, factor(u), i["damping"], x)), f,
                  i["method"])
        for a, u, x, (_, _, f) in zip(a_hats, g, xs, net, strict=True)
    ])  # fmt: skip


def example_error(g):
    return len(g) * g


def jacobians(net, a_hats):
    """∂â_M/∂â_m of every example, (B, d_M, d_m)."""
    last = a_hats[-1]
    J = np.broadcast_to(np.eye(last.shape[1], dtype=last.dtype), (len(last), *2 * last.shape[1:]))
    found = [J]
    for m in range(len(net) - 2, -1, -1):
        J = J @ net[m + 1][0].T * SLOPES[net[m][2]](a_hats[m])[:, None, :]
        found.insert(0, J)
    return found


def removal(J, r, tau):
    system = (1 - tau) * J @ J.transpose(0, 2, 1) + tau * np.eye(J.shape[1], dtype=J.dtype)
    return (J.transpose(0, 2, 1) @ np.linalg.solve(system, r[:, :, None]))[:, :, 0]


def gauss_newton_target(i, c):
    net = layers(i)
    _, a_hats, _ = forward(net, i["x"])
    r = example_error(output_error(a_hats[-1], i["t"], net[-1][2], i["output_loss"]))
    return named([
        displaced(a, moved_by(0, -i["target_step"] * removal(J, r, i["tau"])), f, i["method"])
        for a, J, (_, _, f) in zip(a_hats, jacobians(net, a_hats), net, strict=True)
    ])  # fmt: skip


# mirror descent -------------------------------------------------------------------------------------


def halves(w, beta):
    root = np.sqrt(w**2 + beta**2)
    return (root + w) / 2, (root - w) / 2


def times(w, sg):
    return w * np.exp(-sg)


def both(plus, minus, sg):
    return times(plus, sg), times(minus, -sg)


def normalized(parts, geometry):
    if geometry != "eg-normalized":
        return parts
    return [part / unit_sums(sum(parts)) for part in parts]


def unit_sums(w):
    return w.sum(0)


def link(a, q):
    return np.sign(a) * np.abs(a) ** (q - 1) / np.linalg.norm(a, q, axis=0) ** (q - 2)


def orders(p):
    return p / (p - 1), p


def signed(sg):
    return sg


def mirror(i, c):
    W, path, geometry = i["W"], [], i["geometry"]
    parts = {"eg+-": lambda: halves(W, i["beta"]), "p-norm": lambda: [link(W, orders(i["p"])[0])]}
    state = parts.get(geometry, lambda: [W])()
    for g, s in zip(i["gradients"], i["rates"], strict=True):
        sg = signed(W.dtype.type(s) * g)
        if geometry == "p-norm":
            state = [state[0] - sg]
            path.append(link(state[0], orders(i["p"])[1]))
            continue
        state = both(*state, sg) if geometry == "eg+-" else [times(state[0], sg)]
        state = normalized(state, geometry)
        path.append(state[0] - state[1] if geometry == "eg+-" else state[0])
    return {"W_path": np.stack(path)}


# blocks of ADMM ---------------------------------------------------------------------------------------


def relu(z):
    return np.maximum(z, 0)


def penalties(i):
    return i["activation_penalty"], i["penalty"]


def fitted(a, z):
    W = np.linalg.lstsq(np.hstack([a, np.ones((len(a), 1), a.dtype)]), z, rcond=None)[0]
    return W[:-1], W[-1]


def without_bias(z, b):
    return z - b


def cheaper(a, p, gamma, beta):
    on, off = relu((gamma * a + beta * p) / (gamma + beta)), np.minimum(p, 0)
    dear = gamma * (a - on) ** 2 + beta * (on - p) ** 2 > gamma * a**2 + beta * (off - p) ** 2
    return np.where(dear, off, on)


def pulled(multiplier):
    return -multiplier


def last_penalty(i):
    return i["penalty"]


def hinge_edge():
    return 0.0


def last(i):
    beta = last_penalty(i)
    if i["block"] == "output squared":
        return (i["t"] + pulled(i["multiplier"]) + beta * i["prediction"]) / (1 + beta)
    q = i["prediction"] + pulled(i["multiplier"]) / beta
    one = np.clip(np.minimum(q + 1 / beta, 1), q, None)
    return np.where(i["t"] > 0, one, np.minimum(q, np.maximum(hinge_edge(), q - 1 / beta)))


def multiplier_length(i):
    return i["multiplier_step"] * i["penalty"]


def admm(i, c):
    match i["block"]:
        case "weights":
            return dict(zip(("W", "b"), fitted(i["a"], i["z"]), strict=True))
        case "activation":
            gamma, beta = penalties(i)
            right = gamma * relu(i["z"]) + beta * without_bias(i["z_above"], i["b"]) @ i["W"].T
            system = gamma * np.eye(len(i["W"]), dtype=right.dtype) + beta * i["W"] @ i["W"].T
            return {"a": np.linalg.solve(system, right.T).T}
        case "hidden":
            return {"z": cheaper(i["a"], i["prediction"], *penalties(i))}
        case "multiplier":
            moved = -pulled(multiplier_length(i) * (i["z"] - i["prediction"]))
            return {"multiplier": i["multiplier"] + moved}
    return {"z": last(i)}


TOPICS = {
    "codes": "codes", "memory": "memory", "inverse_target": "inverse_target",
    "kronecker_target": "kronecker_target", "gauss_newton_target": "gauss_newton_target", "mirror": "mirror",
    "admm": "admm",
}  # fmt: skip


def target(topic, conventions, inputs):
    """The target of the oracle."""
    return globals()[topic](inputs, conventions) if topic in TOPICS else NotImplemented
