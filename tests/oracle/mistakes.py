"""Mistakes planted in copies of the example adapters, one a function: what the diagnosis has to name.

Each mistake gets a fresh copy of an adapter's module and replaces what it needs to; the flag beside it is
the one that the first line of the diagnosis must name.
"""

import importlib.util
import math
from pathlib import Path

import torch

EXAMPLES = Path(__file__).parents[2] / "examples"


def copy_of(name):
    """Return a fresh copy of an example's module."""
    spec = importlib.util.spec_from_file_location(f"copy_of_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def with_conventions(module, **changed):
    """Make the target act as if the group had stated other conventions, where it states them at all."""
    right = module.target

    def target(topic, conventions, inputs):
        return right(topic, conventions | {k: v for k, v in changed.items() if k in conventions}, inputs)

    module.target = target


def with_inputs(module, change):
    """Make the target see changed inputs."""
    right = module.target
    module.target = lambda topic, conventions, inputs: right(topic, conventions, change(dict(inputs)))


def batch_mean(m):
    with_conventions(m, local_reduction="mean")


def batch_sum_where_mean(m):
    with_conventions(m, local_reduction="sum")


def constant_local_rate(m):
    m.local_rate = lambda k, K, conventions: 1.0


def decaying_local_rate(m):
    with_conventions(m, local_decay="authors")


def no_floor(m):
    m.local_rate = lambda k, K, c: 1 - k / K if c["local_decay"] == "authors" else 1.0


def counted_from_one(m):
    m.local_rate = lambda k, K, c: max(1 - (k + 1) / K, 0.25) if c["local_decay"] == "authors" else 1.0


def state_reset(m):
    with_conventions(m, local_state="reset")


def state_kept(m):
    with_conventions(m, local_state="keep")


def no_proximal_term(m):
    with_inputs(m, lambda inputs: inputs | ({"weight_step": math.inf} if "weight_step" in inputs else {}))


def proximal_term_where_none(m):
    with_inputs(m, lambda i: i | ({"weight_step": 1.0} if i.get("weight_step", math.inf) == math.inf else {}))


def proximal_term_doubled(m):
    with_inputs(m, lambda i: i | ({"weight_step": i["weight_step"] / 2} if "weight_step" in i else {}))


def derivative_twice(m):
    def gradient(weights, anchors, x, y_target, transfer, inputs, conventions):
        a_hat = m.linear(x, weights)
        y_hat = a_hat if m.is_squared(inputs) else m.TRANSFERS[transfer](a_hat, inputs)
        loss = 0.5 * ((y_hat - y_target) ** 2).sum()  # squared loss on post-activations
        loss = loss / (x.shape[0] if conventions["local_reduction"] == "mean" else 1)
        for w, anchor, G in zip(weights, anchors, torch.autograd.grad(loss, weights), strict=True):
            w.grad = G + (w.detach() - anchor) / inputs.get("weight_step", math.inf)

    m.set_local_gradient = gradient


def derivative_not_at_all(m):
    def forward_backward(network, inputs, x, t):
        xs, a_hats, y_hats = [], [], []
        for weights, transfer in zip(network, inputs["transfers"], strict=True):
            xs.append(x.detach())
            a_hats.append(m.linear(x, weights))
            x = m.TRANSFERS[transfer](a_hats[-1], inputs).detach().requires_grad_()
            y_hats.append(x)
        loss = m.network_loss(a_hats[-1].detach().requires_grad_(), y_hats[-1], t, inputs["output_loss"])
        if inputs["output_loss"] == "squared_error":
            g = [torch.autograd.grad(loss, y_hats[-1])[0]]
        else:  # cross-entropy is a function of the logits
            logits = a_hats[-1].detach().requires_grad_()
            g = [torch.autograd.grad(m.network_loss(logits, None, t, inputs["output_loss"]), logits)[0]]
        for layer in range(len(network) - 1, 0, -1):
            g.insert(0, g[0] @ network[layer][0].detach().T)
        return xs, [a.detach() for a in a_hats], g

    m.forward_backward = forward_backward


def target_from_post_activation(m):
    m.local_target = lambda a_hat, g, transfer, inputs: (
        m.TRANSFERS[transfer](a_hat, inputs) - inputs["target_step"] * g
    )


def target_through_transfer(m):
    right = m.local_target

    def local_target(a_hat, g, transfer, inputs):
        if m.is_squared(inputs):
            return right(a_hat, g, transfer, inputs)
        return m.TRANSFERS[transfer](a_hat - inputs["target_step"] * g, inputs)

    m.local_target = local_target


def wrong_sign(m):
    with_inputs(m, lambda i: i | ({"target_step": -i["target_step"]} if "target_step" in i else {}))


def bias_left_out(m):
    right_gradient, right_closed = m.set_local_gradient, m.closed_form

    def gradient(weights, *others):
        right_gradient(weights, *others)
        for b in weights[1:]:
            b.grad = torch.zeros_like(b)

    def closed(weights, x, y_target, inputs, conventions):
        frozen = y_target - (m.linear(x, weights) - m.linear(x, weights[:1]))
        return [*right_closed(weights[:1], x, frozen, inputs, conventions), *weights[1:]]

    m.set_local_gradient, m.closed_form = gradient, closed


def bias_left_out_of_the_update_only(m):
    right = m.closed_form
    m.closed_form = lambda weights, *others: [right(weights, *others)[0], *weights[1:]]


def weights_transposed(m):
    m.linear = lambda x, weights: x @ weights[0].T + (weights[1] if len(weights) > 1 else 0)


def result_transposed(m):
    right = m.named

    def named(*arguments):
        return {k: v.T if v.ndim == 2 else v for k, v in right(*arguments).items()}

    m.named = named


def float32_accumulation(m):
    right = m.target

    def target(topic, conventions, inputs):
        narrow = {k: v.astype("float32") if hasattr(v, "dtype") else v for k, v in inputs.items()}
        values = right(topic, conventions, narrow)
        return values if values is NotImplemented else {k: v.double() for k, v in values.items()}

    m.target = target


def layer_by_layer(m, *, cap=None):
    """Correct inputs and pre-activations of the layer above after each layer."""

    def train(network, inputs, conventions):
        network, optimizers = [m.leaves_of(w) for w in network], [None] * len(network)
        for x, t, rate in zip(inputs["x"], inputs["t"], inputs["rates"].tolist(), strict=True):
            xs, a_hats, g = m.forward_backward(network, inputs, x, t)
            for i, transfer in enumerate(inputs["transfers"]):
                _one_layer(m, network, optimizers, i, xs[i], a_hats[i], g[i], inputs, conventions, rate)
                if i + 1 < len(network):
                    y = m.TRANSFERS[transfer](m.linear(xs[i], network[i]), inputs).detach()
                    delta, share = y - xs[i + 1], 1.0
                    if cap is not None:
                        # the PyPI package adds 1e-5 to the norm
                        share = min(1.0, cap * delta.shape[1] ** 0.5 / (float(delta.norm()) + 1e-5))
                    xs[i + 1] = xs[i + 1] + share * delta
                    # the target is anchored where the layer stands before its own step
                    a_hats[i + 1] = m.linear(xs[i + 1], network[i + 1]).detach()
        return network

    m.train = train


def layer_by_layer_capped(m):
    layer_by_layer(m, cap=0.1)


def upper_weights_first(m):
    def train(network, inputs, conventions):
        network, optimizers = [m.leaves_of(w) for w in network], [None] * len(network)
        for x, t, rate in zip(inputs["x"], inputs["t"], inputs["rates"].tolist(), strict=True):
            xs, a_hats, g = m.forward_backward(network, inputs, x, t)
            g_m = g[-1]
            for i in reversed(range(len(network))):
                if i + 1 < len(network):
                    a = a_hats[i].clone().requires_grad_()
                    y = m.TRANSFERS[inputs["transfers"][i]](a, inputs)
                    (g_m,) = torch.autograd.grad(y, a, g_m @ network[i + 1][0].detach().T)
                _one_layer(m, network, optimizers, i, xs[i], a_hats[i], g_m, inputs, conventions, rate)
        return network

    m.train = train


def _one_layer(m, network, optimizers, i, x, a_hat, g, inputs, conventions, rate):
    y_target = m.local_target(a_hat, g, inputs["transfers"][i], inputs)
    if inputs["method"] == "locoprop-s-closed":
        network[i] = m.leaves_of(m.closed_form(network[i], x, y_target, inputs, conventions))
        return
    if optimizers[i] is None or conventions["local_state"] == "reset":
        optimizers[i] = m.make_optimizer(network[i], inputs)
    transfer = inputs["transfers"][i]
    m.local_steps(network[i], optimizers[i], x, y_target, transfer, inputs, conventions, rate)


class RMSprop(torch.optim.Optimizer):
    """RMSProp with every choice of a dialect open."""

    def __init__(self, leaves, lr, alpha, eps, momentum, *, ones=False, inside=False, in_buffer=False):
        super().__init__(leaves, {"lr": lr})
        self.settings = (alpha, eps, momentum, ones, inside, in_buffer)

    @torch.no_grad()
    def step(self):
        alpha, eps, momentum, ones, inside, in_buffer = self.settings
        lr = self.param_groups[0]["lr"]
        for w in self.param_groups[0]["params"]:
            v, c = self.state[w].get("vc", (torch.full_like(w, float(ones)), torch.zeros_like(w)))
            v = alpha * v + (1 - alpha) * w.grad**2
            c = momentum * c + (lr if in_buffer else 1) * w.grad / (
                (v + eps).sqrt() if inside else v.sqrt() + eps
            )
            w -= (1 if in_buffer else lr) * c
            self.state[w]["vc"] = (v, c)


def rmsprop_with(**choices):
    def plant(m):
        right = m.make_optimizer

        def make_optimizer(leaves, inputs):
            if inputs["optimizer"] != "rmsprop":
                return right(leaves, inputs)
            hyper = (inputs["local_lr"], inputs["decay"], inputs["epsilon"], inputs["momentum"])
            return RMSprop(leaves, *hyper, **choices)

        m.make_optimizer = make_optimizer

    return plant


# mistake: (plant, flag that the first line must name), in the PyTorch adapter
MISTAKES = {
    "batch mean in the local gradient": (batch_mean, "LocalMean"),
    "batch sum where the mean is asked for": (batch_sum_where_mean, "LocalSum"),
    "targets corrected layer by layer": (layer_by_layer, "TargetsGaussSeidel"),
    "targets corrected layer by layer, capped": (layer_by_layer_capped, "TargetsGaussSeidelCapped"),
    "rmsprop: TensorFlow 1's dialect": (rmsprop_with(ones=True, inside=True, in_buffer=True), "DialectTF1"),
    "rmsprop: optax's dialect": (rmsprop_with(inside=True, in_buffer=True), "DialectOptax"),
    "rmsprop: epsilon inside the root": (rmsprop_with(inside=True), "EpsilonInside"),
    "rmsprop: mean square from ones": (rmsprop_with(ones=True), "MeanSquareFromOnes"),
    "rmsprop: rate inside the buffer": (rmsprop_with(in_buffer=True), "RateInBuffer"),
    "constant local rate": (constant_local_rate, "LocalRateConstant"),
    "decaying local rate where constant": (decaying_local_rate, "LocalRateDecays"),
    "local decay without its floor": (no_floor, "LocalDecayWithoutFloor"),
    "local decay counted from one": (counted_from_one, "LocalDecayFromOne"),
    "state reset at every batch": (state_reset, "LocalStateReset"),
    "state kept where reset": (state_kept, "LocalStateKept"),
    "proximal term absent": (no_proximal_term, "ProximalTermAbsent"),
    "proximal term present": (proximal_term_where_none, "ProximalTermPresent"),
    "proximal term doubled": (proximal_term_doubled, "ProximalTermDoubled"),
    "f' twice in the gradient of M": (derivative_twice, "LocalDerivativeApplied"),
    "f' not at all": (derivative_not_at_all, "GradientAtPostActivation"),
    "target of S from the post-activation": (target_from_post_activation, "TargetFromPostActivation"),
    "target of M through f": (target_through_transfer, "TargetThroughTransfer"),
    "sign of the target step": (wrong_sign, "TargetSignFlipped"),
    "bias left out": (bias_left_out, "BiasLeftOut"),
    "bias solved for but not updated": (bias_left_out_of_the_update_only, "BiasNotApplied"),
    "W transposed": (weights_transposed, "WeightsTransposed"),
    "W returned transposed": (result_transposed, "ResultTransposed"),
    "upper weights updated before g": (upper_weights_first, "UpperWeightsMovedFirst"),
    "float32 arithmetic": (float32_accumulation, "Float32Arithmetic"),
}


def stating(**changed):
    def plant(m):
        with_conventions(m, **changed)

    return plant


# in the JAX adapter, which speaks TensorFlow 1's dialect too: what a PyTorch user gets wrong there
JAX_MISTAKES = {
    "rmsprop: mean square from zeros": (stating(mean_square_start="zeros"), "MeanSquareFromZeros"),
    "rmsprop: epsilon outside the root": (stating(epsilon_place="outside"), "EpsilonOutside"),
    "rmsprop: rate outside the buffer": (stating(rate_place="outside"), "RateOutside"),
    "rmsprop: PyTorch's dialect": (
        stating(mean_square_start="zeros", epsilon_place="outside", rate_place="outside"),
        "DialectTorch",
    ),
}
