"""The package as a target of its own oracle, made of its public functions, on any array library.

This module only calls functions of the package and computes nothing itself. Variants that the package does
not offer (optax's rmsprop, a capped correction of targets) are not covered.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from locoprop_ref.backend import array_namespace, to_backend
from locoprop_ref.layers import Layer
from locoprop_ref.local import LocalProblem
from locoprop_ref.losses import matching_loss, output_loss
from locoprop_ref.methods.backprop import BackProp
from locoprop_ref.methods.locoprop import LocoProp
from locoprop_ref.network import Network, backward, forward, network_loss
from locoprop_ref.optimizers import Optimizer, optimizer
from locoprop_ref.oracle import own_family as family
from locoprop_ref.oracle import own_positions as wired
from locoprop_ref.solvers import ClosedForm, Descend, Newton, closed_form, descend, newton
from locoprop_ref.transfers import Transfer, transfer

Values = dict[str, Any]


def own_target(xp: Any = np) -> Callable[[str, dict[str, str], Values], Any]:
    """Return the package as a target that computes with the array namespace `xp`.

    >>> from locoprop_ref.oracle import cases, check
    >>> check(own_target(), cases("closed_form")).ok
    True
    """

    def run(topic: str, conventions: dict[str, str], inputs: Values) -> Any:
        if conventions.get("dialect") == "optax":
            return NotImplemented
        arrays = {k: to_backend(v, xp=xp) if isinstance(v, np.ndarray) else v for k, v in inputs.items()}
        with np.errstate(divide="ignore", over="ignore"):  # some correct results are infinite
            return _TOPICS[topic](conventions, arrays)

    return run


def _transfer(conventions: dict[str, str], inputs: Values, name: str) -> Transfer:
    if name == "leaky_relu":
        at_zero = "slope" if conventions.get("derivative_at_kink", "left") == "left" else "one"
        return transfer(name, slope=inputs["slope"], derivative_at_zero=at_zero)
    return transfer(name, alpha=inputs["alpha"]) if name == "elu" else transfer(name)


def _network(conventions: dict[str, str], inputs: Values) -> Network:
    layers = tuple(
        Layer(inputs[f"W_{m}"], inputs.get(f"b_{m}"), _transfer(conventions, inputs, name))
        for m, name in enumerate(inputs["transfers"], start=1)
    )
    return Network(layers, output_loss(inputs["output_loss"]))


def _optimizer(conventions: dict[str, str], inputs: Values) -> Optimizer:
    name, dialect = inputs["optimizer"], conventions.get("dialect")
    if name == "adagrad":
        start = inputs["initial_accumulator"] if dialect == "tf1" else None
        return optimizer(name, dialect=dialect, initial_accumulator=start, epsilon=inputs["epsilon"])
    names = {
        "momentum": ("momentum",), "nesterov": ("momentum",),
        "rmsprop": ("decay", "momentum", "epsilon"), "adam": ("beta1", "beta2", "epsilon"),
    }.get(name, ())  # fmt: skip
    extra = {"dialect": dialect} if name in ("rmsprop", "adam") else {}
    return optimizer(name, **{key: inputs[key] for key in names}, **extra)


def _settings(conventions: dict[str, str], inputs: Values) -> Values:
    """Return the arguments of `LocoProp` that the inputs and conventions determine."""
    return {
        "local_loss": "squared" if inputs["method"].startswith("locoprop-s") else "matching",
        "target_step": inputs["target_step"],
        "weight_step": inputs.get("weight_step", np.inf),
        "local_reduction": conventions.get("local_reduction", "sum"),
        "target_order": conventions.get("target_order", "jacobi"),
        "project_targets": conventions.get("project_targets", "none") == "range",
    }


def _descend(conventions: dict[str, str], inputs: Values) -> Descend:
    settings: Any = {
        "local_lr": inputs["local_lr"],
        "num_local_steps": inputs["num_local_steps"],
        "local_decay": conventions["local_decay"],
        "local_state": conventions.get("local_state", "keep"),
    }
    return Descend(_optimizer(conventions, inputs), **settings)


def _method(conventions: dict[str, str], inputs: Values) -> BackProp | LocoProp:
    match inputs["method"]:
        case "backprop":
            return BackProp(_optimizer(conventions, inputs), inputs["learning_rate"])
        case "locoprop-s-closed":
            return LocoProp(solver=ClosedForm(), **_settings(conventions, inputs))
        case "locoprop-m-exact":
            return LocoProp(solver=Newton(), **_settings(conventions, inputs))
    return LocoProp(solver=_descend(conventions, inputs), **_settings(conventions, inputs))


def _problem(conventions: dict[str, str], inputs: Values) -> tuple[Layer, LocalProblem]:
    """Return the layer that the inputs describe, and its local problem."""
    layer = Layer(inputs["W"], inputs.get("b"), _transfer(conventions, inputs, inputs["transfer"]))
    a_hat = layer.augment(inputs["x"]) @ layer.stacked
    # the problem does not depend on the solver; K steps are allowed for both S and M
    method = LocoProp(solver=Descend(), **_settings(conventions, inputs))
    return layer, method.local_problem(layer, inputs["x"], a_hat, layer.transfer.f(a_hat), inputs["g"])


def _transfers(conventions: dict[str, str], inputs: Values) -> Values:
    tr, a = _transfer(conventions, inputs, inputs["transfer"]), inputs["a"]
    return {"f": tr.f(a)} | (
        {"derivative": tr.derivative(a)} if tr.elementwise else {"vjp": tr.vjp(a, inputs["u"])}
    )


def _matching_loss(conventions: dict[str, str], inputs: Values) -> Values:
    tr = _transfer(conventions, inputs, inputs["transfer"])
    D = matching_loss(tr, inputs["a_hat"], inputs["a"])
    return {"D": array_namespace(D).sum(D, axis=-1) if tr.elementwise else D}


def _output_loss(conventions: dict[str, str], inputs: Values) -> Values:
    loss, tr = output_loss(inputs["output_loss"]), _transfer(conventions, inputs, inputs["transfer"])
    parts = (inputs["a_hat"], inputs["t"], tr)
    return {"loss": loss.value(*parts), "g": loss.g(*parts)}


def _passes(conventions: dict[str, str], inputs: Values) -> Values:
    network = _network(conventions, inputs)
    trace = forward(network, inputs["x"])
    values = {"loss": network_loss(network, inputs["x"], inputs["t"])}
    for m, (y_hat, g) in enumerate(
        zip(trace.y_hat, backward(network, trace, inputs["t"]), strict=True), start=1
    ):
        values |= {f"y_hat_{m}": y_hat, f"g_{m}": g}
    return values


def _first_step(conventions: dict[str, str], inputs: Values) -> Values:
    network = _network(conventions, inputs)
    values: Values = {}
    method = LocoProp(solver=Descend(), **_settings(conventions, inputs))
    trace = forward(network, inputs["x"])
    parts = zip(
        network.layers, trace.x, trace.a_hat, trace.y_hat, backward(network, trace, inputs["t"]), strict=True
    )
    for m, (layer, *rest) in enumerate(parts, start=1):
        problem = method.local_problem(layer, *rest)
        values |= wired.named(layer, problem.gradient(problem.W0), f"dW_{m}", f"db_{m}")
    return values


def _closed_form(conventions: dict[str, str], inputs: Values) -> Values:
    layer, problem = _problem(conventions, inputs)
    return wired.named(layer, closed_form(problem), "W", "b")


def _local_steps(conventions: dict[str, str], inputs: Values) -> Values:
    layer, problem = _problem(conventions, inputs)
    s, K = inputs["local_lr"], inputs["num_local_steps"]
    W, _ = descend(
        problem,
        _optimizer(conventions, inputs),
        local_lr=s,
        num_local_steps=K,
        local_decay=conventions["local_decay"],
    )
    return wired.named(layer, W, "W", "b")


def _exact(conventions: dict[str, str], inputs: Values) -> Values:
    layer, problem = _problem(conventions, inputs)
    return wired.named(layer, newton(problem)[0], "W", "b")


def _optimizer_steps(conventions: dict[str, str], inputs: Values) -> Values:
    rule, W = _optimizer(conventions, inputs), inputs["W"]
    state, path = rule.init(W), []
    for k, rate in enumerate(np.asarray(inputs["rates"]).tolist()):
        change, state = rule.update(inputs["gradients"][k, ...], state, rate)
        W = W - change
        path.append(W)
    return {"W_path": array_namespace(W).stack(path)}


def _training(conventions: dict[str, str], inputs: Values) -> Values:
    return wired.train(_method(conventions, inputs), _network(conventions, inputs), inputs)


def _wired_local(conventions: dict[str, str], inputs: Values) -> Values:
    # the problem does not depend on the solver
    return wired.local_problems(LocoProp(solver=Descend(), **_settings(conventions, inputs)), inputs)


def _wired_training(conventions: dict[str, str], inputs: Values) -> Values:
    return wired.train(_method(conventions, inputs), wired.network(inputs), inputs)


_TOPICS: dict[str, Callable[[dict[str, str], Values], Values]] = {
    "transfer": _transfers,
    "integral": lambda c, i: {"F": _transfer(c, i, i["transfer"]).F(i["a"])},
    "inverse": lambda c, i: {"inverse": _transfer(c, i, i["transfer"]).inverse(i["y"])},
    "conjugate": lambda c, i: {"F_star": _transfer(c, i, i["transfer"]).F_star(i["y"])},
    "matching_loss": _matching_loss,
    "output_loss": _output_loss,
    "network": _passes,
    "target": lambda c, i: {"y_target": _problem(c, i)[1].y_target},
    "first_step": _first_step,
    "closed_form": _closed_form,
    "local_steps": _local_steps,
    "exact": _exact,
    "optimizer": _optimizer_steps,
    "training": _training,
    "rows": wired.rows,
    "adjoint": wired.adjoint,
    "pooling": wired.pooling,
    "convolution": wired.passes,
    "convolution_local": _wired_local,
    "convolution_training": _wired_training,
    "recurrence": wired.passes,
    "recurrence_local": _wired_local,
    "recurrence_training": _wired_training,
    "codes": family.codes,
    "memory": family.memory,
    "inverse_target": family.inverse_target,
    "kronecker_target": family.kronecker_target,
    "gauss_newton_target": family.gauss_newton_target,
    "mirror": family.mirror,
    "admm": family.admm,
}
