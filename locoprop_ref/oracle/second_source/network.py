r"""A network from the definitions: forward pass, loss, and g = ∂L/∂â of every layer by the chain rule.

A layer contains W̃, the weights with the bias as last row, which is multiplied by rows [x, 1]. Deviations from
the documented conventions are also choices (`conventions.py`), so that a wrong implementation can be
imitated.
"""

from dataclasses import dataclass
from typing import Any

from locoprop_ref.oracle.second_source.numbers import Inapplicable, Matrix, matrix, product, transpose
from locoprop_ref.oracle.second_source.transfer import Transfer


@dataclass
class Layer:
    """One layer: W̃ of shape (d_in + bias, d_out), whether its last row is a bias, and the transfer."""

    W: Matrix
    bias: bool
    transfer: Transfer


@dataclass
class Pass:
    """The results of a forward and a backward pass: X̃, â, ŷ and g of every layer, and the loss."""

    x: list[Matrix]
    a_hat: list[Matrix]
    y_hat: list[Matrix]
    g: list[Matrix]
    loss: Any


def layer(ctx: Any, inputs: dict[str, Any], choices: dict[str, str], m: int | None = None) -> Layer:
    """Build layer m of the inputs (`W_m`, `b_m`, `transfers`), or the single layer (`W`, `b`, `transfer`)."""
    suffix = "" if m is None else f"_{m}"
    W = matrix(ctx, inputs["W" + suffix])
    bias = "b" + suffix in inputs
    if choices["weights_used"] == "transposed":
        if len(W) != len(W[0]):
            raise Inapplicable("W is not square")
        W = transpose(W)
    if bias:
        W = [*W, matrix(ctx, [inputs["b" + suffix]])[0]]
    name = inputs["transfer"] if m is None else inputs["transfers"][m - 1]
    return Layer(W, bias, transfer(ctx, inputs, choices, name))


def layers(ctx: Any, inputs: dict[str, Any], choices: dict[str, str]) -> list[Layer]:
    """Build every layer of the inputs."""
    return [layer(ctx, inputs, choices, m) for m in range(1, len(inputs["transfers"]) + 1)]


def transfer(ctx: Any, inputs: dict[str, Any], choices: dict[str, str], name: str) -> Transfer:
    """Build the transfer with this name and the parameters among the inputs."""
    parameters = {key: inputs[key] for key in ("slope", "alpha") if key in inputs}
    return Transfer(ctx, name, choices, **parameters)


def with_ones(ctx: Any, x: Matrix, bias: bool) -> Matrix:
    """Return X̃, in which every row ends with a 1 if the layer has a bias."""
    return [[*row, ctx.mpf(1)] if bias else list(row) for row in x]


def loss_and_g(
    ctx: Any, name: str, transfer: Transfer, a_hat: Matrix, t: Matrix, choices: dict[str, str]
) -> tuple[Any, Matrix]:
    """Return the network loss (sum over outputs, mean over the batch) and g = ∂L/∂â of the last layer."""
    total, g = ctx.mpf(0), []
    B, d = len(a_hat), len(a_hat[0])
    for a, target in zip(a_hat, t, strict=True):
        y_hat = transfer.f(a)
        difference = [y - t_i for y, t_i in zip(y_hat, target, strict=True)]
        if name == "squared_error":
            factor = ctx.mpf(1) / 2 if choices["squared_error"] == "half" else ctx.mpf(1)
            total += factor * sum(u * u for u in difference)
            outer = [2 * factor * u for u in difference]
            g.append(outer if choices["gradient_at"] == "post-activation" else transfer.vjp(a, outer))
        else:  # −Σ (t log ŷ + ...) is F(â) − t·â for a transfer that is the gradient of F
            total += sum(transfer.F(a)) - sum(t_i * a_i for t_i, a_i in zip(target, a, strict=True))
            g.append(difference)
    if transfer.name == "softmax" and choices["softmax_axis"] == "batch":
        g = _over_batch(name, transfer, a_hat, t, choices)
    divisor = {"batch mean": B, "batch sum": 1, "element mean": B * d}[choices["loss_reduction"]]
    return total / divisor, [[u / divisor for u in row] for row in g]


def _over_batch(name: str, transfer: Transfer, a_hat: Matrix, t: Matrix, choices: dict[str, str]) -> Matrix:
    """Return g with softmax and its derivative taken over the batch, as a port may do by mistake."""
    if name != "squared_error":
        p = transpose([transfer.f(column) for column in transpose(a_hat)])
        return [[u - v for u, v in zip(*rows, strict=True)] for rows in zip(p, t, strict=True)]
    factor = 1 if choices["squared_error"] == "half" else 2
    u = [
        [factor * (y - v) for y, v in zip(transfer.f(a), row, strict=True)]
        for a, row in zip(a_hat, t, strict=True)
    ]
    return _vjp(transfer, a_hat, u, choices)


def _vjp(transfer: Transfer, a_hat: Matrix, u: Matrix, choices: dict[str, str]) -> Matrix:
    """Return uᵀf′ of every row, or by mistake of every column of a softmax."""
    if transfer.name == "softmax" and choices["softmax_axis"] == "batch":
        return transpose([transfer.vjp(*c) for c in zip(transpose(a_hat), transpose(u), strict=True)])
    return [transfer.vjp(a, row) for a, row in zip(a_hat, u, strict=True)]


def forward(ctx: Any, net: list[Layer], x: Matrix) -> tuple[list[Matrix], list[Matrix], list[Matrix]]:
    """Return X̃, the pre-activations and the post-activations of every layer."""
    inputs, a_hats, y_hats = [], [], []
    for member in net:
        x = with_ones(ctx, x, member.bias)
        a_hat = product(x, member.W)
        inputs.append(x)
        a_hats.append(a_hat)
        x = [member.transfer.f(row) for row in a_hat]
        y_hats.append(x)
    return inputs, a_hats, y_hats


def step_down(below: Layer, above: Layer, a_hat: Matrix, g: Matrix, choices: dict[str, str]) -> Matrix:
    """Return g of the layer below from g of the layer above: gWᵀ, multiplied by f′ of the layer below."""
    W = above.W[:-1] if above.bias else above.W
    u = product(g, transpose(W))
    if choices["gradient_at"] == "post-activation":
        return u
    return _vjp(below.transfer, a_hat, u, choices)


def full_pass(ctx: Any, net: list[Layer], inputs: dict[str, Any], choices: dict[str, str]) -> Pass:
    """Run the forward and the backward pass on `x` and `t` of the inputs."""
    x, a_hat, y_hat = forward(ctx, net, matrix(ctx, inputs["x"]))
    t = matrix(ctx, inputs["t"])
    loss, g_last = loss_and_g(ctx, inputs["output_loss"], net[-1].transfer, a_hat[-1], t, choices)
    g = [g_last]
    for m in reversed(range(len(net) - 1)):
        g.insert(0, step_down(net[m], net[m + 1], a_hat[m], g[0], choices))
    return Pass(x, a_hat, y_hat, g, loss)


def split(W: Matrix, bias: bool, W_name: str, b_name: str, choices: dict[str, str]) -> dict[str, Any]:
    """Split W̃ into W and b with their names, in the layout that the choices require."""
    weights = W[:-1] if bias else W
    # a W that was read as transposed is returned in the layout of the input
    turned = (choices["weights_used"] == "transposed") != (choices["weights_returned"] == "transposed")
    values: dict[str, Any] = {W_name: transpose(weights) if turned else weights}
    return values | ({b_name: W[-1]} if bias else {})
