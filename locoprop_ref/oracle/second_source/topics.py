"""One function per topic, from the inputs of a case to the values that an implementation should return.

The names returned here are those of `expected` in the vectors; FORMAT.md describes them.
"""

from typing import Any

from locoprop_ref.oracle.second_source import (
    admm,
    codes,
    displacements,
    local,
    memory,
    positions_topics,
    training,
)
from locoprop_ref.oracle.second_source import network as networks
from locoprop_ref.oracle.second_source import optimizer as optimizers
from locoprop_ref.oracle.second_source.numbers import matrix, number, product, vector

Values = dict[str, Any]


def _rows(ctx: Any, inputs: Values, name: str) -> Any:
    """Return an input as rows; for softmax it consists of rows, for elementwise transfers of one list."""
    values = inputs[name]
    return matrix(ctx, values) if inputs["transfer"] == "softmax" else [vector(ctx, values)]


def transfer(ctx: Any, inputs: Values, choices: dict[str, str]) -> Values:
    """Return f, with f′ (elementwise) or uᵀf′ (softmax)."""
    tr, rows = networks.transfer(ctx, inputs, choices, inputs["transfer"]), _rows(ctx, inputs, "a")
    if inputs["transfer"] == "softmax":
        u = matrix(ctx, inputs["u"])
        return {
            "f": [tr.f(row) for row in rows],
            "vjp": [tr.vjp(row, u_row) for row, u_row in zip(rows, u, strict=True)],
        }
    return {"f": tr.f(rows[0]), "derivative": [tr.derivative(a) for a in rows[0]]}


def integral(ctx: Any, inputs: Values, choices: dict[str, str]) -> Values:
    """Return F, elementwise or one number per row."""
    tr, rows = _with_integral(ctx, inputs, choices), _rows(ctx, inputs, "a")
    return {"F": [value for row in rows for value in tr.F(row)]}


def _with_integral(ctx: Any, inputs: Values, choices: dict[str, str]) -> Any:
    name = inputs["transfer"]
    mistaken = name == "tanh" and choices["tanh_integral"] == "of sigmoid"
    return networks.transfer(ctx, inputs, choices, "sigmoid" if mistaken else name)


def inverse(ctx: Any, inputs: Values, choices: dict[str, str]) -> Values:
    """Return f⁻¹ of a strictly increasing transfer."""
    tr = networks.transfer(ctx, inputs, choices, inputs["transfer"])
    return {"inverse": [tr.inverse(y) for y in vector(ctx, inputs["y"])]}


def conjugate(ctx: Any, inputs: Values, choices: dict[str, str]) -> Values:
    """Return F*, elementwise or one number per row; it is ∞ outside the range of f."""
    tr, rows = networks.transfer(ctx, inputs, choices, inputs["transfer"]), _rows(ctx, inputs, "y")
    return {"F_star": [value for row in rows for value in tr.F_star(row)]}


def matching_loss(ctx: Any, inputs: Values, choices: dict[str, str]) -> Values:
    """Return D_F(â, a*) of every example, summed over its outputs."""
    tr, integral = (
        networks.transfer(ctx, inputs, choices, inputs["transfer"]),
        _with_integral(ctx, inputs, choices),
    )
    first, second = ("a_hat", "a") if choices["matching_arguments"] == "(a_hat, a)" else ("a", "a_hat")
    losses = []
    for u, v in zip(matrix(ctx, inputs[first]), matrix(ctx, inputs[second]), strict=True):
        slope = sum(f * (p - q) for f, p, q in zip(tr.f(v), u, v, strict=True))
        losses.append(sum(integral.F(u)) - sum(integral.F(v)) - slope)
    return {"D": losses}


def output_loss(ctx: Any, inputs: Values, choices: dict[str, str]) -> Values:
    """Return L, and g = ∂L/∂â of the last layer."""
    tr = networks.transfer(ctx, inputs, choices, inputs["transfer"])
    a_hat, t = matrix(ctx, inputs["a_hat"]), matrix(ctx, inputs["t"])
    loss, g = networks.loss_and_g(ctx, inputs["output_loss"], tr, a_hat, t, choices)
    return {"loss": loss, "g": g}


def network(ctx: Any, inputs: Values, choices: dict[str, str]) -> Values:
    """Return the post-activation and g of every layer, and the loss."""
    seen = networks.full_pass(ctx, networks.layers(ctx, inputs, choices), inputs, choices)
    values = {"loss": seen.loss}
    for m, (y_hat, g) in enumerate(zip(seen.y_hat, seen.g, strict=True), start=1):
        values |= {f"y_hat_{m}": y_hat, f"g_{m}": g}
    return values


def target(ctx: Any, inputs: Values, choices: dict[str, str]) -> Values:
    """Return y* of one layer."""
    member, a_hat = _layer(ctx, inputs, choices)[::2]
    return {"y_target": local.target(ctx, member, a_hat, matrix(ctx, inputs["g"]), inputs, choices)}


def first_step(ctx: Any, inputs: Values, choices: dict[str, str]) -> Values:
    """Return the first inner gradient of every layer of a network, which equals γ·∂L/∂W."""
    values: Values = {}
    net = networks.layers(ctx, inputs, choices)
    seen = networks.full_pass(ctx, net, inputs, choices)
    for m, member in enumerate(net, start=1):
        y_target = local.target(ctx, member, seen.a_hat[m - 1], seen.g[m - 1], inputs, choices)
        p = local.problem(ctx, member, seen.x[m - 1], y_target, inputs, choices)
        values |= networks.split(local.gradient(p, member.W), member.bias, f"dW_{m}", f"db_{m}", choices)
    return values


def closed_form(ctx: Any, inputs: Values, choices: dict[str, str]) -> Values:
    """Return W and b that minimize the local problem of S."""
    p = _problem(ctx, inputs, choices)
    return networks.split(local.closed_form(p), p.bias, "W", "b", choices)


def local_steps(ctx: Any, inputs: Values, choices: dict[str, str]) -> Values:
    """Return W and b after K steps of a local optimizer."""
    p = _problem(ctx, inputs, choices)
    state = optimizers.for_matrix(ctx, len(p.W0), len(p.W0[0]), inputs, choices)
    return networks.split(local.descend(p, state, inputs, ctx.mpf(1)), p.bias, "W", "b", choices)


def exact(ctx: Any, inputs: Values, choices: dict[str, str]) -> Values:
    """Return W and b that minimize the local problem of M."""
    p = _problem(ctx, inputs, choices)
    return networks.split(local.exact(p), p.bias, "W", "b", choices)


def optimizer(ctx: Any, inputs: Values, choices: dict[str, str]) -> Values:
    """Return the weights after every step of an optimizer on given gradients."""
    W, path = matrix(ctx, inputs["W"]), []
    state = optimizers.for_matrix(ctx, len(W), len(W[0]), inputs, choices)
    for gradient, rate in zip(inputs["gradients"], inputs["rates"], strict=True):
        W = optimizers.updated(W, matrix(ctx, gradient), state, number(ctx, rate))
        path.append(W)
    return {"W_path": path}


def train(ctx: Any, inputs: Values, choices: dict[str, str]) -> Values:
    """Return W and b of every layer after one step per batch."""
    values: Values = {}
    for m, member in enumerate(training.train(ctx, inputs, choices), start=1):
        values |= networks.split(member.W, member.bias, f"W_{m}", f"b_{m}", choices)
    return values


TOPICS = {
    "transfer": transfer,
    "integral": integral,
    "inverse": inverse,
    "conjugate": conjugate,
    "matching_loss": matching_loss,
    "output_loss": output_loss,
    "network": network,
    "target": target,
    "first_step": first_step,
    "closed_form": closed_form,
    "local_steps": local_steps,
    "exact": exact,
    "optimizer": optimizer,
    "training": train,
    **positions_topics.TOPICS,
    **codes.TOPICS,
    **displacements.TOPICS,
    **memory.TOPICS,
    **admm.TOPICS,
}


def _layer(ctx: Any, inputs: Values, choices: dict[str, str]) -> tuple[Any, Any, Any]:
    member = networks.layer(ctx, inputs, choices)
    x = networks.with_ones(ctx, matrix(ctx, inputs["x"]), member.bias)
    return member, x, product(x, member.W)


def _problem(ctx: Any, inputs: Values, choices: dict[str, str]) -> local.Problem:
    member, x, a_hat = _layer(ctx, inputs, choices)
    y_target = local.target(ctx, member, a_hat, matrix(ctx, inputs["g"]), inputs, choices)
    return local.problem(ctx, member, x, y_target, inputs, choices)
