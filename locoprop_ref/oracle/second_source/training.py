r"""Complete training steps over several batches, which is what a port has to compute in practice.

All the choices that ports often change without notice take effect here: the state of the local optimizers
from batch to batch, the schedule, the order in which targets are corrected, and the moment of g.
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
    for number_, (x, t) in enumerate(zip(inputs["x"], inputs["t"], strict=True)):
        if state is None or choices["local_state"] == "reset":
            state = _fresh_state(ctx, net, inputs, choices)
        batch = {**inputs, "x": x, "t": t}
        r = _scheduled(ctx, batch, choices, number_)
        net = _step(ctx, net, batch, choices, state, r)
    return net


def _scheduled(ctx: Any, batch: dict[str, Any], choices: dict[str, str], t: int) -> Any:
    """Return the rate of batch t, and change its `target_step` where the schedule acts on it."""
    place, rates = choices["schedule_on"], batch["rates"]
    rate = number(ctx, rates[max(t - 1, 0) if place == "rate of the batch before" else t])
    if place in ("target step", "rate and target step"):
        batch["target_step"] = float(rates[t]) * float(batch.get("target_step", 1))
    if place == "product of the rates":
        for earlier in rates[:t]:
            rate = rate * number(ctx, earlier)
    if place in ("target step", "nothing"):
        rate = ctx.mpf(1)
    if choices["local_rate_restored"] == "no" and "num_local_steps" in batch:
        K = int(batch["num_local_steps"])
        rate = rate * local.decay(ctx, choices["local_decay"], K - 1, K) ** t
    return rate


def _fresh_state(ctx: Any, net: list[Layer], inputs: dict[str, Any], choices: dict[str, str]) -> list[Any]:
    if "optimizer" not in inputs:
        return [{} for _ in net]
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
        own = _as_logits(batch, choices) if i + 1 == len(net) else batch
        y_target = local.target(ctx, member, seen.a_hat[i], seen.g[i], own, choices)
        W = _solve(ctx, member, seen.x[i], y_target, own, choices, state[i], rate)
        moved.append(Layer(W, member.bias, member.transfer))
        if choices["target_order"] != "jacobi" and i + 1 < len(net):
            _correct_input(ctx, moved[i], net[i + 1], seen, i, choices)
    return moved


def _as_logits(batch: dict[str, Any], choices: dict[str, str]) -> dict[str, Any]:
    """Return the batch as the output layer sees it: by mistake with the method S in place of M."""
    if choices["output_layer"] == "own transfer":
        return batch
    squared = {"locoprop-m": "locoprop-s", "locoprop-m-exact": "locoprop-s-closed"}
    return {**batch, "method": squared.get(batch["method"], batch["method"])}


def _solve(
    ctx: Any, member: Layer, x: Matrix, y_target: Matrix, batch: Any, choices: Any, state: Any, rate: Any
) -> Matrix:
    p = local.problem(ctx, member, x, y_target, batch, choices)
    match batch["method"]:
        case "locoprop-s-closed":
            if choices["covariance"] == "running":
                p.past = state.get("past")
                here = product(transpose(x), x)
                state["past"] = here if p.past is None else combine(here, p.past, 1)
            return local.closed_form(p)
        case "locoprop-m-exact":
            return local.exact(p)
    return local.descend(p, state, batch, rate)


def _backprop(
    ctx: Any, member: Layer, seen: Pass, i: int, batch: Any, choices: Any, state: Any, rate: Any
) -> Layer:
    G = product(transpose(seen.x[i]), seen.g[i])
    if member.bias:
        G[-1] = local.bias_gradient(ctx, G[-1], len(seen.x[i]), choices)
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
        # as in the PyPI package, which adds 1e-5 to the norm
        size, limit = norm(ctx, delta) + ctx.mpf(1) / 100_000, ctx.sqrt(ctx.mpf(len(old[0]))) / 10
        share = min(ctx.mpf(1), limit / size)
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
