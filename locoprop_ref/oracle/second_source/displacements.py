r"""Targets by other rules than the gradient: inverses of layers, K-FAC's factor, Gauss–Newton.

The inverse of layer m is one layer of its own, ψ_m(y) = f_{m−1}(yV_m + c_m). The rules of K-FAC and of
Gauss–Newton give a displacement d of the pre-activation; the target is f_local(â − d), where the local
transfer is the layer's own for M, and the identity for S.
"""

from typing import Any

from locoprop_ref.oracle.second_source import network as networks
from locoprop_ref.oracle.second_source.network import Layer, Pass
from locoprop_ref.oracle.second_source.numbers import (
    Matrix,
    combine,
    matrix,
    number,
    product,
    scaled,
    solve,
    transpose,
    vector,
)

Values = dict[str, Any]


def _step(ctx: Any, inputs: Values, choices: dict[str, str]) -> Any:
    step = number(ctx, inputs["target_step"])
    return -step if choices["target_sign"] == "plus" else step


def _named(targets: list[Matrix]) -> Values:
    return {f"y_target_{m}": target for m, target in enumerate(targets, start=1)}


# inverses -------------------------------------------------------------------------------------------


def inverse_target(ctx: Any, inputs: Values, choices: dict[str, str]) -> Values:
    """Return y* of every layer by target propagation with given inverses."""
    net = networks.layers(ctx, inputs, choices)
    seen = networks.full_pass(ctx, net, inputs, choices)
    step, y_hat = _step(ctx, inputs, choices), seen.y_hat
    if choices["start"] == "output":
        targets = [combine(y_hat[-1], seen.g[-1], -step)]
    else:
        upper = net[-1]
        u = product(seen.g[-1], transpose(upper.W[:-1] if upper.bias else upper.W))
        if choices["start_derivative"] == "by the pre-activation":
            u = seen.g[-2]
        # the last layer has the network loss itself, whose target is the label
        targets = [combine(y_hat[-2], u, -step), matrix(ctx, inputs["t"])]
    highest = len(net) - len(targets)
    for m in reversed(range(1, highest + 1)):
        targets.insert(0, _below(ctx, net, m, y_hat, targets[0], m == highest, inputs, choices))
    return _named(targets)


def _psi(ctx: Any, net: list[Layer], m: int, y: Matrix, inputs: Values, choices: dict[str, str]) -> Matrix:
    """Return the inverse of layer m, counted from 0, on rows of its outputs."""
    V, c = matrix(ctx, inputs[f"V_{m + 1}"]), vector(ctx, inputs[f"c_{m + 1}"])
    rows = [[a + b for a, b in zip(row, c, strict=True)] for row in product(y, V)]
    match choices["inverse_transfer"]:
        case "none":
            return rows
        case "of the layer itself":
            return [net[m].transfer.f(row) for row in rows]
    return [net[m - 1].transfer.f(row) for row in rows]


def _below(
    ctx: Any,
    net: list[Layer],
    m: int,
    y_hat: list[Matrix],
    above: Matrix,
    top: bool,
    inputs: Values,
    choices: dict[str, str],
) -> Matrix:
    """Return y* of the layer below layer m, counted from 0."""

    def psi(y: Matrix) -> Matrix:
        return _psi(ctx, net, m, y, inputs, choices)

    rule = choices["correction"]
    if rule == "plain" or (rule == "at the top only" and not top):
        return psi(above)
    if rule == "before the inverse":
        return combine(y_hat[m - 1], psi(combine(above, y_hat[m], -1)), 1)
    return combine(y_hat[m - 1], combine(psi(above), psi(y_hat[m]), -1), 1)


# displacements --------------------------------------------------------------------------------------


def _displaced(member: Layer, a_hat: Matrix, d: Matrix, inputs: Values, choices: dict[str, str]) -> Matrix:
    if inputs["method"] == "locoprop-s":
        return combine(a_hat, d, -1)
    if choices["displacement"] == "of the post-activation":
        return combine([member.transfer.f(row) for row in a_hat], d, -1)
    return [member.transfer.f(row) for row in combine(a_hat, d, -1)]


def _plus(A: Matrix, shift: Any) -> Matrix:
    return [[a + (shift if i == j else 0) for j, a in enumerate(row)] for i, row in enumerate(A)]


def kronecker_target(ctx: Any, inputs: Values, choices: dict[str, str]) -> Values:
    """Return y* of every layer for d = γ g (G + δI)⁻¹, where G is the mean of the examples' (Bg)ᵀ(Bg)."""
    net = networks.layers(ctx, inputs, choices)
    seen = networks.full_pass(ctx, net, inputs, choices)
    step, targets = _step(ctx, inputs, choices), []
    for m, member in enumerate(net):
        d = scaled(_times_inverse(ctx, seen, m, inputs, choices), step)
        targets.append(_displaced(member, seen.a_hat[m], d, inputs, choices))
    return _named(targets)


def _factor(ctx: Any, g: Matrix, choices: dict[str, str]) -> Matrix:
    B = ctx.mpf(len(g))
    if choices["kronecker_factor"] == "of the mean gradient":
        g = [[sum(column, ctx.mpf(0)) for column in transpose(g)]]  # the mean of Bg
        return product(transpose(g), g)
    share = {"mean over examples": B, "sum over examples": B * B, "gradients of the mean loss": 1 / B}
    return scaled(product(transpose(g), g), share[choices["kronecker_factor"]])


def _times_inverse(ctx: Any, seen: Pass, m: int, inputs: Values, choices: dict[str, str]) -> Matrix:
    """Return g (G + δI)⁻¹ of a layer."""
    g, delta = seen.g[m], number(ctx, inputs["damping"])
    G, shift = _factor(ctx, g, choices), delta
    match choices["kronecker_damping"]:
        case "not added":
            shift = ctx.mpf(0)
        case "added to the inverse":
            return combine(transpose(solve(ctx, G, transpose(g))), g, delta)
        case "split":
            shift = ctx.sqrt(delta) / _pi(ctx, seen.x[m], G)
    return transpose(solve(ctx, _plus(G, shift), transpose(g)))


def _pi(ctx: Any, x: Matrix, G: Matrix) -> Any:
    """Return π = √((tr A/d̃)/(tr G/d)), A = X̃ᵀX̃/B, of factored Tikhonov damping."""
    on_A = sum((v * v for row in x for v in row), ctx.mpf(0)) / len(x) / len(x[0])
    on_G = sum((G[i][i] for i in range(len(G))), ctx.mpf(0)) / len(G)
    return ctx.sqrt(on_A / on_G)


def gauss_newton_target(ctx: Any, inputs: Values, choices: dict[str, str]) -> Values:
    """Return y* of every layer for d = γ Jᵀ((1−τ)JJᵀ + τI)⁻¹ r of every example, r = B ∂L/∂â_M."""
    net = networks.layers(ctx, inputs, choices)
    seen = networks.full_pass(ctx, net, inputs, choices)
    B = len(seen.g[-1])
    r = scaled(seen.g[-1], 1 if choices["gauss_newton_error"] == "of the mean loss" else B)
    step, targets = _step(ctx, inputs, choices), []
    for m, member in enumerate(net):
        by_example = [_jacobian(ctx, net, seen, m, i, choices) for i in range(B)]
        if choices["gauss_newton_jacobian"] == "averaged":
            total = by_example[0]
            for J in by_example[1:]:
                total = combine(total, J, 1)
            by_example = [scaled(total, ctx.mpf(1) / B)] * B
        d = [_removes(ctx, J, row, inputs, choices) for J, row in zip(by_example, r, strict=True)]
        targets.append(_displaced(member, seen.a_hat[m], scaled(d, step), inputs, choices))
    return _named(targets)


def _jacobian(ctx: Any, net: list[Layer], seen: Pass, m: int, i: int, choices: dict[str, str]) -> Matrix:
    """Return J = ∂â_M/∂â_m of example i by the chain rule, from layer m upwards."""
    d = len(seen.a_hat[m][i])
    J = [[ctx.mpf(int(j == k)) for k in range(d)] for j in range(d)]
    for n in range(m, len(net) - 1):
        if n > m or choices["gauss_newton_jacobian"] != "by the post-activation":
            J = product(net[n].transfer.jacobian(seen.a_hat[n][i]), J)
        W = net[n + 1].W
        J = product(transpose(W[:-1] if net[n + 1].bias else W), J)
    return J


def _removes(ctx: Any, J: Matrix, r: list[Any], inputs: Values, choices: dict[str, str]) -> list[Any]:
    """Return Jᵀ((1−τ)JJᵀ + τI)⁻¹ r."""
    tau = number(ctx, inputs["tau"])
    share, shift, factor = 1 - tau, tau, ctx.mpf(1)
    match choices["gauss_newton_damping"]:
        case "tau and 1 - tau exchanged":
            share, shift = tau, 1 - tau
        case "tau as lambda":
            share = ctx.mpf(1)
        case "without 1 + lambda":
            factor = 1 - tau
    z = solve(ctx, _plus(scaled(product(J, transpose(J)), share), shift), [[u] for u in r])
    return [factor * row[0] for row in product(transpose(J), z)]


TOPICS = {
    "inverse_target": inverse_target,
    "kronecker_target": kronecker_target,
    "gauss_newton_target": gauss_newton_target,
}
