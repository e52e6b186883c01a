"""LocoProp in JAX, checked by the oracle, with local gradients by jax.grad and optimizers from optax.

    locoprop-ref oracle check --target examples.jax_adapter:target

This is an independent implementation, which shares no code with the package. optax's RMSProp supports every
dialect: TensorFlow 1's with `initial_scale=1`, and PyTorch's with `eps_in_sqrt=False` and the rate after the
buffer. Every case has its own sizes and is therefore compiled anew; loops are scans, so that their bodies are
compiled once, and XLA leaves out optimizations that take longer than such small computations.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
import optax

jax.config.update("jax_enable_x64", True)
COMPILE_QUICKLY = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_parallel_codegen_split_count": 1,
}


def transfer(name, inputs):
    """Return f; leaky_relu is written out because jax.nn.leaky_relu has the derivative 1 at 0."""
    return {
        "identity": lambda a: a,
        "relu": jax.nn.relu,
        "leaky_relu": lambda a: jnp.where(a > 0, a, inputs["slope"] * a),
        "tanh": jnp.tanh,
        "sigmoid": jax.nn.sigmoid,
        "softplus": jax.nn.softplus,
        "elu": lambda a: jax.nn.elu(a, inputs["alpha"]),
        "arctan": jnp.arctan,
        "softmax": jax.nn.softmax,
    }[name]


def integral(name, inputs):
    """Return F with ∇F = f; the matching loss is F(â) − y*·â, up to a constant."""
    alpha, slope = inputs.get("alpha"), inputs.get("slope")
    return {
        "identity": lambda a: a**2 / 2,
        "relu": lambda a: jax.nn.relu(a) ** 2 / 2,
        "leaky_relu": lambda a: jnp.where(a > 0, a, slope * a) * a / 2,
        "tanh": lambda a: jnp.logaddexp(a, -a) - jnp.log(2.0),
        "sigmoid": jax.nn.softplus,
        "elu": lambda a: jnp.where(a > 0, a**2 / 2, alpha * (jnp.expm1(jnp.minimum(a, 0)) - a)),
        "arctan": lambda a: a * jnp.arctan(a) - jnp.log1p(a**2) / 2,
        "softmax": lambda a: jax.nn.logsumexp(a, axis=-1),
    }[name]


def network_loss(a_hat, y_hat, t, name):
    """Return the network loss, summed over the outputs and averaged over the batch."""
    if name == "squared_error":
        return jnp.sum((y_hat - t) ** 2) / 2 / len(t)
    entropy = {"sigmoid_cross_entropy": optax.sigmoid_binary_cross_entropy}.get(name)
    return jnp.sum(entropy(a_hat, t) if entropy else optax.softmax_cross_entropy(a_hat, t)) / len(t)


def linear(x, weights):
    """Return x W + b for weights {"W", "b"} or {"W"}."""
    return x @ weights["W"] + weights.get("b", 0)


def forward_backward(network, inputs, x, t):
    """Return input, pre-activation and g of every layer; g is the gradient for a zero that is added to â."""
    sizes = [(len(x), weights["W"].shape[1]) for weights in network]

    def loss(zeros):
        y, xs, a_hats = x, [], []
        for weights, name, zero in zip(network, inputs["transfers"], zeros, strict=True):
            xs.append(y)
            a_hats.append(linear(y, weights) + zero)
            y = transfer(name, inputs)(a_hats[-1])
        return network_loss(a_hats[-1], y, t, inputs["output_loss"]), (xs, a_hats)

    g, (xs, a_hats) = jax.grad(loss, has_aux=True)([jnp.zeros(size, x.dtype) for size in sizes])
    return xs, a_hats, g


def local_problem(weights, x, a_hat, g, name, inputs, conventions):
    """Return the target, and the local loss as a function of the weights."""
    local = "identity" if inputs["method"].startswith("locoprop-s") else name
    y_target = transfer(local, inputs)(a_hat) - inputs["target_step"] * g
    scale = len(x) if conventions.get("local_reduction") == "mean" else 1

    def loss(moved):
        a = linear(x, moved)
        fit = (jnp.sum(integral(local, inputs)(a)) - jnp.sum(y_target * a)) / scale
        eta = inputs.get("weight_step", math.inf)
        return (
            fit
            if eta == math.inf
            else fit + sum(jnp.sum((moved[n] - weights[n]) ** 2) for n in weights) / (2 * eta)
        )

    return y_target, loss


def make_optimizer(inputs, conventions):
    """Return the gradient scaling, the momentum, and whether the rate multiplies what enters the buffer."""
    if inputs["optimizer"] != "rmsprop":
        return optax.identity(), inputs.get("momentum", 0.0), False
    start = 1.0 if conventions["mean_square_start"] == "ones" else 0.0
    inside = conventions["epsilon_place"] == "inside"
    scaling = optax.scale_by_rms(inputs["decay"], inputs["epsilon"], start, eps_in_sqrt=inside)
    return scaling, inputs["momentum"], conventions["rate_place"] == "in buffer"


def local_steps(weights, loss, state, inputs, conventions, rate=1.0):
    """Take K steps; the state consists of the states of the scaling and of the momentum buffer."""
    scaling, momentum, in_buffer = make_optimizer(inputs, conventions)
    buffer = optax.trace(momentum)
    times = partial(jax.tree.map, jnp.multiply)

    def step(carry, size):
        weights, scale, velocity = carry
        sizes = jax.tree.map(lambda u: jnp.asarray(size, u.dtype), weights)
        change, scale = scaling.update(jax.grad(loss)(weights), scale)
        change, velocity = buffer.update(times(sizes, change) if in_buffer else change, velocity)
        change = change if in_buffer else times(sizes, change)
        return (optax.apply_updates(weights, jax.tree.map(jnp.negative, change)), scale, velocity), None

    K = inputs["num_local_steps"]
    decays = jnp.maximum(1 - jnp.arange(K) / K, 0.25 if conventions["local_decay"] == "authors" else 1.0)
    (weights, *state), _ = jax.lax.scan(step, (weights, *state), inputs["local_lr"] * rate * decays)
    return weights, tuple(state)


def fresh_state(weights, inputs, conventions):
    """Return the state of a local optimizer before its first step."""
    scaling, momentum, _ = make_optimizer(inputs, conventions)
    return scaling.init(weights), optax.trace(momentum).init(weights)


def closed_form(weights, x, y_target, inputs, conventions):
    """Solve the normal equations, or use the pseudo-inverse if there is no proximal term."""
    X = jnp.hstack([x, jnp.ones((len(x), 1), x.dtype)]) if "b" in weights else x
    residual = linear(x, weights) - y_target
    scale = len(x) if conventions["local_reduction"] == "mean" else 1
    if inputs["weight_step"] == math.inf:
        change = jnp.linalg.pinv(X) @ residual
    else:
        gram = X.T @ X / scale + jnp.eye(X.shape[1], dtype=x.dtype) / inputs["weight_step"]
        change = jnp.linalg.solve(gram, X.T @ residual / scale)
    rows = weights["W"].shape[0]
    return {"W": weights["W"] - change[:rows]} | ({"b": weights["b"] - change[-1]} if "b" in weights else {})


def train(network, inputs, conventions):
    """Take one step per batch."""
    closed = inputs["method"] == "locoprop-s-closed"

    def fresh(network):
        return [None if closed else fresh_state(weights, inputs, conventions) for weights in network]

    def step(carry, batch):
        (network, states), (x, t, rate) = carry, batch
        if conventions["local_state"] == "reset":
            states = fresh(network)
        moved = []
        for m, parts in enumerate(zip(*forward_backward(network, inputs, x, t), strict=True)):
            name = inputs["transfers"][m]
            y_target, loss = local_problem(network[m], *parts, name, inputs, conventions)
            if closed:
                moved.append((closed_form(network[m], parts[0], y_target, inputs, conventions), None))
            else:
                moved.append(local_steps(network[m], loss, states[m], inputs, conventions, rate))
        return ([weights for weights, _ in moved], [state for _, state in moved]), None

    batches = (inputs["x"], inputs["t"], inputs["rates"])
    (network, _), _ = jax.lax.scan(step, (network, fresh(network)), batches)
    return network


def first_step(network, inputs, conventions):
    """Return the first local gradient of every layer."""
    gradients = []
    for m, parts in enumerate(zip(*forward_backward(network, inputs, inputs["x"], inputs["t"]), strict=True)):
        _, loss = local_problem(network[m], *parts, inputs["transfers"][m], inputs, conventions)
        gradients.append(jax.grad(loss)(network[m]))
    return gradients


def covered(topic, conventions, inputs):
    """Return whether this implementation covers the case."""
    if topic not in ("target", "first_step", "closed_form", "local_steps", "training"):
        return False
    if conventions.get("project_targets") == "range" or conventions.get("target_order") == "gauss-seidel":
        return False
    if inputs["method"] in ("locoprop-m-exact", "backprop"):
        return False
    # the integral of softplus would need a dilogarithm
    return "softplus" not in (inputs.get("transfer"), *inputs.get("transfers", ()))


def target(topic, conventions, inputs):
    """Return a dict of arrays for a topic, conventions and inputs; the oracle calls this function."""
    if not covered(topic, conventions, inputs):
        return NotImplemented
    arrays = {k: v for k, v in inputs.items() if hasattr(v, "dtype")}
    settings = {k: v for k, v in inputs.items() if k not in arrays}

    def compiled(arrays):
        return answer(topic, conventions, {**settings, **arrays})

    return jax.jit(compiled, compiler_options=COMPILE_QUICKLY)(arrays)


def answer(topic, conventions, inputs):
    """Return what a case asks for; this function is compiled."""
    if topic in ("first_step", "training"):
        suffixes = [f"_{m}" for m in range(1, len(inputs["transfers"]) + 1)]
        network = [{n: inputs[n + s] for n in "Wb" if n + s in inputs} for s in suffixes]
        values, prefix = (train, "") if topic == "training" else (first_step, "d")
        layers = zip(suffixes, values(network, inputs, conventions), strict=True)
        return {prefix + n + s: v for s, layer in layers for n, v in layer.items()}
    weights = {n: inputs[n] for n in "Wb" if n in inputs}
    a_hat, name = linear(inputs["x"], weights), inputs["transfer"]
    y_target, loss = local_problem(weights, inputs["x"], a_hat, inputs["g"], name, inputs, conventions)
    if topic == "target":
        return {"y_target": y_target}
    if topic == "closed_form":
        return closed_form(weights, inputs["x"], y_target, inputs, conventions)
    return local_steps(weights, loss, fresh_state(weights, inputs, conventions), inputs, conventions)[0]
