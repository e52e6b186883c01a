"""The topics of layers with positions or steps, from the inputs of a case to the values to be returned."""

from typing import Any

from locoprop_ref.oracle.second_source import local, positions
from locoprop_ref.oracle.second_source import network as networks
from locoprop_ref.oracle.second_source import optimizer as optimizers
from locoprop_ref.oracle.second_source import wiring as wirings
from locoprop_ref.oracle.second_source.numbers import (
    Inapplicable,
    Matrix,
    count,
    matrix,
    number,
    product,
    transpose,
)

Values = dict[str, Any]


def _read(ctx: Any, inputs: Values, choices: dict[str, str]) -> list[Any]:
    shape = tuple(inputs["shape"])
    return [
        wirings.read(positions.example(ctx, one, shape, choices), shape, inputs["wiring"], choices)
        for one in inputs["y"]
    ]


def _named(rows: Matrix, batch: int, choices: dict[str, str]) -> Matrix:
    """Return rows, (position, example), in the order in which the implementation has them."""
    if choices["row_order"] == "position, example":
        return rows
    return [row for i in range(batch) for row in rows[i::batch]]


def _restored(flat: list[Any], shape: tuple[int, ...], choices: dict[str, str]) -> list[Any]:
    """Return an example in the order in which the implementation has it."""
    found = list(flat)
    for value, i in zip(flat, wirings.order_of(shape, choices), strict=True):
        found[i] = value
    return found


def rows(ctx: Any, inputs: Values, choices: dict[str, str]) -> Values:
    """Return the rows that a wiring makes of a batch, with the input of the bias if there is one."""
    read = _read(ctx, inputs, choices)
    x = positions.rows_of([z for z, _, _ in read], read[0][1][0])
    return {"x": _named(positions.ones(ctx, x, inputs.get("bias") == 1, choices), len(read), choices)}


def adjoint(ctx: Any, inputs: Values, choices: dict[str, str]) -> Values:
    """Return ∂L/∂y from u = ∂L/∂x, where x are the rows of a wiring that takes no maximum."""
    u, shape = matrix(ctx, inputs["u"]), tuple(inputs["shape"])
    # the way back of a linear wiring is the same for all examples
    z, _, tape = wirings.read([ctx.mpf(0)] * count(shape), shape, inputs["wiring"], choices)
    positions_of_one = len(z) // len(u[0])
    batch = len(u) // positions_of_one
    if positions_of_one * batch != len(u):
        raise Inapplicable("u has another number of rows")
    if choices["row_order"] == "example, position":
        own = [u[i * positions_of_one : (i + 1) * positions_of_one] for i in range(batch)]
    else:
        own = [u[i::batch] for i in range(batch)]
    flat = [wirings.pull_back([v for row in part for v in row], tape) for part in own]
    return {"dy": [_restored(values, shape, choices) for values in flat]}


def pooling(ctx: Any, inputs: Values, choices: dict[str, str]) -> Values:
    """Return the pooled batch, and ∂L/∂y from u, the derivative with respect to the pooled batch."""
    shape, pooled, dy = tuple(inputs["shape"]), [], []
    for (z, after, tape), u in zip(_read(ctx, inputs, choices), matrix(ctx, inputs["u"]), strict=True):
        pooled.append(_restored(z, after, choices))
        if len(u) == len(z):
            u = [u[i] for i in wirings.order_of(after, choices)]
            dy.append(_restored(wirings.pull_back(u, tape), shape, choices))
    return {"pooled": pooled, "dy": dy}


def passes(ctx: Any, inputs: Values, choices: dict[str, str]) -> Values:
    """Return the loss, and ŷ, g and ∂L/∂W of every layer."""
    net = positions.layers(ctx, inputs, choices)
    seen = positions.full_pass(ctx, net, inputs, choices)
    values, B = {"loss": seen.loss}, len(inputs["x"])
    for m, member in enumerate(net, start=1):
        x, g = seen.x[m - 1], seen.g[m - 1]
        values |= {f"y_hat_{m}": _named(seen.y_hat[m - 1], B, choices), f"g_{m}": _named(g, B, choices)}
        G = product(transpose(x), g)
        values |= networks.split(G, member.bias, f"dW_{m}", f"db_{m}", choices)
    return values


def _problem(
    ctx: Any, member: positions.Wired, seen: positions.Trace, m: int, inputs: Values, choices: dict[str, str]
) -> local.Problem:
    y_target = local.target(ctx, member, seen.a_hat[m], seen.g[m], inputs, choices)
    p = local.problem(ctx, member, seen.x[m], y_target, inputs, choices)
    if choices["mean_over"] == "examples":
        p.examples = len(inputs["x"])
    return p


def local_problems(ctx: Any, inputs: Values, choices: dict[str, str]) -> Values:
    """Return the target of every row of every layer, and the first local gradient."""
    values: Values = {}
    net = positions.layers(ctx, inputs, choices)
    seen = positions.full_pass(ctx, net, inputs, choices)
    for m, member in enumerate(net, start=1):
        p = _problem(ctx, member, seen, m - 1, inputs, choices)
        values[f"y_target_{m}"] = _named(p.y_target, len(inputs["x"]), choices)
        G = local.gradient(p, member.W)
        values |= networks.split(G, member.bias, f"dW_{m}", f"db_{m}", choices)
    return values


def train(ctx: Any, inputs: Values, choices: dict[str, str]) -> Values:
    """Return W and b of every layer after one step per batch: S in closed form, or K steps of S or M."""
    values: Values = {}
    net = positions.layers(ctx, inputs, choices)
    states = [_state(ctx, member, inputs, choices) for member in net]
    for x, t, rate in zip(inputs["x"], inputs["t"], inputs["rates"], strict=True):
        batch = {**inputs, "x": x, "t": t}
        seen = positions.full_pass(ctx, net, batch, choices)
        problems = [_problem(ctx, member, seen, m, batch, choices) for m, member in enumerate(net)]
        for member, p, state in zip(net, problems, states, strict=True):
            closed = inputs["method"] == "locoprop-s-closed"
            member.W = local.closed_form(p) if closed else local.descend(p, state, inputs, number(ctx, rate))
    for m, member in enumerate(net, start=1):
        values |= networks.split(member.W, member.bias, f"W_{m}", f"b_{m}", choices)
    return values


def _state(ctx: Any, member: positions.Wired, inputs: Values, choices: dict[str, str]) -> Any:
    if "optimizer" not in inputs:
        return None
    return optimizers.for_matrix(ctx, len(member.W), len(member.W[0]), inputs, choices)


TOPICS = {
    "rows": rows,
    "adjoint": adjoint,
    "pooling": pooling,
    "convolution": passes,
    "convolution_local": local_problems,
    "convolution_training": train,
    "recurrence": passes,
    "recurrence_local": local_problems,
    "recurrence_training": train,
}
