r"""A squared local problem with a memory of its batches, and mirror descent, both on given numbers.

The memory is A ← ρA + X̃ᵀX̃ and C ← ρC + X̃ᵀY*. The weights solve AW̃ = C, exactly or by sweeps over the rows
of W̃, with the ridge 1/η inside the memory (once, with the first batch) or outside.
"""

from typing import Any

from locoprop_ref.oracle.second_source.network import with_ones
from locoprop_ref.oracle.second_source.numbers import (
    Inapplicable,
    Matrix,
    combine,
    matrix,
    number,
    product,
    scaled,
    solve,
    transpose,
)

Values = dict[str, Any]


def memory(ctx: Any, inputs: Values, choices: dict[str, str]) -> Values:
    """Return W and b after all batches."""
    W = [*matrix(ctx, inputs["W"]), *matrix(ctx, [inputs["b"]])]
    ridge = 1 / number(ctx, inputs["weight_step"])
    A = [[ctx.mpf(0)] * len(W) for _ in W]
    C = scaled(W, ctx.mpf(0))
    for count, (x_batch, y_batch) in enumerate(zip(inputs["x"], inputs["y_target"], strict=True)):
        x, y = with_ones(ctx, matrix(ctx, x_batch), True), matrix(ctx, y_batch)
        kept, new = _shares(ctx, inputs, choices)
        A = combine(scaled(A, kept), product(transpose(x), x), new)
        C = combine(scaled(C, kept), _moment(x, y, choices), new)
        if choices["memory_of"] == "inputs alone":
            C = combine(product(A, W), product(transpose(x), combine(product(x, W), y, -1)), -1)
        where = choices["memory_ridge"]
        if where == "inside every batch" or (where == "inside" and count == 0):
            A, C = _plus(A, ridge), combine(C, W, ridge)
        system = _plus(A, ridge) if where == "outside" else A
        right = combine(C, product(A, W), -1)
        W = combine(W, _change(ctx, system, right, inputs, choices), 1)
    return {"W": W[:-1], "b": W[-1]}


def _shares(ctx: Any, inputs: Values, choices: dict[str, str]) -> tuple[Any, Any]:
    """Return the share of the past that is kept, and that of the new batch that is added."""
    rho, one = number(ctx, inputs["decay"]), ctx.mpf(1)
    return {
        "of the past": (rho, one), "of the new batch": (one, rho),
        "average": (rho, 1 - rho), "ignored": (one, one),
    }[choices["memory_decay"]]  # fmt: skip


def _moment(x: Matrix, y: Matrix, choices: dict[str, str]) -> Matrix:
    C = product(transpose(x), y)
    if choices["memory_moment"] == "x^T y":
        return C
    if len(C) != len(C[0]):
        raise Inapplicable("x^T y is not square")
    return transpose(C)


def _plus(A: Matrix, shift: Any) -> Matrix:
    return [[a + (shift if i == j else 0) for j, a in enumerate(row)] for i, row in enumerate(A)]


def _change(ctx: Any, system: Matrix, right: Matrix, inputs: Values, choices: dict[str, str]) -> Matrix:
    """Return the change Δ with system·Δ = right, or what the sweeps reach from 0."""
    if "num_sweeps" not in inputs:
        return solve(ctx, system, right)
    change, order = scaled(right, ctx.mpf(0)), list(range(len(system)))
    if choices["memory_sweep"] == "from the last row":
        order.reverse()
    for _ in range(int(inputs["num_sweeps"])):
        seen = [list(row) for row in change]
        for i in order:
            now = seen if choices["memory_sweep"] == "all rows at once" else change
            for j in range(len(right[0])):
                known = sum((system[i][k] * now[k][j] for k in range(len(system))), ctx.mpf(0))
                change[i][j] = now[i][j] + (right[i][j] - known) / system[i][i]
    return change


# mirror descent -------------------------------------------------------------------------------------


def mirror(ctx: Any, inputs: Values, choices: dict[str, str]) -> Values:
    """Return the weights after every step."""
    columns, path = transpose(matrix(ctx, inputs["W"])), []
    state = [_start(ctx, w, inputs, choices) for w in columns]
    for gradient, rate in zip(inputs["gradients"], inputs["rates"], strict=True):
        s = number(ctx, rate) * (-1 if choices["exponent_sign"] == "plus" else 1)
        G = transpose(matrix(ctx, gradient))
        state = [_moved(ctx, *parts, s, inputs, choices) for parts in zip(state, G, strict=True)]
        state = _normalized(ctx, state, inputs, choices)
        path.append(transpose([_weights(ctx, part, inputs, choices) for part in state]))
    return {"W_path": path}


def _start(ctx: Any, w: list[Any], inputs: Values, choices: dict[str, str]) -> list[list[Any]]:
    """Return the state of a column: w⁺ and w⁻ of EG±, w of EG, θ of the p-norm."""
    match inputs["geometry"]:
        case "eg+-":
            beta = number(ctx, inputs["beta"])
            if choices["eg_start"] == "positive and negative part":
                return [[max(u, 0) + beta / 2 for u in w], [max(-u, 0) + beta / 2 for u in w]]
            root = [ctx.sqrt(u * u + beta * beta) for u in w]
            # the product is β²/4
            return [[(q + u) / 2 for q, u in zip(root, w, strict=True)],
                    [(q - u) / 2 for q, u in zip(root, w, strict=True)]]  # fmt: skip
        case "p-norm":
            return [_link(ctx, w, _orders(ctx, inputs, choices)[0])]
    return [w]


def _orders(ctx: Any, inputs: Values, choices: dict[str, str]) -> tuple[Any, Any]:
    p = number(ctx, inputs["p"])
    q = p / (p - 1)
    return (q, p) if choices["norm_order"] == "q, p" else (p, q)


def _link(ctx: Any, a: list[Any], order: Any) -> list[Any]:
    """Return the gradient of half the squared norm of this order: sign(a)|a|^(q−1)/‖a‖^(q−2)."""
    size = sum((abs(u) ** order for u in a), ctx.mpf(0)) ** (1 / order)
    return [(1 if u > 0 else -1) * abs(u) ** (order - 1) / size ** (order - 2) for u in a]


def _moved(ctx: Any, state: list[list[Any]], g: list[Any], s: Any, inputs: Values, choices: Any) -> Any:
    if inputs["geometry"] == "p-norm":
        return [[u - s * v for u, v in zip(state[0], g, strict=True)]]
    signs = (1, 0 if choices["eg_halves"] == "the positive one" else -1)
    linear = choices["eg_factor"] == "1 - s g"
    return [
        [u * (1 - sign * s * v if linear else ctx.exp(-sign * s * v)) for u, v in zip(half, g, strict=True)]
        for half, sign in zip(state, signs, strict=False)
    ]


def _normalized(ctx: Any, state: list[Any], inputs: Values, choices: dict[str, str]) -> list[Any]:
    """Scale the weights of every unit to the sum 1, where the geometry asks for it."""
    asked, exchanged = inputs["geometry"] == "eg-normalized", choices["eg_normalized"] == "exchanged"
    if inputs["geometry"] == "p-norm" or asked == exchanged:
        return state
    sums = [sum((u for half in part for u in half), ctx.mpf(0)) for part in state]
    if choices["eg_sum"] == "over all units":
        sums = [sum(sums, ctx.mpf(0)) / len(sums)] * len(sums)
    return [[[u / total for u in half] for half in part] for part, total in zip(state, sums, strict=True)]


def _weights(ctx: Any, part: list[list[Any]], inputs: Values, choices: dict[str, str]) -> list[Any]:
    match inputs["geometry"]:
        case "eg+-":
            return [u - v for u, v in zip(*part, strict=True)]
        case "p-norm":
            return _link(ctx, part[0], _orders(ctx, inputs, choices)[1])
    return part[0]


TOPICS = {"memory": memory, "mirror": mirror}
