r"""The local problem of one layer, from its definition:

    min_W̃  Σ_rows F(X̃W̃) − y*·X̃W̃  +  (1/2η)‖W̃ − W̃₀‖²

and its three solvers: the closed form for S (normal equations), K steps of an optimizer, and the exact
minimum for M (damped Newton, one output unit after the other, to the precision of the context).
"""

from dataclasses import dataclass
from typing import Any

from locoprop_ref.oracle.second_source import optimizer as optimizers
from locoprop_ref.oracle.second_source.network import Layer
from locoprop_ref.oracle.second_source.numbers import (
    Inapplicable,
    Matrix,
    combine,
    dot,
    number,
    product,
    scaled,
    solve,
    transpose,
)
from locoprop_ref.oracle.second_source.transfer import Transfer


@dataclass
class Problem:
    """X̃, y*, the local transfer (the identity for S), the initial W̃₀, and the settings of the regularizer."""

    ctx: Any
    x: Matrix
    y_target: Matrix
    transfer: Transfer
    W0: Matrix
    bias: bool
    weight_step: Any
    choices: dict[str, str]
    squared: bool  # the local loss of S
    examples: int | None = None  # where the rows are more than the examples
    past: Matrix | None = None  # Σ X̃ᵀX̃ of the batches before, where it is kept

    @property
    def anchor(self) -> Matrix:
        """What the regularizer pulls to: W̃₀, or 0 for weight decay."""
        decay = self.choices["proximal"] == "weight decay"
        return scaled(self.W0, 0) if decay else self.W0


def target(
    ctx: Any, member: Layer, a_hat: Matrix, g: Matrix, inputs: dict[str, Any], choices: dict[str, str]
) -> Matrix:
    """Return y* of a layer: the pre-activation â − γg for S, the post-activation f(â) − γg for M."""
    squared = is_squared(inputs, choices)
    step = number(ctx, inputs["target_step"])
    if choices["target_step_used"] == "twice":
        step = step * step
    if choices["target_sign"] == "plus":
        step = -step
    rows = []
    for a, g_row in zip(a_hat, g, strict=True):
        pushed = not squared and choices["matching_target"] == "through f"
        from_a_hat = pushed or (squared and choices["squared_target_base"] == "a_hat")
        base = a if from_a_hat else member.transfer.f(a)
        row = [v - step * u for v, u in zip(base, g_row, strict=True)]
        if pushed:
            row = member.transfer.f(row)
        rows.append(row if squared else _projected(ctx, member.transfer, row, choices))
    return rows


def is_squared(inputs: dict[str, Any], choices: dict[str, str]) -> bool:
    """Return whether the local problem is that of S."""
    method = inputs["method"]
    squared = bool(method.startswith("locoprop-s"))
    exchanged = choices["method_used"] == "exchanged" and method in ("locoprop-s", "locoprop-m")
    return squared != exchanged


def _projected(ctx: Any, transfer: Transfer, row: list[Any], choices: dict[str, str]) -> list[Any]:
    match choices["project_targets"]:
        case "range":
            return transfer.project(row)
        case "clipped":
            if transfer.name != "softmax":
                raise Inapplicable("elsewhere clipping is projection")
            return [min(max(y, ctx.mpf(0)), ctx.mpf(1)) for y in row]
    return row


def problem(
    ctx: Any, member: Layer, x: Matrix, y_target: Matrix, inputs: dict[str, Any], choices: dict[str, str]
) -> Problem:
    """Assemble the local problem of a layer from its target and its input X̃."""
    local = Transfer(ctx, "identity", choices) if is_squared(inputs, choices) else member.transfer
    if local.name == "tanh" and choices["tanh_integral"] == "of sigmoid":
        local = Transfer(ctx, "sigmoid", choices)
    eta = number(ctx, inputs.get("weight_step", "inf"))
    match choices["proximal"]:
        case "ignored":
            eta = ctx.inf
        case "twice":
            eta = eta / 2
        case "half":
            eta = eta * 2
        case "one where none" if eta == ctx.inf:
            eta = ctx.mpf(1)
    if choices["ridge"] == "weight_step" and eta != ctx.inf:
        eta = 1 / eta
    squared = is_squared(inputs, choices)
    return Problem(ctx, x, y_target, local, member.W, member.bias, eta, choices, squared)


def _loss_factor(p: Problem) -> Any:
    """Return what the sum over the rows is multiplied by."""
    elements = len(p.x) * len(p.y_target[0])
    counts = {"sum": 1, "mean": p.examples or len(p.x), "element mean": elements}
    factor, count = p.ctx.mpf(1), counts[p.choices["local_reduction"]]
    if p.squared and p.choices["local_squared"] != "half":
        factor = p.ctx.mpf(2)
        count = elements if p.choices["local_squared"] == "mean square" else count
    return factor / count


def gradient(p: Problem, W: Matrix) -> Matrix:
    """Return X̃ᵀ(f(X̃W̃) − y*) + (W̃ − W̃₀)/η."""
    residuals = []
    for a, y in zip(product(p.x, W), p.y_target, strict=True):
        row = [u - v for u, v in zip(p.transfer.f(a), y, strict=True)]
        residuals.append(p.transfer.vjp(a, row) if p.choices["local_derivative"] == "applied" else row)
    G = scaled(product(transpose(p.x), residuals), _loss_factor(p))
    if p.weight_step != p.ctx.inf:
        pull = scaled(combine(W, p.anchor, -1), 1 / p.weight_step)
        if p.bias and p.choices["proximal"] == "without bias":
            pull[-1] = [0 * u for u in pull[-1]]
        G = combine(G, pull, 1)
    if p.bias:
        G[-1] = bias_gradient(p.ctx, G[-1], p.examples or len(p.x), p.choices)
    return G


def bias_gradient(ctx: Any, row: list[Any], examples: int, choices: dict[str, str]) -> list[Any]:
    """Return the gradient of the bias as the choices have it."""
    factor = {"included": 1, "doubled": 2, "averaged": ctx.mpf(1) / examples}.get(choices["bias"], 0)
    return [factor * u for u in row]


def descend(p: Problem, state: Any, inputs: dict[str, Any], rate: Any) -> Matrix:
    """Return W̃ after K steps of the local optimizer, and update the state of the optimizer."""
    W, K = p.W0, int(inputs["num_local_steps"])
    s = number(p.ctx, inputs["local_lr"]) * rate
    frozen = p.choices["local_gradient"] == "frozen"
    for k in range(K + {"K": 0, "K + 1": 1, "K - 1": -1}[p.choices["local_step_count"]]):
        G = gradient(p, p.W0 if frozen else W)
        W = optimizers.updated(W, G, state, s * decay(p.ctx, p.choices["local_decay"], k, K))
    return W


def decay(ctx: Any, name: str, k: int, K: int) -> Any:
    """Return the factor of the local rate in step k."""
    match name:
        case "authors by K - 1":
            return max(1 - ctx.mpf(k) / max(K - 1, 1), ctx.mpf(1) / 4)
        case "authors":  # max(1 − k/K, 0.25), k = 0..K−1
            return max(1 - ctx.mpf(k) / K, ctx.mpf(1) / 4)
        case "authors without floor":
            return 1 - ctx.mpf(k) / K
        case "authors with floor 0.1":
            return max(1 - ctx.mpf(k) / K, ctx.mpf(1) / 10)
        case "authors with floor 0.5":
            return max(1 - ctx.mpf(k) / K, ctx.mpf(1) / 2)
        case "authors from one":
            return max(1 - ctx.mpf(k + 1) / K, ctx.mpf(1) / 4)
    return ctx.mpf(1)


def closed_form(p: Problem) -> Matrix:
    """Return the minimum for S: W̃₀ − (X̃ᵀX̃ + I/η)⁻¹ X̃ᵀ(X̃W̃₀ − y*), at η = ∞ with the smallest change."""
    if p.choices["bias"] in ("doubled", "averaged"):
        raise Inapplicable("a closed form has no gradient of the bias")
    if p.choices["local_squared"] == "whole":
        raise Inapplicable("in closed form it is half of the regularizer")
    residual = combine(product(p.x, p.W0), p.y_target, -1)
    frozen = p.bias and p.choices["bias"] == "left out"
    x = [row[:-1] for row in p.x] if frozen else p.x
    weight = _loss_factor(p)
    if p.weight_step == p.ctx.inf and len(x) < len(x[0]):
        change = product(transpose(x), solve(p.ctx, product(x, transpose(x)), residual))
    elif p.choices["ridge"] == "weight_step in the dual" and len(x) < len(x[0]):
        H = scaled(product(x, transpose(x)), weight)
        H = [[h + (p.weight_step if i == j else 0) for j, h in enumerate(row)] for i, row in enumerate(H)]
        change = product(transpose(x), solve(p.ctx, H, scaled(residual, weight)))
    else:
        change = _primal(p, x, residual, weight, frozen)
    if frozen:
        change = [*change, [0 * u for u in p.W0[-1]]]
    if p.bias and p.choices["bias"] == "not applied":
        change[-1] = [0 * u for u in change[-1]]
    return combine(p.W0, change, -1)


def _primal(p: Problem, x: Matrix, residual: Matrix, weight: Any, frozen: bool) -> Matrix:
    H = product(transpose(x), x)
    if p.past is not None and not frozen:
        H = combine(H, p.past, 1)
    H = _plus_proximal(p, scaled(H, weight), p.bias and not frozen)
    right = scaled(product(transpose(x), residual), weight)
    if p.choices["proximal"] == "weight decay" and p.weight_step != p.ctx.inf:
        right = combine(right, p.W0[: len(right)], 1 / p.weight_step)
    return solve(p.ctx, H, right)


def _plus_proximal(p: Problem, H: Matrix, bias: bool) -> Matrix:
    if p.weight_step == p.ctx.inf:
        return H
    skip = len(H) - 1 if bias and p.choices["proximal"] == "without bias" else None
    return [
        [h + (1 / p.weight_step if i == j and i != skip else 0) for j, h in enumerate(row)]
        for i, row in enumerate(H)
    ]


def exact(p: Problem) -> Matrix:
    """Return the minimum for M, computed separately for each output unit (column of W̃)."""
    if p.transfer.name == "softmax":
        raise Inapplicable("softmax does not split into output units")
    if p.weight_step == p.ctx.inf:
        raise Inapplicable("without a proximal term the minimum need not exist")
    if p.choices["proximal"] == "without bias" or p.choices["local_derivative"] == "applied":
        raise Inapplicable("not a strongly convex problem")
    if p.choices["bias"] in ("doubled", "averaged"):
        raise Inapplicable("an exact solution has no gradient of the bias")
    columns = [
        _newton(p, list(w0), list(anchor), [row[j] for row in p.y_target])
        for j, (w0, anchor) in enumerate(zip(transpose(p.W0), transpose(p.anchor), strict=True))
    ]
    return transpose(columns)


def _newton(p: Problem, w0: list[Any], anchor: list[Any], y: list[Any]) -> list[Any]:
    ctx, weight = p.ctx, _loss_factor(p)
    free = len(w0) - (1 if p.bias and p.choices["bias"] != "included" else 0)

    def value(w: list[Any]) -> Any:
        a = [dot(x, w) for x in p.x]
        fit = sum((F - a_i * y_i for F, a_i, y_i in zip(p.transfer.F(a), a, y, strict=True)), ctx.mpf(0))
        return weight * fit + sum(((u - v) ** 2 for u, v in zip(w, anchor, strict=True)), ctx.mpf(0)) / (
            2 * p.weight_step
        )

    w = list(w0)
    for _ in range(200):
        a = [dot(x, w) for x in p.x]
        residual = [u - v for u, v in zip(p.transfer.f(a), y, strict=True)]
        G = [
            weight * dot(residual, [x[i] for x in p.x]) + (w[i] - anchor[i]) / p.weight_step
            for i in range(free)
        ]
        slope = [p.transfer.derivative(a_i) for a_i in a]
        H = [
            [
                weight * sum((x[i] * d * x[j] for x, d in zip(p.x, slope, strict=True)), ctx.mpf(0))
                + (1 / p.weight_step if i == j else 0)
                for j in range(free)
            ]
            for i in range(free)
        ]
        step = [row[0] for row in solve(ctx, H, [[u] for u in G])]
        moved, length = _line_search(w, step, G, value, ctx)
        size = max(abs(u) for u in step) * length
        w = moved
        if size <= 64 * ctx.eps * (1 + max(abs(u) for u in w)):
            break
    return w


def _line_search(w: list[Any], step: list[Any], G: list[Any], value: Any, ctx: Any) -> tuple[list[Any], Any]:
    """Halve the Newton step until the value decreases by a tenth of what the slope predicts."""
    here, promise = value(w), dot(G, step)
    length = ctx.mpf(1)
    noise = 64 * ctx.eps * (1 + abs(here))
    for _ in range(60):
        moved = [u - length * v for u, v in zip(w, step, strict=False)] + w[len(step) :]
        if value(moved) <= here - length * promise / 10 + noise:
            return moved, length
        length = length / 2
    return w, ctx.mpf(0)
