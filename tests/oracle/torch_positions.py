"""Convolutional and recurrent LocoProp in PyTorch: conv2d, max_pool2d, avg_pool2d, unfold, and autograd.

A program that shares no code with the package, for the topics of layers with positions or steps. Whatever a
port may get wrong is a function of its own, so that `positions_mistakes.py` can plant it.
"""

import math

import torch
import torch.nn.functional as F

TRANSFERS = {
    "identity": lambda a: a,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softmax": lambda a: torch.softmax(a, dim=-1),
}


# what a layer reads ---------------------------------------------------------------------------------


def example(y, shape):
    return y.reshape(-1, *shape)


def back_to_flat(z):
    return z.reshape(len(z), -1)


def padded(z, padding):
    return F.pad(z, (padding,) * 4)


def unfolded(z, size, stride):
    """Return (B, C·size², positions)."""
    return F.unfold(z, size, stride=stride)


def kernels(W, channels, size):
    return W.T.reshape(-1, channels, size, size)


def convolved(z, W, b, size, stride):
    return F.conv2d(z, kernels(W, z.shape[1], size), b, stride=stride)


def maximum(z, size, stride):
    return F.max_pool2d(z, size, stride)


def mean(z, size, stride):
    return F.avg_pool2d(z, size, stride)


def flattened(z):
    return z.reshape(len(z), -1)


def by_rows(z):
    """Return the rows of (B, d, positions...), row p·B + i for position p of example i."""
    return z.flatten(2).permute(2, 0, 1).reshape(-1, z.shape[1])


def from_rows(u, batch):
    """Return (B, d, positions) from rows."""
    return u.reshape(-1, batch, u.shape[1]).permute(1, 2, 0)


def with_ones(x):
    return torch.cat([x, x.new_ones(len(x), 1)], dim=1)


def joined(x, h):
    return torch.cat([x, h], dim=1)


def state_before(inputs, m, h):
    """Return the state before the first step; h has its shape."""
    return h + inputs[f"h0_{m}"] if f"h0_{m}" in inputs else h


def carried(h):
    return h


def said(states):
    return torch.stack(states, dim=2)


def all_steps(parts):
    """Return the rows of all steps from those of each."""
    return torch.cat(parts)


def divisor(batch, rows):
    return batch


def sequence(z, stage):
    """Return (B, d, T)."""
    return z.transpose(1, 2) if stage == "steps" else z


def before_rows(z, wiring):
    """Go through all stages but the one that makes the rows."""
    for stage in wiring[:-1] if wiring[-1]["stage"] not in ("mean", "max") else wiring:
        z = (maximum if stage["stage"] == "max" else mean)(z, stage["size"], stage["stride"])
    return z


def read(z, wiring):
    """Return (B, width, positions) of what stands in the rows."""
    z, last = before_rows(z, wiring), wiring[-1]
    match last["stage"]:
        case "patches":
            return unfolded(padded(z, last["padding"]), last["size"], last["stride"])
        case "flatten":
            return flattened(z)[:, :, None]
        case "last step":
            return z[:, :, -1:]
    return sequence(z, last["stage"])


# the network ----------------------------------------------------------------------------------------


def layer(z, inputs, m):
    """Return rows, pre-activations, post-activations as rows, and (B, d_out, positions...)."""
    W, b, f = inputs[f"W_{m}"], inputs.get(f"b_{m}"), TRANSFERS[inputs["transfers"][m - 1]]
    wiring = inputs["wirings"][m - 1]
    last, read_z = wiring[-1], read(z, wiring)
    if last["stage"] in ("steps", "every step"):
        return through_time(read_z, W, b, f, inputs, m)
    x = by_rows(read_z)
    if last["stage"] == "patches":
        image = convolved(padded(before_rows(z, wiring), last["padding"]), W, b, last["size"], last["stride"])
        a_hat, positions = by_rows(image), image.shape[2:]
    else:
        a_hat, positions = affine(x, W, b), ()
    y = f(a_hat)
    return x, a_hat, y, from_rows(y, len(z)).reshape(len(z), -1, *positions)


def affine(x, W, b):
    return x @ W if b is None else with_ones(x) @ torch.cat([W, b[None]])


def through_time(steps, W, b, f, inputs, m):
    h = state_before(inputs, m, steps.new_zeros(len(steps), W.shape[1]))
    rows, a_hats, states = [], [], []
    for t in range(steps.shape[2]):
        rows.append(joined(steps[:, :, t], carried(h)))
        a_hats.append(affine(rows[-1], W, b))
        h = f(a_hats[-1])
        states.append(h)
    return all_steps(rows), a_hats, all_steps(states), said(states)


def network_loss(a_hat, y_hat, t, name):
    if name == "squared_error":
        return 0.5 * ((y_hat - t) ** 2).sum(dim=1).mean()
    if name == "sigmoid_cross_entropy":
        return F.binary_cross_entropy_with_logits(a_hat, t, reduction="none").sum(dim=1).mean()
    return F.cross_entropy(a_hat, t)


def full_pass(inputs, x, t):
    """Return rows, pre-activations, post-activations, g of every layer (as rows), and the loss."""
    z = example(x, inputs["shape"]).requires_grad_()
    found = []
    for m in range(1, len(inputs["transfers"]) + 1):
        *parts, z = layer(z, inputs, m)
        found.append(parts)
    loss = network_loss(found[-1][1], found[-1][2], t, inputs["output_loss"])
    nodes = [a if isinstance(a, list) else [a] for _, a, _ in found]
    flat = [node for part in nodes for node in part]
    g = iter(torch.autograd.grad(loss, flat, allow_unused=True))
    g = [all_steps([zeros_for(next(g), node) for node in part]) for part in nodes]
    xs, y_hats = ([part[i].detach() for part in found] for i in (0, 2))
    return xs, [all_steps(part).detach() for part in nodes], y_hats, g, loss.detach()


def zeros_for(g, node):
    return torch.zeros_like(node) if g is None else g


# the local problem ----------------------------------------------------------------------------------


def stacked(inputs, m):
    W, b = inputs[f"W_{m}"], inputs.get(f"b_{m}")
    return W if b is None else torch.cat([W, b[None]])


def split(W, inputs, m, prefix=""):
    if f"b_{m}" not in inputs:
        return {f"{prefix}W_{m}": W}
    return {f"{prefix}W_{m}": W[:-1], f"{prefix}b_{m}": W[-1]}


def problems(inputs, conventions, x, t):
    """Yield for every layer X̃, y*, its local transfer, W̃₀, and the factor of the mean."""
    xs, a_hats, y_hats, g, _ = full_pass(inputs, x, t)
    for m, (rows, a_hat, y_hat, g_m) in enumerate(zip(xs, a_hats, y_hats, g, strict=True), start=1):
        squared = inputs["method"].startswith("locoprop-s")
        y_target = (a_hat if squared else y_hat) - inputs["target_step"] * g_m
        f = TRANSFERS["identity" if squared else inputs["transfers"][m - 1]]
        rows = with_ones(rows) if f"b_{m}" in inputs else rows
        mean_of = divisor(len(x), len(rows)) if conventions["local_reduction"] == "mean" else 1
        yield rows, y_target, f, stacked(inputs, m), mean_of


def closed_form(x, y_target, f, W, mean_of, inputs):
    H = x.T @ x / mean_of + torch.eye(x.shape[1], dtype=x.dtype) / inputs.get("weight_step", math.inf)
    return W - torch.linalg.solve(H, x.T @ (x @ W - y_target) / mean_of)


def local_steps(x, y_target, f, W, mean_of, inputs, rate):
    K = inputs["num_local_steps"]
    for k in range(K):
        s = inputs["local_lr"] * rate * max(1 - k / K, 0.25)
        W = W - s * x.T @ (f(x @ W) - y_target) / mean_of
    return W


def train(inputs, conventions):
    inputs = dict(inputs)
    for x, t, rate in zip(inputs["x"], inputs["t"], inputs["rates"].tolist(), strict=True):
        found = list(problems(inputs, conventions, x, t))
        for m, problem in enumerate(found, start=1):
            if inputs["method"] == "locoprop-s-closed":
                W = closed_form(*problem, inputs)
            else:
                W = local_steps(*problem, inputs, rate)
            inputs |= split(W, inputs, m)
    return {name: value for name, value in inputs.items() if name[:2] in ("W_", "b_")}


# the topics -----------------------------------------------------------------------------------------


def one_stage(topic, inputs):
    y_shape, wiring = inputs["shape"], inputs["wiring"]
    if topic == "rows":
        x = by_rows(read(example(inputs["y"], y_shape), wiring))
        return {"x": with_ones(x) if "bias" in inputs else x}
    if topic == "adjoint":
        count = read(torch.zeros(1, *y_shape, dtype=inputs["u"].dtype), wiring).shape[2]
        y = torch.zeros(len(inputs["u"]) // count, *y_shape, dtype=inputs["u"].dtype, requires_grad=True)
        (dy,) = torch.autograd.grad(by_rows(read(y, wiring)), y, inputs["u"])
        return {"dy": back_to_flat(dy)}
    y = example(inputs["y"], y_shape).requires_grad_()
    pooled = before_rows(y, wiring)
    flat = back_to_flat(pooled)
    if flat.shape != inputs["u"].shape:
        return {"pooled": flat}
    (dy,) = torch.autograd.grad(pooled, y, example(inputs["u"], pooled.shape[1:]))
    return {"pooled": flat, "dy": back_to_flat(dy)}


def passes(inputs):
    xs, _, y_hats, g, loss = full_pass(inputs, inputs["x"], inputs["t"])
    values = {"loss": loss}
    for m, (x, y_hat, g_m) in enumerate(zip(xs, y_hats, g, strict=True), start=1):
        G = (with_ones(x) if f"b_{m}" in inputs else x).T @ g_m
        values |= {f"y_hat_{m}": y_hat, f"g_{m}": g_m, **split(G, inputs, m, "d")}
    return values


def local_problems(inputs, conventions):
    values = {}
    found = problems(inputs, conventions, inputs["x"], inputs["t"])
    for m, (x, y_target, f, W, mean_of) in enumerate(found, start=1):
        G = x.T @ (f(x @ W) - y_target) / mean_of
        values |= {f"y_target_{m}": y_target, **split(G, inputs, m, "d")}
    return values


def target(topic, conventions, inputs):
    inputs = {k: torch.from_numpy(v) if hasattr(v, "dtype") else v for k, v in inputs.items()}
    if topic in ("rows", "adjoint", "pooling"):
        return one_stage(topic, inputs)
    if topic in ("convolution", "recurrence"):
        return passes(inputs)
    if topic in ("convolution_local", "recurrence_local"):
        return local_problems(inputs, conventions)
    return train(inputs, conventions) if topic.endswith("_training") else NotImplemented
