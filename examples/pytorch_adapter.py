"""LocoProp in PyTorch, checked by the oracle, with g by autograd and optimizers from torch.optim.

    locoprop-ref oracle check --target examples.pytorch_adapter:target

This is an independent implementation, which shares no code with the package. W has the shape (d_in, d_out) as
in the vectors, not (d_out, d_in) as in torch.nn.Linear. The optimizers use PyTorch's dialect; other dialects
are not covered.
"""

import math

import torch
import torch.nn.functional as F

TRANSFERS = {
    "identity": lambda a, inputs: a,
    "relu": lambda a, inputs: torch.relu(a),
    "leaky_relu": lambda a, inputs: F.leaky_relu(a, inputs["slope"]),
    "tanh": lambda a, inputs: torch.tanh(a),
    "sigmoid": lambda a, inputs: torch.sigmoid(a),
    "softplus": lambda a, inputs: F.softplus(a),
    "elu": lambda a, inputs: F.elu(a, inputs["alpha"]),
    "arctan": lambda a, inputs: torch.atan(a),
    "softmax": lambda a, inputs: torch.softmax(a, dim=-1),
}


def network_loss(a_hat, y_hat, t, name):
    """Return the network loss, summed over the outputs and averaged over the batch."""
    if name == "squared_error":
        return 0.5 * ((y_hat - t) ** 2).sum(dim=1).mean()
    if name == "sigmoid_cross_entropy":
        return F.binary_cross_entropy_with_logits(a_hat, t, reduction="none").sum(dim=1).mean()
    return F.cross_entropy(a_hat, t)


def linear(x, weights):
    """Return x W + b for weights [W, b] or [W]."""
    return x @ weights[0] + (weights[1] if len(weights) > 1 else 0)


def forward_backward(network, inputs, x, t):
    """Return input, pre-activation and g of every layer."""
    xs, a_hats = [], []
    for weights, transfer in zip(network, inputs["transfers"], strict=True):
        xs.append(x.detach())
        a_hats.append(linear(x, weights).requires_grad_())
        x = TRANSFERS[transfer](a_hats[-1], inputs)
    loss = network_loss(a_hats[-1], x, t, inputs["output_loss"])
    return xs, [a.detach() for a in a_hats], torch.autograd.grad(loss, a_hats)


def is_squared(inputs):
    return inputs["method"].startswith("locoprop-s")


def local_target(a_hat, g, transfer, inputs):
    """Return y*, a pre-activation for S and a post-activation for M."""
    base = a_hat if is_squared(inputs) else TRANSFERS[transfer](a_hat, inputs)
    return base - inputs["target_step"] * g


def set_local_gradient(weights, anchors, x, y_target, transfer, inputs, conventions):
    """Store X̃ᵀ(f(â) − y*) + (W̃ − W̃₀)/η in `.grad`."""
    a_hat = linear(x, weights)
    y_hat = a_hat if is_squared(inputs) else TRANSFERS[transfer](a_hat, inputs)
    residual = y_hat.detach() - y_target
    if conventions["local_reduction"] == "mean":
        residual = residual / x.shape[0]
    for w in weights:
        w.grad = None
    a_hat.backward(residual)
    for w, anchor in zip(weights, anchors, strict=True):
        w.grad = w.grad + (w.detach() - anchor) / inputs.get("weight_step", math.inf)


def make_optimizer(leaves, inputs):
    lr = inputs["local_lr"]
    if inputs["optimizer"] == "rmsprop":
        alpha, eps, momentum = inputs["decay"], inputs["epsilon"], inputs["momentum"]
        return torch.optim.RMSprop(leaves, lr=lr, alpha=alpha, eps=eps, momentum=momentum)
    return torch.optim.SGD(leaves, lr=lr, momentum=inputs.get("momentum", 0.0))


def local_rate(k, K, conventions):
    return max(1 - k / K, 0.25) if conventions["local_decay"] == "authors" else 1.0


def local_steps(leaves, optimizer, x, y_target, transfer, inputs, conventions, rate=1.0):
    """Take K steps on the local problem, which change the leaves in place."""
    K, anchors = inputs["num_local_steps"], [w.detach().clone() for w in leaves]
    for k in range(K):
        optimizer.param_groups[0]["lr"] = inputs["local_lr"] * rate * local_rate(k, K, conventions)
        set_local_gradient(leaves, anchors, x, y_target, transfer, inputs, conventions)
        optimizer.step()


def closed_form(weights, x, y_target, inputs, conventions):
    """Solve least squares with the rows [x̃ | y* − x̃W̃] above [I/√η | 0]; at η = ∞ with the smallest norm."""
    ones = [x.new_ones(x.shape[0], 1)] * (len(weights) - 1)
    A, r = torch.cat([x, *ones], dim=1), y_target - linear(x, weights)
    if conventions["local_reduction"] == "mean":
        A, r = A / math.sqrt(x.shape[0]), r / math.sqrt(x.shape[0])
    if inputs["weight_step"] < math.inf:
        A = torch.cat([A, torch.eye(A.shape[1], dtype=x.dtype) / math.sqrt(inputs["weight_step"])])
        r = torch.cat([r, r.new_zeros(A.shape[1], r.shape[1])])
    change = torch.linalg.lstsq(A, r, driver="gelsd").solution
    changes = [change] if len(weights) == 1 else [change[:-1], change[-1]]
    return [w + d for w, d in zip(weights, changes, strict=True)]


def leaves_of(weights):
    return [w.detach().clone().requires_grad_() for w in weights]


def train(network, inputs, conventions):
    """Take one step per batch; the local optimizers keep their state unless the conventions say otherwise."""
    network = [leaves_of(weights) for weights in network]
    optimizers = [None] * len(network)
    for x, t, rate in zip(inputs["x"], inputs["t"], inputs["rates"].tolist(), strict=True):
        xs, a_hats, g = forward_backward(network, inputs, x, t)
        for m, transfer in enumerate(inputs["transfers"]):
            y_target = local_target(a_hats[m], g[m], transfer, inputs)
            if inputs["method"] == "locoprop-s-closed":
                network[m] = leaves_of(closed_form(network[m], xs[m], y_target, inputs, conventions))
                continue
            if optimizers[m] is None or conventions["local_state"] == "reset":
                optimizers[m] = make_optimizer(network[m], inputs)
            local_steps(network[m], optimizers[m], xs[m], y_target, transfer, inputs, conventions, rate)
    return network


def first_step(network, inputs, conventions):
    """Return the first local gradient of every layer."""
    xs, a_hats, g = forward_backward(network, inputs, inputs["x"], inputs["t"])
    for m, transfer in enumerate(inputs["transfers"]):
        y_target = local_target(a_hats[m], g[m], transfer, inputs)
        set_local_gradient(network[m], network[m], xs[m], y_target, transfer, inputs, conventions)
    return [[w.grad for w in weights] for weights in network]


def one_layer(topic, inputs, conventions):
    """Return the results of the topics about the local problem of one layer."""
    weights, x, transfer = leaves_of(weights_of(inputs, "")), inputs["x"], inputs["transfer"]
    y_target = local_target(linear(x, weights).detach(), inputs["g"], transfer, inputs)
    if topic == "target":
        return {"y_target": y_target}
    if topic == "closed_form":
        return named([closed_form(weights, x, y_target, inputs, conventions)], "", [""])
    local_steps(weights, make_optimizer(weights, inputs), x, y_target, transfer, inputs, conventions)
    return named([weights], "", [""])


def weights_of(inputs, suffix):
    return [inputs[name + suffix] for name in ("W", "b") if name + suffix in inputs]


def named(network, prefix, suffixes):
    """Return [[W, b], ...] as a dict with the names of the vectors."""
    pairs = [(weights, suffix) for weights, suffix in zip(network, suffixes, strict=True)]
    return {prefix + n + suffix: w for weights, suffix in pairs for n, w in zip("Wb", weights, strict=False)}


def covered(topic, conventions, inputs):
    """Return whether this implementation covers the case."""
    if topic not in ("target", "first_step", "closed_form", "local_steps", "training"):
        return False
    if conventions.get("dialect", "torch") != "torch" or conventions.get("project_targets") == "range":
        return False
    return conventions.get("target_order") != "gauss-seidel" and inputs["method"] not in (
        "locoprop-m-exact",
        "backprop",
    )


def target(topic, conventions, inputs):
    """Return a dict of tensors for a topic, conventions and inputs; the oracle calls this function."""
    if not covered(topic, conventions, inputs):
        return NotImplemented
    inputs = {k: torch.from_numpy(v) if hasattr(v, "dtype") else v for k, v in inputs.items()}
    if topic not in ("first_step", "training"):
        return one_layer(topic, inputs, conventions)
    suffixes = [f"_{m}" for m in range(1, len(inputs["transfers"]) + 1)]
    network = [leaves_of(weights_of(inputs, suffix)) for suffix in suffixes]
    if topic == "first_step":
        return named(first_step(network, inputs, conventions), "d", suffixes)
    return named(train(network, inputs, conventions), "", suffixes)
