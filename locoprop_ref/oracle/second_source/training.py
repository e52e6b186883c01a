r"""Complete training steps over several batches, which is what a port has to compute in practice.

All the choices that ports often change without notice take effect here: the state of the local optimizers
    from
batch to batch, the schedule, the order in which targets are corrected, and the moment at which g is computed.
"""

from typing import Any

from locoprop_ref.oracle.second_source import local
from locoprop_ref.oracle.second_source import network as networks
from locoprop_ref.oracle.second_source import optimizer as optimizers
from locoprop_ref.oracle.second_source.network import Layer, Pass
from locoprop_ref.oracle.second_source.numbers import Matrix, combine, norm, number, product, transpose


def train(ctx: Any, inputs: dict[str, Any], choices: dict[str, str]) -> list[Layer]:
    """Return the layers after one step per batch; `x` and `t` are lists of batches."""
    net = networks.layers(ctx, inputs, choices)
    state = None
    for x, t, rate in zip(inputs["x"], inputs["t"], inputs["rates"], strict=True):
        if state is None or choices["local_state"] == "reset":
            state = _fresh_state(ctx, net, inputs, choices)
        batch = {**inputs, "x": x, "t": t}
        r = number(ctx, rate)
        if choices["schedule_on"] == "target step":
            batch["target_step"], r = float(rate) * float(inputs.get("target_step", 1)), ctx.mpf(1)
        net = _step(ctx, net, batch, choices, state, r)
    return net


def _fresh_state(ctx: Any, net: list[Layer], inputs: dict[str, Any], choices: dict[str, str]) -> list[Any]:
    if "optimizer" not in inputs:
        return [None] * len(net)
    return [optimizers.for_matrix(ctx, len(m.W), len(m.W[0]), inputs, choices) for m in net]


def _step(
    ctx: Any, net: list[Layer], batch: dict[str, Any], choices: dict[str, str], state: list[Any], rate: Any
) -> list[Layer]:
    seen = networks.full_pass(ctx, net, batch, choices)
    if batch["method"] == "backprop":
        return [_backprop(ctx, m, seen, i, batch, choices, state, rate) for i, m in enumerate(net)]
    if choices["upper_weights"] == "moved before g":
        return _from_the_top(ctx, net, seen, batch, choices, state, rate)
    moved = []
    for i, member in enumerate(net):
        y_target = local.target(ctx, member, seen.a_hat[i], seen.g[i], batch, choices)
        W = _solve(ctx, member, seen.x[i], y_target, batch, choices, state[i], rate)
        moved.append(Layer(W, member.bias, member.transfer))
        if choices["target_order"] != "jacobi" and i + 1 < len(net):
            _correct_input(ctx, moved[i], net[i + 1], seen, i, choices)
    return moved


def _solve(
    ctx: Any, member: Layer, x: Matrix, y_target: Matrix, batch: Any, choices: Any, state: Any, rate: Any
) -> Matrix:
    p = local.problem(ctx, member, x, y_target, batch, choices)
    match batch["method"]:
        case "locoprop-s-closed":
            return local.closed_form(p)
        case "locoprop-m-exact":
            return local.exact(p)
    return local.descend(p, state, batch, rate)


def _backprop(
    ctx: Any, member: Layer, seen: Pass, i: int, batch: Any, choices: Any, state: Any, rate: Any
) -> Layer:
    G = product(transpose(seen.x[i]), seen.g[i])
    if member.bias and choices["bias"] != "included":
        G[-1] = [0 * u for u in G[-1]]
    learning_rate = number(ctx, batch["learning_rate"]) * rate
    return Layer(optimizers.updated(member.W, G, state[i], learning_rate), member.bias, member.transfer)


def _correct_input(ctx: Any, moved: Layer, above: Layer, seen: Pass, i: int, choices: dict[str, str]) -> None:
    """Move the input of the layer above towards its new value, and recompute its â but not its g."""
    has_one = above.bias
    old = [row[:-1] if has_one else row for row in seen.x[i + 1]]
    new = [moved.transfer.f(row) for row in product(seen.x[i], moved.W)]
    delta = combine(new, old, -1)
    share = ctx.mpf(1)
    if choices["target_order"] == "gauss-seidel with cap":
        size, limit = norm(ctx, delta), ctx.sqrt(len(old[0])) / 10
        share = min(ctx.mpf(1), limit / size) if size > 0 else share
    seen.x[i + 1] = networks.with_ones(ctx, combine(old, delta, share), has_one)
    seen.a_hat[i + 1] = product(seen.x[i + 1], above.W)


def _from_the_top(
    ctx: Any, net: list[Layer], seen: Pass, batch: Any, choices: Any, state: Any, rate: Any
) -> list[Layer]:
    """Update the layers from the last to the first, and compute each g with the updated weights above."""
    moved, g = list(net), seen.g[-1]
    for i in reversed(range(len(net))):
        if i + 1 < len(net):
            g = networks.step_down(net[i], moved[i + 1], seen.a_hat[i], g, choices)
        y_target = local.target(ctx, net[i], seen.a_hat[i], g, batch, choices)
        W = _solve(ctx, net[i], seen.x[i], y_target, batch, choices, state[i], rate)
        moved[i] = Layer(W, net[i].bias, net[i].transfer)
    return moved
