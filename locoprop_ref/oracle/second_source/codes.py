r"""Codes of alternating minimization from their losses, one batch after the other, with the weights as given.

A hidden layer's code starts at its pre-activation and takes K steps of size s down

    (1/μ) L(f(c)W + b)   below the output layer,      ½‖f(c)W + b − c_above‖²   elsewhere,

plus (κ/2)‖c − â‖² with the weight κ of the anchor. The codes move from the top down. The moved codes are then
the targets of the hidden layers' squared local losses, and f(c) is the input of the layer above.
"""

from typing import Any

from locoprop_ref.oracle.second_source import network as networks
from locoprop_ref.oracle.second_source.network import Layer
from locoprop_ref.oracle.second_source.numbers import (
    Inapplicable,
    Matrix,
    combine,
    matrix,
    number,
    product,
    scaled,
    transpose,
)

Values = dict[str, Any]


def codes(ctx: Any, inputs: Values, choices: dict[str, str]) -> Values:
    """Return the codes of the last batch, and the local gradients that follow from them."""
    net, state = networks.layers(ctx, inputs, choices), dict[int, Matrix]()
    for x, t in zip(inputs["x"], inputs["t"], strict=True):
        if choices["code_momentum_state"] != "kept over batches":
            state = {}
        batch = {**inputs, "x": x, "t": t}
        start = _start(ctx, net, batch, choices)
        found = _moved(ctx, net, batch, choices, start, state)
    values = {f"code_{m}": code for m, code in enumerate(found, start=1)}
    return values | _gradients(ctx, net, batch, choices, start, found)


def _after(choices: dict[str, str]) -> bool:
    return choices["code_of"] == "post-activation"


def _start(ctx: Any, net: list[Layer], batch: Values, choices: dict[str, str]) -> list[Matrix]:
    _, a_hat, y_hat = networks.forward(ctx, net, matrix(ctx, batch["x"]))
    return (y_hat if _after(choices) else a_hat)[:-1]


def _output(member: Layer, code: Matrix, choices: dict[str, str]) -> Matrix:
    """Return what the layer above reads of a code."""
    return code if _after(choices) else [member.transfer.f(row) for row in code]


def _weight(ctx: Any, values: Matrix, choices: dict[str, str]) -> Any:
    """Return the weight of half a sum of squares: 1, or 2/(B d) where it is the mean of the squares."""
    if choices["code_reduction"] == "sum":
        return ctx.mpf(1)
    return ctx.mpf(2) / (len(values) * len(values[0]))


def _moved(
    ctx: Any,
    net: list[Layer],
    batch: Values,
    choices: dict[str, str],
    start: list[Matrix],
    state: dict[int, Matrix],
) -> list[Matrix]:
    """Return the codes after their steps, from the bottom up."""
    s, rho = number(ctx, batch["code_lr"]), number(ctx, batch["momentum"])
    K = int(batch["num_code_steps"]) - (choices["code_steps"] == "K - 1")
    found, velocity = list(start), None
    for m in reversed(range(len(start))):
        code = start[m]
        if choices["code_momentum_state"] != "kept over layers" or velocity is None:
            velocity = state.get(m, scaled(code, ctx.mpf(0)))
        if len(velocity[0]) != len(code[0]):
            raise Inapplicable("the codes of two layers have different shapes")
        above = (start if choices["code_order"] == "jacobi" else found)[m + 1 :][:1]
        for _ in range(K):
            gradient = _gradient(ctx, net, m, code, above, batch, choices)
            if choices["code_anchor"] == "as given":
                kappa = number(ctx, batch["anchor"]) * _weight(ctx, code, choices)
                gradient = combine(gradient, combine(code, start[m], -1), kappa)
            velocity = combine(gradient, velocity, rho)
            nesterov = choices["code_momentum"] == "nesterov"
            code = combine(code, combine(gradient, velocity, rho) if nesterov else velocity, -s)
        found[m], state[m] = code, velocity
    return found


def _gradient(
    ctx: Any, net: list[Layer], m: int, code: Matrix, above: list[Matrix], batch: Values, choices: Any
) -> Matrix:
    """Return the derivative by a code of the loss above it."""
    upper, mu = net[m + 1], number(ctx, batch["coupling"])
    place = choices["code_coupling"]
    y = networks.with_ones(ctx, _output(net[m], code, choices), upper.bias)
    a = product(y, upper.W)
    if not above:
        t = matrix(ctx, batch["t"])
        _, error = networks.loss_and_g(ctx, batch["output_loss"], upper.transfer, a, t, choices)
        share = {"divides the network loss": 1 / mu, "multiplies the network loss": mu}
        error = scaled(error, share.get(place, ctx.mpf(1)))
    else:
        error = _mismatch(ctx, upper, a, above[0], choices)
        error = scaled(error, 1 / mu if place == "divides the losses between layers" else ctx.mpf(1))
    u = product(error, transpose(upper.W[:-1] if upper.bias else upper.W))
    if _after(choices):
        return u
    return [net[m].transfer.vjp(c, row) for c, row in zip(code, u, strict=True)]


def _mismatch(ctx: Any, member: Layer, a: Matrix, code: Matrix, choices: dict[str, str]) -> Matrix:
    """Return the derivative, by a layer's pre-activation, of half the squared distance to its code."""
    weight = _weight(ctx, code, choices)
    if not _after(choices):
        return scaled(combine(a, code, -1), weight)
    off = scaled(combine([member.transfer.f(row) for row in a], code, -1), weight)
    return [member.transfer.vjp(row, u) for row, u in zip(a, off, strict=True)]


def _gradients(
    ctx: Any, net: list[Layer], batch: Values, choices: Any, start: list[Matrix], found: list[Matrix]
) -> Values:
    """Return every layer's local gradient at the present weights; the last one has the network loss."""
    below = found if choices["code_inputs"] == "moved" else start
    values: Values = {}
    for m, member in enumerate(net):
        y = _output(net[m - 1], below[m - 1], choices) if m else matrix(ctx, batch["x"])
        x = networks.with_ones(ctx, y, member.bias)
        a = product(x, member.W)
        if m < len(found):
            error = _mismatch(ctx, member, a, found[m], choices)
        else:
            t = matrix(ctx, batch["t"])
            _, error = networks.loss_and_g(ctx, batch["output_loss"], member.transfer, a, t, choices)
        G = product(transpose(x), error)
        values |= {f"dW_{m + 1}": G[:-1], f"db_{m + 1}": G[-1]} if member.bias else {f"dW_{m + 1}": G}
    return values


TOPICS = {"codes": codes}
