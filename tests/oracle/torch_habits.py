"""Mistakes of ports that come from habits of PyTorch's users, planted in copies of the PyTorch adapter.

Each line has the topics of the check and the sets of flags that the first line of the diagnosis may name; an
empty tuple means that the honest answer is no name at all.
"""

import math

import torch
import torch.nn.functional as F
from port_mistakes import GS, returning, scaled_input, training_with, wrapped


def with_local_loss(loss):
    """Plant a local loss: `loss(a_hat, y_hat, y_target, transfer, squared)`, None for the right gradient."""

    def plant(m):
        def gradient(right, weights, anchors, x, y_target, transfer, inputs, conventions):
            a_hat, squared = m.linear(x, weights), m.is_squared(inputs)
            y_hat = a_hat if squared else m.TRANSFERS[transfer](a_hat, inputs)
            value = loss(a_hat, y_hat, y_target, transfer, squared)
            if value is None:
                right(weights, anchors, x, y_target, transfer, inputs, conventions)
                return
            for w, anchor, G in zip(weights, anchors, torch.autograd.grad(value, weights), strict=True):
                w.grad = G + (w.detach() - anchor) / inputs.get("weight_step", math.inf)

        wrapped(m, "set_local_gradient", gradient)

    return plant


def squares(reduction):
    return with_local_loss(
        lambda a, y, target, f, s: F.mse_loss(a, target, reduction=reduction) if s else None
    )


def mean_of_elements(a_hat, y_hat, target, transfer, squared):
    if squared or transfer not in ("sigmoid", "tanh"):
        return None
    if transfer == "sigmoid":
        return F.binary_cross_entropy_with_logits(a_hat, target)
    return (torch.log(torch.cosh(a_hat)) - a_hat * target).mean()


def no_zero_grad(m):
    def gradient(right, weights, *others):
        before = [None if w.grad is None else w.grad.clone() for w in weights]
        right(weights, *others)
        for w, G in zip(weights, before, strict=True):
            w.grad = w.grad if G is None else w.grad + G

    wrapped(m, "set_local_gradient", gradient)


def target_in_every_step(m):
    """The target is made again from the moved weights, with g of the forward pass."""

    def gradient(right, weights, anchors, x, y_target, transfer, inputs, conventions):
        def base(w):
            a_hat = m.linear(x, w).detach()
            return a_hat if m.is_squared(inputs) else m.TRANSFERS[transfer](a_hat, inputs)

        moved = y_target - base(anchors) + base(weights)
        right(weights, anchors, x, moved, transfer, inputs, conventions)

    wrapped(m, "set_local_gradient", gradient)


def anchors_follow(m):
    """The weights of the start are not copied."""
    wrapped(
        m, "set_local_gradient", lambda right, weights, anchors, *others: right(weights, weights, *others)
    )


def multiplied_in_place(given, number):
    return math.prod(given[: number + 1])


def g_changed(change):
    def plant(m):
        def passes(right, network, inputs, x, t):
            xs, a_hats, g = right(network, inputs, x, t)
            return xs, a_hats, [change(u, a, i + 1 == len(g)) for i, (u, a) in enumerate(zip(g, a_hats))]  # noqa: B905

        wrapped(m, "forward_backward", passes)

    return plant


def clipped_by_norm(g, a_hat, last):
    return g / max(1.0, float(g.norm()) / 0.25)


def least_norm_of_the_weights(m):
    """At weight_step inf the weights have the least norm, not their change."""

    def closed(right, weights, x, y_target, inputs, conventions):
        if inputs["weight_step"] < math.inf:
            return right(weights, x, y_target, inputs, conventions)
        ones = [x.new_ones(x.shape[0], 1)] * (len(weights) - 1)
        W = torch.linalg.pinv(torch.cat([x, *ones], dim=1)) @ y_target
        return [W] if len(weights) == 1 else [W[:-1], W[-1]]

    wrapped(m, "closed_form", closed)


def ridge(weights_pull, bias_share):
    """A ridge regression: the share of W0 that it pulls to, and the share of the ridge on the bias."""

    def plant(m):
        def closed(right, weights, x, y_target, inputs, conventions):
            eta = inputs["weight_step"]
            if eta == math.inf or len(weights) == 1 or conventions["local_reduction"] == "mean":
                return right(weights, x, y_target, inputs, conventions)
            x1 = torch.cat([x, x.new_ones(len(x), 1)], dim=1)
            W0 = weights_pull * torch.cat([weights[0], weights[1][None]])
            D = torch.eye(x1.shape[1], dtype=x.dtype) / eta
            D[-1, -1] *= bias_share
            W = W0 + torch.linalg.solve(x1.T @ x1 + D, x1.T @ (y_target - x1 @ W0))
            return [W[:-1], W[-1]]

        wrapped(m, "closed_form", closed)

    return plant


def ridge_per_example(m):
    def closed(right, weights, x, y_target, inputs, conventions):
        averaged = conventions["local_reduction"] == "mean"
        eta = inputs["weight_step"] * (len(x) if averaged else 1)
        return right(weights, x, y_target, inputs | {"weight_step": eta}, conventions)

    wrapped(m, "closed_form", closed)


def proximal_times_step(m):
    """The pull to the weights of the start has the factor weight_step in place of 1/weight_step."""

    def gradient(right, weights, anchors, *others):
        inputs = others[3]
        eta = inputs.get("weight_step", math.inf)
        changed = inputs | ({"weight_step": 1 / eta} if eta < math.inf else {})
        right(weights, anchors, *others[:3], changed, *others[4:])

    wrapped(m, "set_local_gradient", gradient)


def mean_for_s(m):
    def gradient(right, weights, anchors, x, y_target, transfer, inputs, conventions):
        averaged = {"local_reduction": "mean"} if m.is_squared(inputs) else {}
        right(weights, anchors, x, y_target, transfer, inputs, conventions | averaged)

    wrapped(m, "set_local_gradient", gradient)


def mean_of_elements_in_the_network(m):
    def loss(right, a_hat, y_hat, t, name):
        binary = name == "sigmoid_cross_entropy"
        return F.binary_cross_entropy_with_logits(a_hat, t) if binary else right(a_hat, y_hat, t, name)

    wrapped(m, "network_loss", loss)


def smoothed_labels(m):
    def loss(right, a_hat, y_hat, t, name):
        return right(a_hat, y_hat, t if name == "squared_error" else 0.9 * t + 0.1 / t.shape[1], name)

    wrapped(m, "network_loss", loss)


TRAIN = ("training",)
FIRST = ("local_steps", "first_step")
# mistake: (plant, topics, what the first line may name: sets of flags; () for none)
MISTAKES = {
    "local F.mse_loss": (squares("mean"), FIRST, ({"LocalMseLoss"},)),
    "local F.mse_loss, summed": (squares("sum"), FIRST, ({"LocalSquaredWhole"},)),
    "local cross-entropy, mean of elements": (
        with_local_loss(mean_of_elements), FIRST, ({"LocalElementMean"},)),
    "no zero_grad": (no_zero_grad, ("local_steps",), ({"LocalGradientAccumulated"},)),
    "target made again in every step": (target_in_every_step, ("local_steps",), ({"LocalGradientFrozen"},)),
    "weights of the start not copied": (anchors_follow, ("local_steps",), ({"ProximalTermAbsent"},)),
    "rate multiplied in place": (training_with(rates=multiplied_in_place), TRAIN, ({"ScheduleAccumulated"},)),
    "g clipped by its norm": (g_changed(clipped_by_norm), ("first_step",), ()),
    "g times f' once more": (g_changed(lambda g, a, last: g / torch.cosh(a) ** 2), ("first_step",), ()),
    "tanh' of the wrong argument": (
        g_changed(lambda g, a, last: g if last else g * (1 - a**2) * torch.cosh(a) ** 2), ("first_step",),
        ()),
    "g of hidden layers summed over the batch": (
        g_changed(lambda g, a, last: g if last else g * len(a)), ("first_step",), ()),
    "g of examples of length 1": (
        g_changed(lambda g, a, last: g / (g.norm(dim=1, keepdim=True) + 1e-8)), ("first_step",), ()),
    "least norm of the weights": (least_norm_of_the_weights, ("closed_form",), ()),
    "ridge regression to zero": (ridge(0.0, 1.0), ("closed_form",), ({"ProximalAsWeightDecay"},)),
    "ridge not on the bias": (ridge(1.0, 0.0), ("closed_form",), ({"ProximalWithoutBias"},)),
    "ridge regression to zero, not on the bias": (ridge(0.0, 0.0), ("closed_form",), ()),
    "ridge divided by the batch, too": (ridge_per_example, ("closed_form",), ({"LocalSum"},)),
    "weight_step doubled": (
        scaled_input("weight_step", 2.0), ("closed_form", "local_steps"), ({"ProximalTermHalved"},)),
    "target_step doubled": (scaled_input("target_step", 2.0), ("first_step", "target"), ()),
    "local gradient of S averaged": (mean_for_s, FIRST, ({"LocalMean"},)),
    "proximal term times weight_step": (proximal_times_step, ("local_steps",), ({"RidgeInverted"},)),
    "network loss: mean of elements": (
        mean_of_elements_in_the_network, ("first_step",), ({"LossElementMean"},)),
    "labels smoothed": (smoothed_labels, ("first_step",), ()),
    "one output returned times 1 + 1e-3": (
        returning(lambda v: {k: u * 1.001 if k == "W" else u for k, u in v.items()}), GS, ()),
}  # fmt: skip
