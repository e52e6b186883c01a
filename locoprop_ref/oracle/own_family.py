"""The package as a target of the topics of LocoProp's relatives; see `own.py`."""

from typing import Any

import numpy as np

from locoprop_ref.backend import array_namespace
from locoprop_ref.code_targets import CodeTargets
from locoprop_ref.gauss_newton_targets import GaussNewtonTargets
from locoprop_ref.inverse_targets import InverseTargets
from locoprop_ref.layers import Layer
from locoprop_ref.local import LocalProblem
from locoprop_ref.losses import output_loss
from locoprop_ref.memory import Memory
from locoprop_ref.methods.admm import activation_block, hidden_block, last_block, multiplier_update
from locoprop_ref.methods.kronecker_targets import KroneckerTargets
from locoprop_ref.methods.locoprop import LOCAL_LOSSES
from locoprop_ref.methods.offline import fitted
from locoprop_ref.mirror import MirrorDescent
from locoprop_ref.network import Network, forward
from locoprop_ref.optimizers import SGD
from locoprop_ref.oracle.own_positions import named
from locoprop_ref.targets import Targets
from locoprop_ref.transfers import transfer

Values = dict[str, Any]


def _network(inputs: Values) -> Network:
    layers = tuple(
        Layer(inputs[f"W_{m}"], inputs.get(f"b_{m}"), transfer(name))
        for m, name in enumerate(inputs["transfers"], start=1)
    )
    return Network(layers, output_loss(inputs["output_loss"]))


def codes(conventions: dict[str, str], inputs: Values) -> Values:
    """Return the codes of the last batch, and the local gradients that follow from them."""
    rule = CodeTargets(
        code_steps=inputs["num_code_steps"],
        code_lr=inputs["code_lr"],
        coupling=inputs["coupling"],
        momentum=inputs["momentum"],
        anchor=inputs["anchor"],
        reduction=conventions["code_reduction"],  # type: ignore[arg-type]
        inputs=conventions["code_inputs"],  # type: ignore[arg-type]
    )
    net = _network(inputs)
    for k in range(inputs["x"].shape[0]):  # the codes of a batch depend on nothing before it
        x, t = inputs["x"][k, ...], inputs["t"][k, ...]
        trace = forward(net, x)
        found = rule.codes(net, trace, t)
        targets, _ = rule(net, trace, t, LOCAL_LOSSES["squared"], rule.init(net))
    values: Values = {f"code_{m}": code for m, code in enumerate(found, start=1)}
    for m, (layer, target) in enumerate(zip(net.layers, targets, strict=True), start=1):
        problem = LocalProblem(
            layer.augment(target.x),
            target.y_target,
            target.transfer,
            layer.stacked,
            loss_weight=target.loss_weight,
        )
        values |= named(layer, problem.gradient(problem.W0), f"dW_{m}", f"db_{m}")
    return values


def memory(conventions: dict[str, str], inputs: Values) -> Values:
    """Return W and b after all batches."""
    ridge: Any = conventions["memory_ridge"]
    solver = Memory(inputs["decay"], inputs.get("num_sweeps"), ridge)
    layer = Layer(inputs["W"], inputs["b"], transfer("identity"))
    state = solver.init(layer.stacked)
    for k in range(inputs["x"].shape[0]):
        x, y_target = layer.augment(inputs["x"][k, ...]), inputs["y_target"][k, ...]
        problem = LocalProblem(x, y_target, layer.transfer, layer.stacked, inputs["weight_step"])
        W, state, _ = solver(problem, state, 1.0)
        layer = layer.with_stacked(W)
    return named(layer, layer.stacked, "W", "b")


def _targets(rule: Targets, state: Values, loss: str, inputs: Values) -> Values:
    net = _network(inputs)
    trace = forward(net, inputs["x"])
    targets, _ = rule(net, trace, inputs["t"], LOCAL_LOSSES[loss], state or rule.init(net))
    return {f"y_target_{m}": target.y_target for m, target in enumerate(targets, start=1)}


def _loss(inputs: Values) -> str:
    return "squared" if inputs["method"] == "locoprop-s" else "matching"


def inverse_target(conventions: dict[str, str], inputs: Values) -> Values:
    """Return y* of every layer by target propagation with given inverses."""
    start: Any = conventions["start"]
    correction: Any = conventions["correction"]
    settings: Values = {"step": inputs["target_step"], "correction": correction, "start": start}
    rule = InverseTargets(**settings, optimizer=SGD())
    count = len(inputs["transfers"]) if start == "output" else len(inputs["transfers"]) - 1
    inverses = [Layer(inputs[f"V_{m}"], inputs[f"c_{m}"], transfer("identity")) for m in range(2, count + 1)]
    kept = tuple({"W": psi.stacked, "optimizer": rule.optimizer.init(psi.stacked)} for psi in inverses)
    return _targets(rule, {"step": 0, "seed": 0, "inverses": kept}, "matching", inputs)


def kronecker_target(conventions: dict[str, str], inputs: Values) -> Values:
    """Return y* of every layer by K-FAC's rule."""
    rule = KroneckerTargets(step=inputs["target_step"], damping=inputs["damping"])
    return _targets(rule, {}, _loss(inputs), inputs)


def gauss_newton_target(conventions: dict[str, str], inputs: Values) -> Values:
    """Return y* of every layer by Gauss–Newton's rule."""
    rule = GaussNewtonTargets(step=inputs["target_step"], tau=inputs["tau"])
    return _targets(rule, {}, _loss(inputs), inputs)


def mirror(conventions: dict[str, str], inputs: Values) -> Values:
    """Return the weights after every step of mirror descent."""
    rule = MirrorDescent(
        inputs["geometry"], **{name: inputs[name] for name in ("beta", "p") if name in inputs}
    )
    W, path = inputs["W"], []
    state = rule.init(W)
    for k, rate in enumerate(np.asarray(inputs["rates"]).tolist()):
        change, state = rule.update(inputs["gradients"][k, ...], state, rate)
        W = W - change
        path.append(W)
    return {"W_path": array_namespace(W).stack(path)}


def admm(conventions: dict[str, str], i: Values) -> Values:
    """Return the value of one block of ADMM."""
    relu = transfer("relu")
    match i["block"]:
        case "weights":
            xp, width = array_namespace(i["z"]), (i["a"].shape[1], i["z"].shape[1])
            zeros = xp.zeros(width, dtype=i["z"].dtype)
            layer = fitted(Layer(zeros, zeros[0, :], relu), i["a"], i["z"])
            return {"W": layer.W, "b": layer.b}
        case "activation":
            upper, rest = Layer(i["W"], i["b"], relu), (i["activation_penalty"], i["penalty"])
            return {"a": activation_block(upper, i["z"], i["z_above"], *rest)}
        case "hidden":
            return {"z": hidden_block(i["a"], i["prediction"], i["activation_penalty"], i["penalty"])}
        case "multiplier":
            step = i["multiplier_step"] * i["penalty"]
            return {"multiplier": multiplier_update(i["multiplier"], i["z"], i["prediction"], step)}
    loss: Any = i["block"].removeprefix("output ")
    return {"z": last_block(i["prediction"], i["t"], i["multiplier"], i["penalty"], loss)}
