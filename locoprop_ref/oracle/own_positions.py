"""The package as a target of the topics of layers with positions or steps; see `own.py`."""

from typing import Any

import numpy as np

from locoprop_ref.backend import array_namespace
from locoprop_ref.layers import Layer
from locoprop_ref.losses import output_loss
from locoprop_ref.network import Network, backward, forward, gradients, network_loss
from locoprop_ref.transfers import transfer
from locoprop_ref.wirings import (
    Wiring,
    above,
    every_step,
    flatten,
    last_step,
    patches,
    pool,
    steps,
)

Values = dict[str, Any]

_RECURRENT = ("steps", "every step")


def _part(stage: Values, shape: tuple[int, ...]) -> Wiring:
    """Return the wiring of one stage, on an example of this shape."""
    match stage["stage"]:
        case "patches":
            return patches(shape, stage["size"], stage["stride"], stage["padding"])
        case "mean" | "max":
            return pool(shape, stage["size"], stage["stage"], stage["stride"])
    makers = {"flatten": flatten, "steps": steps, "every step": every_step, "last step": last_step}
    return makers[stage["stage"]](shape)


def wiring(stages: list[Values], shape: tuple[int, ...], positions: int = 1) -> Wiring:
    """Return the wiring that the stages make on an example of this shape, above a layer with positions."""
    whole = _part(stages[0], shape)
    for stage in stages[1:]:
        whole = whole.then(_part(stage, whole.shape))
    return above(whole, positions)


def network(inputs: Values) -> Network:
    """Return the network that the inputs describe."""
    layers: list[Layer] = []
    shape, positions = tuple(inputs["shape"]), 1
    for m, (name, stages) in enumerate(zip(inputs["transfers"], inputs["wirings"], strict=True), start=1):
        read = wiring(stages, shape, positions)
        recurrent = stages[-1]["stage"] in _RECURRENT
        W, state = inputs[f"W_{m}"], inputs.get(f"h0_{m}")
        layers.append(Layer(W, inputs.get(f"b_{m}"), transfer(name), read, recurrent, state))
        shape, positions = (W.shape[1], *read.shape[1:]), read.positions
    return Network(tuple(layers), output_loss(inputs["output_loss"]))


def rows(conventions: dict[str, str], inputs: Values) -> Values:
    """Return the rows, with the input of the bias where the inputs ask for it."""
    read = wiring(inputs["wiring"], tuple(inputs["shape"]))
    xp = array_namespace(inputs["y"])
    dtype = inputs["y"].dtype
    W = xp.zeros((read.width, 1), dtype=dtype)
    b = xp.zeros(1, dtype=dtype) if "bias" in inputs else None
    layer = Layer(W, b, transfer("identity"), read)
    return {"x": layer.augment(layer.rows(inputs["y"]))}


def adjoint(conventions: dict[str, str], inputs: Values) -> Values:
    """Return what the rows pull back."""
    return {"dy": wiring(inputs["wiring"], tuple(inputs["shape"])).pull_back(inputs["u"])}


def pooling(conventions: dict[str, str], inputs: Values) -> Values:
    """Return the pooled windows as flat examples, and the derivative."""
    read = wiring([*inputs["wiring"], {"stage": "flatten"}], tuple(inputs["shape"]))
    return {"pooled": read.rows(inputs["y"]), "dy": read.pull_back(inputs["u"], inputs["y"])}


def passes(conventions: dict[str, str], inputs: Values) -> Values:
    """Return the loss, and ŷ, g and ∂L/∂W of every layer."""
    net = network(inputs)
    trace = forward(net, inputs["x"])
    values: Values = {"loss": network_loss(net, inputs["x"], inputs["t"])}
    parts = zip(
        net.layers, trace.y_hat, backward(net, trace, inputs["t"]),
        gradients(net, inputs["x"], inputs["t"]), strict=True,
    )  # fmt: skip
    for m, (layer, y_hat, g, G) in enumerate(parts, start=1):
        values |= {f"y_hat_{m}": y_hat, f"g_{m}": g, **named(layer, G, f"dW_{m}", f"db_{m}")}
    return values


def local_problems(method: Any, inputs: Values) -> Values:
    """Return the targets of a method, and its first local gradients."""
    net, values = network(inputs), {}
    trace = forward(net, inputs["x"])
    parts = zip(net.layers, trace.x, trace.a_hat, trace.y_hat, backward(net, trace, inputs["t"]), strict=True)
    for m, (layer, *rest) in enumerate(parts, start=1):
        problem = method.local_problem(layer, *rest)
        values[f"y_target_{m}"] = problem.y_target
        values |= named(layer, problem.gradient(problem.W0), f"dW_{m}", f"db_{m}")
    return values


def train(method: Any, net: Network, inputs: Values) -> Values:
    """Return the weights of a network after one step of a method for every batch."""
    values: Values = {}
    state = method.init(net, 0)
    for k, rate in enumerate(np.asarray(inputs["rates"]).tolist()):
        net, state, _ = method.step(net, state, inputs["x"][k, ...], inputs["t"][k, ...], rate=rate)
    for m, layer in enumerate(net.layers, start=1):
        values |= named(layer, layer.stacked, f"W_{m}", f"b_{m}")
    return values


def named(layer: Layer, W: Any, W_name: str, b_name: str) -> Values:
    """Return W̃ as W and b with their names."""
    solved = layer.with_stacked(W)
    return {W_name: solved.W} | ({} if solved.b is None else {b_name: solved.b})
