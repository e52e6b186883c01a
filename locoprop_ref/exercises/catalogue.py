"""The exercises, in the order in which they are meant to be done.

Every exercise asks for one function of NumPy arrays. Its marking calls the function inside the oracle's
target, and does the rest, such as the forward pass, with the package.
"""

from typing import Any

import numpy as np

from locoprop_ref.exercises.exercise import Answer, Exercise, Refused
from locoprop_ref.exercises.further import arguments_stay, elements_of_relu, solves_a_system
from locoprop_ref.layers import Layer
from locoprop_ref.losses import output_loss
from locoprop_ref.network import Network, Trace, backward, forward
from locoprop_ref.oracle.vectors import Case
from locoprop_ref.transfers import transfer

Inputs = dict[str, Any]


def _is(case: Case, **wanted: Any) -> bool:
    """Whether a case has these inputs and stands in a group with these conventions."""
    has = {**case.conventions, **case.inputs}
    return all(has.get(name) == value for name, value in wanted.items())


# what is asked ------------------------------------------------------------------------------------


def _divergence(answer: Answer, inputs: Inputs) -> Inputs:
    D, wanted = np.asarray(answer(inputs["a_hat"], inputs["a"])), inputs["a_hat"].shape
    if D.shape != wanted:
        raise Refused(
            f"your function must return one number for every element: for arrays of the shape {wanted} it "
            f"returned one of the shape {D.shape}."
        )
    return {"D": np.sum(D, axis=-1)}


def _relu_of_squares(a_hat: Any, a: Any) -> Any:
    return (np.maximum(a_hat, 0) - np.maximum(a, 0)) ** 2 / 2


def _absent_constant(a_hat: Any, a: Any) -> Any:
    return np.maximum(a_hat, 0) ** 2 / 2 - np.maximum(a, 0) * a_hat


def _passed(inputs: Inputs) -> tuple[Network, Trace, tuple[Any, ...]]:
    """Return the network of two layers of a case, its forward pass and its g."""
    below, above = (transfer(name) for name in inputs["transfers"])
    layers = (Layer(inputs["W_1"], inputs["b_1"], below), Layer(inputs["W_2"], inputs["b_2"], above))
    network = Network(layers, output_loss(inputs["output_loss"]))
    trace = forward(network, inputs["x"])
    return network, trace, backward(network, trace, inputs["t"])


def _backward(answer: Answer, inputs: Inputs) -> Inputs:
    network, trace, g = _passed(inputs)
    loss = network.loss.value(trace.a_hat[1], inputs["t"], network.layers[1].transfer)
    said = {"y_hat_1": trace.y_hat[0], "y_hat_2": trace.y_hat[1]}
    return {"loss": loss, **said, "g_1": answer(g[1], inputs["W_2"], trace.a_hat[0]), "g_2": g[1]}


def _slope_of_output(g_above: Any, W_above: Any, a_hat: Any) -> Any:
    return (g_above @ W_above.T) * (1 - np.tanh(np.tanh(a_hat)) ** 2)


def _slope_without_square(g_above: Any, W_above: Any, a_hat: Any) -> Any:
    return (g_above @ W_above.T) * (1 - np.tanh(a_hat))


def _slope_of_given(g_above: Any, W_above: Any, a_hat: Any) -> Any:
    return (g_above @ W_above.T) * (1 - a_hat**2)


def _mean_once_more(g_above: Any, W_above: Any, a_hat: Any) -> Any:
    return (g_above @ W_above.T) * (1 - np.tanh(a_hat) ** 2) / len(g_above)


def _target(answer: Answer, inputs: Inputs) -> Inputs:
    return {"y_target": answer(*(inputs[name] for name in ("x", "W", "b", "g", "target_step")))}


def _slope_in_target(x: Any, W: Any, b: Any, g: Any, target_step: float) -> Any:
    y_hat = np.tanh(x @ W + b)
    return y_hat - target_step * g * (1 - y_hat**2)


def _slope_out_of_target(x: Any, W: Any, b: Any, g: Any, target_step: float) -> Any:
    y_hat = np.tanh(x @ W + b)
    return y_hat - target_step * g / (1 - y_hat**2)


def _own_target(answer: Answer, inputs: Inputs) -> Inputs:
    _, trace, g = _passed(inputs)
    steps = inputs["target_step"], inputs["damping"]
    return {f"y_target_{m + 1}": answer(trace.a_hat[m], g[m], *steps) for m in (0, 1)}


def _weights(*names: str) -> Any:
    """Return what asks for (W, b), given x, W, b, g, γ and further inputs by name."""

    def ask(answer: Answer, inputs: Inputs) -> Inputs:
        result = answer(*(inputs[name] for name in ("x", "W", "b", "g", "target_step", *names)))
        if not isinstance(result, tuple | list) or len(result) != 2:
            got = f"{len(result)} things" if isinstance(result, tuple | list) else "a single one"
            raise Refused(f"your function must return two arrays, as `return W, b` does; it returned {got}.")
        return dict(zip(("W", "b"), result, strict=True))

    return ask


def _units(answer: Answer, inputs: Inputs) -> Inputs:
    x = np.concatenate([inputs["x"], np.ones((len(inputs["x"]), 1))], axis=1)
    W0 = np.concatenate([inputs["W"], inputs["b"][None, :]])
    targets = np.tanh(x @ W0) - inputs["target_step"] * inputs["g"]
    units = [answer(x, w0, y, inputs["weight_step"]) for w0, y in zip(W0.T, targets.T, strict=True)]
    W = np.stack(units, axis=1)
    return {"W": W[:-1], "b": W[-1]}


def _patches(answer: Answer, inputs: Inputs) -> Inputs:
    C, H, W = inputs["shape"]
    (stage,) = inputs["wiring"]
    # the exercise has no padding: the image gets its border of zeros before
    border = (stage["padding"], stage["padding"])
    images = np.pad(np.reshape(inputs["y"], (-1, C, H, W)), ((0, 0), (0, 0), border, border))
    return {"x": answer(images, stage["size"], stage["stride"])}


# which cases --------------------------------------------------------------------------------------


def _steps(method: str) -> Any:
    wanted = {"method": method, "transfer": "tanh", "optimizer": "sgd", "local_reduction": "sum"}
    return lambda case: (
        _is(case, **wanted, local_decay="authors") and "weight_step" not in case.inputs and "b" in case.inputs
    )


def _closed(primal: bool) -> Any:
    def concerns(case: Case) -> bool:
        if not _is(case, local_reduction="sum") or "b" not in case.inputs:
            return False
        examples, inputs = case.inputs["x"].shape
        return np.isfinite(case.inputs["weight_step"]) and (examples > inputs) == primal

    return concerns


def _image(case: Case) -> bool:
    stage = case.inputs["wiring"][0]
    return stage["stage"] == "patches" and not case.inputs.get("bias")


def _two_layers(case: Case) -> bool:
    return "b_1" in case.inputs and case.inputs["transfers"][0] == "tanh" and "W_3" not in case.inputs


def _target_of_m(case: Case) -> bool:
    return _is(case, method="locoprop-m", transfer="tanh", project_targets="none") and "b" in case.inputs


def _tanh_units(case: Case) -> bool:
    return _is(case, transfer="tanh", local_reduction="sum") and "b" in case.inputs


_STEP_INPUTS = ("local_lr", "num_local_steps")

NO_SLOPE = (
    "This is the squared loss after the ReLU: it is flat where â is negative, however far the target is. The "
    "matching loss is not."
)
ROW_SUMS = "What is compared are the sums of your D over each row."
GIVEN_SLOPE = "tanh′(â) is 1 − tanh²(â): 1 − â² would be right if â were the post-activation already."
MEAN_AGAIN = "g of the layer above has the 1/B of the mean in it; you divide by B once more."
MULTIPLIED = (
    "The target is f(â) − γg with g itself: g is the derivative by the pre-activation, so that f′ is in it "
    "already, and you multiply by it once more."
)
DIVIDED = (
    "The target is f(â) − γg with g itself: nothing is divided by f′. A gradient by the pre-activation is "
    "rightly taken off the output, see the page *The local problem and its target*."
)

# fmt: off
EXERCISES = (
    Exercise(
        "matching-loss", "the matching loss of ReLU", 20, "divergence(a_hat, a)",
        "matching_loss", lambda case: _is(case, transfer="relu"), _divergence,
        ((_relu_of_squares, NO_SLOPE),
         (_absent_constant, "The terms without â are missing: D must be zero at â = a.")),
        elements_of_relu, ROW_SUMS,
    ),
    Exercise(
        "backward", "the backward pass of a tanh layer", 20, "backward_layer(g_above, W_above, a_hat)",
        "network", _two_layers, _backward,
        ((_slope_of_output, "f′ is taken at ŷ in place of â: tanh acts twice."),
         (_slope_without_square, "tanh′(â) is 1 − tanh²(â); your square is missing."),
         (_slope_of_given, GIVEN_SLOPE), (_mean_once_more, MEAN_AGAIN)),
    ),
    Exercise(
        "target", "the target of LocoProp-M", 15, "target(x, W, b, g, target_step)",
        "target", _target_of_m, _target,
        ((_slope_in_target, MULTIPLIED),
         (_slope_out_of_target, DIVIDED)),
    ),
    Exercise(
        "local-steps", "the K steps of LocoProp-M", 30,
        "local_steps(x, W, b, g, target_step, local_lr, num_local_steps)",
        "local_steps", _steps("locoprop-m"), _weights(*_STEP_INPUTS), (), arguments_stay,
    ),
    Exercise(
        "closed-form", "LocoProp-S in closed form", 30, "primal(x, W, b, g, target_step, weight_step)",
        "closed_form", _closed(True), _weights("weight_step"),
        (), solves_a_system(5, 2, 3, "of the size of the inputs"),
    ),
    Exercise(
        "closed-form-dual", "the dual form of the same", 20, "dual(x, W, b, g, target_step, weight_step)",
        "closed_form", _closed(False), _weights("weight_step"),
        (), solves_a_system(3, 6, 3, "of the size of the batch"),
    ),
    Exercise(
        "exact-unit", "exact M of one tanh unit", 40, "newton_unit(x, w0, y_target, weight_step)",
        "exact", _tanh_units, _units,
    ),
    Exercise(
        "im2col", "the rows of a convolution", 30, "im2col(images, size, stride)",
        "rows", _image, _patches,
    ),
    Exercise(
        "own-target", "a target of one's own, with K-FAC's second factor", 30,
        "own_target(a_hat, g, target_step, damping)",
        "kronecker_target", lambda case: _is(case, method="locoprop-s"), _own_target,
    ),
    Exercise(
        "find-the-mistake", "what is wrong in a port of LocoProp-S", 25,
        "port(x, W, b, g, target_step, local_lr, num_local_steps)",
        "local_steps", _steps("locoprop-s"), _weights(*_STEP_INPUTS), (), arguments_stay,
    ),
)
# fmt: on
