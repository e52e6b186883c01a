r"""The blocks of offline ADMM for networks of relu units, each a minimiser of

    ℓ(z_M, y) + ⟨λ, z_M⟩ + (β/2)‖z_M − p_M‖² + Σ_m [(γ/2)‖a_m − relu(z_m)‖² + (β/2)‖z_m − p_m‖²],

summed over the examples, where p = aW + b with a from the layer below, and the step of the multiplier λ.
"""

from typing import Any

from locoprop_ref.oracle.second_source.network import with_ones
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


def admm(ctx: Any, inputs: Values, choices: dict[str, str]) -> Values:
    """Return the value of one block."""
    return _BLOCKS[inputs["block"]](ctx, inputs, choices)


def _penalties(ctx: Any, inputs: Values, choices: dict[str, str]) -> tuple[Any, Any]:
    """Return γ and β."""
    gamma, beta = (number(ctx, inputs[name]) for name in ("activation_penalty", "penalty"))
    return (beta, gamma) if choices["admm_penalties"] == "exchanged" else (gamma, beta)


def _relu(ctx: Any, z: Matrix) -> Matrix:
    return [[u if u > 0 else ctx.mpf(0) for u in row] for row in z]


def _weights(ctx: Any, inputs: Values, choices: dict[str, str]) -> Values:
    """Return W and b with the least ‖aW + b − z‖², by the normal equations."""
    bias = choices["admm_bias"] != "left out of the weights"
    x, z = with_ones(ctx, matrix(ctx, inputs["a"]), bias), matrix(ctx, inputs["z"])
    W = solve(ctx, product(transpose(x), x), product(transpose(x), z))
    return {"W": W[:-1], "b": W[-1]} if bias else {"W": W, "b": [ctx.mpf(0)] * len(W[0])}


def _activation(ctx: Any, inputs: Values, choices: dict[str, str]) -> Values:
    """Return a with the least (γ/2)‖a − relu(z)‖² + (β/2)‖z_above − aW − b‖², row by row."""
    gamma, beta = _penalties(ctx, inputs, choices)
    W, b = matrix(ctx, inputs["W"]), vector(ctx, inputs["b"])
    z, above = matrix(ctx, inputs["z"]), matrix(ctx, inputs["z_above"])
    if choices["admm_bias"] != "forgotten in the activation":
        above = [[u - v for u, v in zip(row, b, strict=True)] for row in above]
    said = z if choices["admm_transfer"] == "forgotten" else _relu(ctx, z)
    system = scaled(product(W, transpose(W)), beta)
    system = [[h + (gamma if i == j else 0) for j, h in enumerate(row)] for i, row in enumerate(system)]
    right = combine(scaled(said, gamma), product(above, transpose(W)), beta)
    return {"a": transpose(solve(ctx, system, transpose(right)))}


def _hidden(ctx: Any, inputs: Values, choices: dict[str, str]) -> Values:
    """Return z with the least (γ/2)(a − relu(z))² + (β/2)(z − p)², entry by entry."""
    gamma, beta = _penalties(ctx, inputs, choices)
    zero = ctx.mpf(0)

    def best(a: Any, p: Any) -> Any:
        on, off = max(zero, (gamma * a + beta * p) / (gamma + beta)), min(zero, p)
        if choices["admm_branch"] == "sign of p":
            return on if p > 0 else off
        cost_on = gamma * (a - on) ** 2 + beta * (on - p) ** 2
        return on if cost_on <= gamma * a**2 + beta * (off - p) ** 2 else off

    pairs = zip(matrix(ctx, inputs["a"]), matrix(ctx, inputs["prediction"]), strict=True)
    return {"z": [[best(a, p) for a, p in zip(*rows, strict=True)] for rows in pairs]}


def _output(ctx: Any, inputs: Values, choices: dict[str, str]) -> Values:
    """Return z with the least ℓ(z, y) + λz + (β/2)(z − p)², entry by entry."""
    beta = number(ctx, inputs["penalty"]) * (2 if choices["admm_penalty"] == "whole" else 1)
    sign = -1 if choices["admm_multiplier_sign"] == "minus" else 1

    def best(p: Any, y: Any, multiplier: Any) -> Any:
        pull = sign * multiplier
        if inputs["block"] == "output squared":
            return (y - pull + beta * p) / (1 + beta)
        q = p - pull / beta
        if y > 0:
            return max(q, min(ctx.mpf(1), q + 1 / beta))
        edge = ctx.mpf(-1 if choices["admm_labels"] == "-1 and 1" else 0)
        return min(q, max(edge, q - 1 / beta))

    parts = (matrix(ctx, inputs[name]) for name in ("prediction", "t", "multiplier"))
    return {"z": [[best(*entry) for entry in zip(*rows, strict=True)] for rows in zip(*parts, strict=True)]}


def _multiplier(ctx: Any, inputs: Values, choices: dict[str, str]) -> Values:
    """Return λ + κβ(z − p)."""
    step = number(ctx, inputs["multiplier_step"]) * number(ctx, inputs["penalty"])
    if choices["admm_multiplier_step"] == "half":
        step = step / 2
    if choices["admm_multiplier_sign"] == "minus":
        step = -step
    off = combine(matrix(ctx, inputs["z"]), matrix(ctx, inputs["prediction"]), -1)
    return {"multiplier": combine(matrix(ctx, inputs["multiplier"]), off, step)}


_BLOCKS = {
    "weights": _weights,
    "activation": _activation,
    "hidden": _hidden,
    "output squared": _output,
    "output hinge": _output,
    "multiplier": _multiplier,
}
TOPICS = {"admm": admm}
