"""The mathematics of locoprop_ref once more, by loops over examples and units.

The second source of the network, the local problems, the closed form, the first-order optimizers, BackProp
and LocoProp. Plain Python numbers in nested lists, and nothing of the package. A layer is a triple (W, b,
transfer) with W a list of d_in rows, b a list or None, and transfer a pair (name, parameter). `lib` is
`math` for floats or `mpmath` for as many digits as one likes. Local problems see [x, 1] and the stacked
weights [W; b].
"""

import math

# scalars: f, f' and the integral F of f (F is only ever needed up to a constant that cancels) -----


def f(transfer, a, lib=math):
    name, parameter = transfer
    match name:
        case "identity":
            return a
        case "relu":
            return a if a > 0 else 0 * a
        case "leaky_relu":
            return a if a > 0 else parameter * a
        case "tanh":
            return lib.tanh(a)
        case "sigmoid":
            return 1 / (1 + lib.exp(-a)) if a >= 0 else lib.exp(a) / (1 + lib.exp(a))
        case "softplus":
            return a + lib.log1p(lib.exp(-a)) if a >= 0 else lib.log1p(lib.exp(a))
        case "elu":
            return a if a > 0 else parameter * lib.expm1(a)
        case "arctan":
            return lib.atan(a)


def derivative(transfer, a, lib=math):
    name, parameter = transfer
    match name:
        case "identity":
            return 1
        case "relu":
            return 1 if a > 0 else 0
        case "leaky_relu":
            return 1 if a > 0 else parameter
        case "tanh":
            return 1 / lib.cosh(a) ** 2
        case "sigmoid":
            return f(transfer, a, lib) * f(transfer, -a, lib)
        case "softplus":
            return f(("sigmoid", None), a, lib)
        case "elu":
            return 1 if a > 0 else parameter * lib.exp(a)
        case "arctan":
            return 1 / (1 + a * a)


def integral(transfer, a, lib=math, pieces=400):
    """F(a) - F(0) by composite Gauss-Legendre quadrature of f: three nodes a piece, no formula of F."""
    h, total = a / pieces, 0
    root, weights = lib.sqrt(15) / 5, (5 / 9, 8 / 9, 5 / 9)
    for i in range(pieces):
        for node, weight in zip((-root, 0, root), weights, strict=True):
            total += weight * f(transfer, h * (i + (1 + node) / 2), lib)
    return total * h / 2


def f_row(transfer, row, lib=math):
    """f of one example: softmax mixes the units, everything else takes them one by one."""
    if transfer[0] != "softmax":
        return [f(transfer, a, lib) for a in row]
    powers = [lib.exp(a - max(row)) for a in row]
    return [p / sum(powers) for p in powers]


def jacobian(transfer, row, lib=math):
    """d y_i / d a_j of one example, as a full matrix."""
    units = range(len(row))
    if transfer[0] != "softmax":
        return [[derivative(transfer, row[i], lib) if i == j else 0 for j in units] for i in units]
    p = f_row(transfer, row, lib)
    return [[p[i] * ((i == j) - p[j]) for j in units] for i in units]


# the network --------------------------------------------------------------------------------------


def affine(x, W, b):
    """x W + b for one example."""
    return [sum(x[i] * W[i][j] for i in range(len(x))) + (0 if b is None else b[j]) for j in range(len(W[0]))]


def forward(layers, x, lib=math):
    """Inputs, pre-activations and post-activations of every layer, each a list of examples."""
    inputs, a_hats, y_hats = [], [], []
    for W, b, transfer in layers:
        inputs.append(x)
        a_hats.append([affine(row, W, b) for row in x])
        y_hats.append([f_row(transfer, row, lib) for row in a_hats[-1]])
        x = y_hats[-1]
    return inputs, a_hats, y_hats


def loss(name, y, t, lib=math):
    """Network loss from the outputs y themselves: sum over outputs, mean over examples."""
    total = 0
    for y_row, t_row in zip(y, t, strict=True):
        for y_i, t_i in zip(y_row, t_row, strict=True):
            if name == "squared_error":
                total += (y_i - t_i) ** 2 / 2
            elif name == "softmax_cross_entropy":
                total -= t_i * lib.log(y_i)
            elif name == "sigmoid_cross_entropy":
                total -= t_i * lib.log(y_i) + (1 - t_i) * lib.log(1 - y_i)
    return total / len(y)


def loss_derivative(name, y_i, t_i):
    """d(loss of one example) / d y_i."""
    if name == "squared_error":
        return y_i - t_i
    if name == "softmax_cross_entropy":
        return -t_i / y_i
    return -t_i / y_i + (1 - t_i) / (1 - y_i)


def backward(layers, trace, t, loss_name, lib=math):
    """g = dL/da of every layer by the chain rule, one full Jacobian an example; no formula is merged."""
    _, a_hats, y_hats = trace
    B = len(t)
    u = [
        [loss_derivative(loss_name, y_i, t_i) / B for y_i, t_i in zip(y, row, strict=True)]
        for y, row in zip(y_hats[-1], t, strict=True)
    ]
    gs = []
    for (W, _, transfer), a_hat in zip(reversed(layers), reversed(a_hats), strict=True):
        g = []
        for a_row, u_row in zip(a_hat, u, strict=True):
            J = jacobian(transfer, a_row, lib)
            g.append([sum(u_row[i] * J[i][j] for i in range(len(u_row))) for j in range(len(a_row))])
        gs.insert(0, g)
        u = [[sum(row[j] * W[i][j] for j in range(len(row))) for i in range(len(W))] for row in g]
    return gs


def with_ones(x, bias=True):
    return [[*row, 1.0] if bias else list(row) for row in x]


def stacked(W, b):
    return [list(row) for row in W] + ([] if b is None else [list(b)])


def unstacked(V, bias):
    return (V[:-1], V[-1]) if bias else (V, None)


def gradients(layers, x, t, loss_name, lib=math):
    """dL/d[W; b] of every layer: one outer product an example."""
    trace = forward(layers, x, lib)
    gs = backward(layers, trace, t, loss_name, lib)
    return [
        outer_sum(with_ones(inp, b is not None), g)
        for (_, b, _), inp, g in zip(layers, trace[0], gs, strict=True)
    ]


def outer_sum(x, r):
    """Sum over examples of the outer products of x and r."""
    return [
        [sum(x[n][i] * r[n][j] for n in range(len(x))) for j in range(len(r[0]))] for i in range(len(x[0]))
    ]


# the local problem: min_V sum_rows [F(x V) - y_target . (x V)] + |V - V0|^2 / (2 eta) -------------


def target(y_hat, g, target_step):
    return [[y - target_step * d for y, d in zip(*rows, strict=True)] for rows in zip(y_hat, g, strict=True)]


def local_gradient(x, y_target, transfer, V, V0=None, weight_step=math.inf, mean=False):
    """Gradient in the stacked weights V; the data term summed (or averaged) over the batch."""
    residuals = []
    for x_row, y_row in zip(x, y_target, strict=True):
        y = f_row(transfer, affine(x_row, V, None))
        residuals.append([(a - b) / (len(x) if mean else 1) for a, b in zip(y, y_row, strict=True)])
    gradient = outer_sum(x, residuals)
    if weight_step != math.inf:
        for i, row in enumerate(V):
            for j, v in enumerate(row):
                gradient[i][j] += (v - V0[i][j]) / weight_step
    return gradient


def divergence(transfer, a, b):
    """D_F(a, b) of one example: F by quadrature, softmax by its definition as log-sum-exp."""
    y = f_row(transfer, b)
    linear = sum(y_i * (a_i - b_i) for y_i, a_i, b_i in zip(y, a, b, strict=True))
    if transfer[0] == "softmax":
        return math.log(sum(map(math.exp, a))) - math.log(sum(map(math.exp, b))) - linear
    return (
        sum(integral(transfer, a_i) - integral(transfer, b_i) for a_i, b_i in zip(a, b, strict=True)) - linear
    )


# linear algebra by hand ---------------------------------------------------------------------------


def eliminate(A, b):
    """Solve A z = b for one right-hand side: Gaussian elimination with partial pivoting."""
    rows = [[*row, value] for row, value in zip(A, b, strict=True)]
    n = len(rows)
    for k in range(n):
        pivot = max(range(k, n), key=lambda i: abs(rows[i][k]))
        rows[k], rows[pivot] = rows[pivot], rows[k]
        for i in range(k + 1, n):
            factor = rows[i][k] / rows[k][k]
            rows[i] = [u - factor * v for u, v in zip(rows[i], rows[k], strict=True)]
    z = [0] * n
    for k in reversed(range(n)):
        z[k] = (rows[k][n] - sum(rows[k][j] * z[j] for j in range(k + 1, n))) / rows[k][k]
    return z


def closed_form(x, y_target, V0, weight_step):
    """Least squares per output unit j: (XᵀX + I/eta) v_j = Xᵀy_j + v0_j/eta."""
    d, units = len(V0), range(len(V0[0]))
    A = outer_sum(x, x)
    for i in range(d):
        A[i][i] += 1 / weight_step
    right = outer_sum(x, y_target)
    columns = [eliminate(A, [right[i][j] + V0[i][j] / weight_step for i in range(d)]) for j in units]
    return [[columns[j][i] for j in units] for i in range(d)]


def minimum_norm(x, y_target, V0):
    """The smallest change that fits the targets exactly (fewer independent examples than inputs)."""
    K = [[sum(p * q for p, q in zip(u, v, strict=True)) for v in x] for u in x]
    result = [list(row) for row in V0]
    for j in range(len(V0[0])):
        miss = [y[j] - affine(row, V0, None)[j] for row, y in zip(x, y_target, strict=True)]
        for coefficient, row in zip(eliminate(K, miss), x, strict=True):
            for i, x_i in enumerate(row):
                result[i][j] += coefficient * x_i
    return result


# optimizers, one number at a time: state -> state, and the change to subtract from the weight -----


def optimizer_step(name, dialect, g, state, rate, h):
    """One update of one weight. `h` holds the hyper-parameters, `state` what the dialect remembers."""
    tf1 = dialect == "tf1"
    s = dict(state)
    match name:
        case "sgd":
            return rate * g, s
        case "momentum" | "nesterov":
            s["m"] = h["momentum"] * s.get("m", 0.0) + g
            return rate * (g + h["momentum"] * s["m"] if name == "nesterov" else s["m"]), s
        case "adagrad":
            s["v"] = s.get("v", h["initial"]) + g * g
            return rate * g / (math.sqrt(s["v"]) if tf1 else math.sqrt(s["v"]) + h["epsilon"]), s
        case "rmsprop":
            s["v"] = h["decay"] * s.get("v", 1.0 if tf1 else 0.0) + (1 - h["decay"]) * g * g
            if tf1:
                s["m"] = h["momentum"] * s.get("m", 0.0) + rate * g / math.sqrt(s["v"] + h["epsilon"])
                return s["m"], s
            s["m"] = h["momentum"] * s.get("m", 0.0) + g / (math.sqrt(s["v"]) + h["epsilon"])
            return rate * s["m"], s
        case "adam":
            s["t"] = s.get("t", 0) + 1
            s["m"] = h["beta1"] * s.get("m", 0.0) + (1 - h["beta1"]) * g
            s["v"] = h["beta2"] * s.get("v", 0.0) + (1 - h["beta2"]) * g * g
            correct1, correct2 = 1 - h["beta1"] ** s["t"], 1 - h["beta2"] ** s["t"]
            if tf1:
                return rate * math.sqrt(correct2) / correct1 * s["m"] / (math.sqrt(s["v"]) + h["epsilon"]), s
            return rate * (s["m"] / correct1) / (math.sqrt(s["v"] / correct2) + h["epsilon"]), s


def optimize(name, dialect, V, gradient, states, rate, h):
    """`optimizer_step` on every weight; `states` is None at the start, then as returned."""
    states = states or [[{} for _ in row] for row in V]
    moved, after = [], []
    for v_row, g_row, s_row in zip(V, gradient, states, strict=True):
        pairs = [optimizer_step(name, dialect, g, s, rate, h) for g, s in zip(g_row, s_row, strict=True)]
        moved.append([v - change for v, (change, _) in zip(v_row, pairs, strict=True)])
        after.append([s for _, s in pairs])
    return moved, after


def local_rate(local_lr, k, K, decay):
    return local_lr * (max(1 - k / K, 0.25) if decay == "authors" else 1.0)


def descend(x, y_target, transfer, V0, optimizer, *, local_lr, K, decay="authors", states=None, **problem):
    """K inner steps from V0. `optimizer` is (name, dialect, hyper-parameters)."""
    name, dialect, h = optimizer
    V = [list(row) for row in V0]
    for k in range(K):
        gradient = local_gradient(x, y_target, transfer, V, V0, **problem)
        V, states = optimize(name, dialect, V, gradient, states, local_rate(local_lr, k, K, decay), h)
    return V, states


# whole training steps -----------------------------------------------------------------------------

LINEAR = ("identity", None)


def backprop_step(layers, x, t, loss_name, states, optimizer, rate):
    name, dialect, h = optimizer
    moved, after = [], []
    for m, gradient in enumerate(gradients(layers, x, t, loss_name)):
        W, b, transfer = layers[m]
        V, s = optimize(name, dialect, stacked(W, b), gradient, states and states[m], rate, h)
        moved.append((*unstacked(V, b is not None), transfer))
        after.append(s)
    return moved, after


def locoprop_step(layers, x, t, loss_name, solve, *, squared, target_step, gauss_seidel=False):
    """One LocoProp training step; `solve(m, x, y_target, local_transfer, V0)` returns the new weights.

    Jacobi: inputs and targets of all layers come from the old weights. Gauss-Seidel: a layer's input comes
    from the layers below as they have just moved, its pre- and post-activation from that input and its own
    old weights; g stays that of the old forward pass.
    """
    inputs, a_hats, y_hats = forward(layers, x)
    gs = backward(layers, (inputs, a_hats, y_hats), t, loss_name)
    moved = []
    for m, (W, b, transfer) in enumerate(layers):
        inp, a_hat, y_hat = inputs[m], a_hats[m], y_hats[m]
        if gauss_seidel and m > 0:
            inp = forward(moved, x)[2][-1]
            a_hat = [affine(row, W, b) for row in inp]
            y_hat = [f_row(transfer, row) for row in a_hat]
        y_target = target(a_hat if squared else y_hat, gs[m], target_step)
        V = solve(m, with_ones(inp, b is not None), y_target, LINEAR if squared else transfer, stacked(W, b))
        moved.append((*unstacked(V, b is not None), transfer))
    return moved
