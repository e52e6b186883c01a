r"""A network whose layers have positions or steps: forward pass, and g of every row by the chain rule.

All matrices of rows are ordered (position, example): row p·B + i belongs to position p of example i. A
recurrent layer goes step by step: its row is [x_t, h_{t−1}], and its g_t the total derivative, which the step
after it has a part in.
"""

from dataclasses import dataclass, field
from typing import Any

from locoprop_ref.oracle.second_source import network as networks
from locoprop_ref.oracle.second_source import wiring as wirings
from locoprop_ref.oracle.second_source.network import Layer, Pass
from locoprop_ref.oracle.second_source.numbers import (
    Inapplicable,
    Matrix,
    count,
    dot,
    matrix,
    number,
    transpose,
    vector,
)

RECURRENT = ("steps", "every step")


@dataclass
class Wired(Layer):
    """A layer with its wiring (a list of stages), and the state before the first step if it is recurrent."""

    wiring: list[dict[str, Any]] = field(default_factory=list)
    h0: list[Any] | None = None


@dataclass
class Trace(Pass):
    """A pass, and what the way back needs: for each layer and example the tape of its wiring."""

    tapes: list[list[wirings.Tape]]


def layers(ctx: Any, inputs: dict[str, Any], choices: dict[str, str]) -> list[Wired]:
    """Build every layer of the inputs (`W_m`, `b_m`, `h0_m`, `transfers`, `wirings`)."""
    net = []
    for m, stages in enumerate(inputs["wirings"], start=1):
        plain = networks.layer(ctx, inputs, choices, m)
        h0 = None
        if stages and stages[-1]["stage"] in RECURRENT:
            given = inputs.get(f"h0_{m}") if choices["initial_state"] == "as given" else None
            h0 = [ctx.mpf(0)] * len(plain.W[0]) if given is None else vector(ctx, given)
        net.append(Wired(plain.W, plain.bias, plain.transfer, stages, h0))
    return net


def example(ctx: Any, values: Any, shape: tuple[int, ...], choices: dict[str, str]) -> list[Any]:
    """Return a flat example of the inputs in its documented order."""
    if count(shape) != len(values):
        raise Inapplicable("an example does not have its shape")
    return [number(ctx, values[i]) for i in wirings.order_of(shape, choices)]


def rows_of(flat: list[list[Any]], width: int) -> Matrix:
    """Return the rows, (position, example), from what the wiring made of each example."""
    positions = len(flat[0]) // width
    return [numbers[p * width : (p + 1) * width] for p in range(positions) for numbers in flat]


def examples_of(rows: Matrix, batch: int, *, channels_first: bool = False) -> list[list[Any]]:
    """Return for each example its rows one after another, or channel by channel."""
    found = []
    for i in range(batch):
        own = rows[i::batch]
        found.append([v for row in (transpose(own) if channels_first else own) for v in row])
    return found


def ones(ctx: Any, x: Matrix, bias: bool, choices: dict[str, str]) -> Matrix:
    """Return X̃: every row ends with a 1 if the layer has a bias (or begins with it)."""
    if bias and choices["bias_row"] == "first":
        return [[ctx.mpf(1), *row] for row in x]
    return networks.with_ones(ctx, x, bias)


def full_pass(ctx: Any, net: list[Wired], inputs: dict[str, Any], choices: dict[str, str]) -> Trace:
    """Run the forward and the backward pass on `x` and `t` of the inputs."""
    shape = tuple(inputs["shape"])
    seen = Trace([], [], [], [], None, [])
    values = [example(ctx, one, shape, choices) for one in inputs["x"]]
    B = len(values)
    for member in net:
        read = [wirings.read(z, shape, member.wiring, choices) for z in values]
        shape, width = read[0][1], read[0][1][0]
        seen.tapes.append([tape for _, _, tape in read])
        _forward(ctx, member, rows_of([z for z, _, _ in read], width), B, seen, choices)
        values = examples_of(seen.y_hat[-1], B, channels_first=True)
        shape = (len(member.W[0]), *shape[1:])
    t, last = matrix(ctx, inputs["t"]), net[-1].transfer
    seen.loss, g = networks.loss_and_g(ctx, inputs["output_loss"], last, seen.a_hat[-1], t, choices)
    seen.g = [g]
    for m in reversed(range(len(net) - 1)):
        above = _below(net[m + 1], seen.g[0], seen.tapes[m + 1], B, len(net[m].W[0]), choices)
        seen.g.insert(0, _total(net[m], seen.a_hat[m], above, B, choices))
    return seen


def _forward(ctx: Any, member: Wired, x: Matrix, B: int, seen: Trace, choices: dict[str, str]) -> None:
    """Append the rows, the pre-activation and the post-activation of one layer."""
    found: tuple[Matrix, Matrix, Matrix] = ([], [], [])
    h = [member.h0] * B if member.h0 is not None else None
    columns = transpose(member.W)
    for start in range(0, len(x), B):
        rows = x[start : start + B]
        if h is not None:
            state_first = choices["recurrent_input"] == "[h, x]"
            rows = [s + row if state_first else row + s for row, s in zip(rows, h, strict=True)]
        rows = ones(ctx, rows, member.bias, choices)
        if len(rows[0]) != len(member.W):
            raise Inapplicable("the rows do not fit the weights")
        a_hat = [[dot(row, column) for column in columns] for row in rows]
        y_hat = [member.transfer.f(row) for row in a_hat]
        h = y_hat if h is not None else None
        for kept, new in zip(found, (rows, a_hat, y_hat), strict=True):
            kept += new
    for kept, new in zip((seen.x, seen.a_hat, seen.y_hat), found, strict=True):
        kept.append(new)


def _parts(member: Wired, choices: dict[str, str]) -> tuple[Matrix, Matrix]:
    """Return the rows of W that multiply what the wiring reads, and those that multiply the state."""
    W = member.W
    if member.bias:
        W = W[1:] if choices["bias_row"] == "first" else W[:-1]
    if member.h0 is None:
        return W, []
    d = len(W[0])
    return (W[d:], W[:d]) if choices["recurrent_input"] == "[h, x]" else (W[:-d], W[-d:])


def _below(
    member: Wired, g: Matrix, tapes: list[wirings.Tape], B: int, d_below: int, choices: dict[str, str]
) -> Matrix:
    """Return ∂L/∂ŷ of the layer below, one row for each of its positions."""
    W_x, _ = _parts(member, choices)
    u = examples_of([[dot(row, w) for w in W_x] for row in g], B)
    flat = [wirings.pull_back(values, tape) for values, tape in zip(u, tapes, strict=True)]
    positions = len(flat[0]) // d_below
    return [[values[c * positions + p] for c in range(d_below)] for p in range(positions) for values in flat]


def _total(member: Wired, a_hat: Matrix, above: Matrix, B: int, choices: dict[str, str]) -> Matrix:
    """Return g of every row from ∂L/∂ŷ as the layer above has it; recurrent: from the last step back."""

    def times_slope(rows: Matrix, u: Matrix) -> Matrix:
        if choices["gradient_at"] == "post-activation":
            return u
        return [member.transfer.vjp(a, row) for a, row in zip(rows, u, strict=True)]

    if member.h0 is None:
        return times_slope(a_hat, above)
    W_h = _parts(member, choices)[1]
    g: Matrix = []
    for start in reversed(range(0, len(a_hat), B)):
        u = above[start : start + B]
        if g and choices["through_time"] == "total":
            later = [[dot(row, w) for w in W_h] for row in g[:B]]
            u = [[v + w for v, w in zip(*rows, strict=True)] for rows in zip(u, later, strict=True)]
        if g and choices["through_time"] == "last step":
            u = [[0 * v for v in row] for row in u]
        g = times_slope(a_hat[start : start + B], u) + g
    return g
