"""Recipes for convolutional and recurrent networks: passes, local problems, training.

Sizes are chosen so that no two of batch, channels, height, width, kernel, stride, padding, outputs, K, γ and
η are the same. Weights are multiples of 1/4096, which TF32 products round.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

from locoprop_ref.oracle.recipes.draw import Draw, Recipe
from locoprop_ref.oracle.recipes.network import LABELS
from locoprop_ref.oracle.recipes.positions import (
    EVERY_STEP,
    FLATTEN,
    LAST_STEP,
    STEPS,
    Stage,
    patches,
    pool,
)

GRAIN = 4096


@dataclass(frozen=True)
class Plan:
    """A network before there are numbers: its example, its layers, and its batch.

    Attributes:
        shape: of an example.
        batch: B.
        layers: for each layer its wiring, the rows and the columns of W, and its transfer.
        loss: network loss.
    """

    shape: list[int]
    batch: int
    layers: tuple[tuple[list[Stage], int, int, str], ...]
    loss: str


def _wide(kind: str, transfers: tuple[str, str], loss: str) -> Plan:
    """Two channels, a padded convolution with a stride, pooling, and a dense layer."""
    convolution = ([patches(4, 3, 1)], 32, 7, transfers[0])
    return Plan([2, 6, 8], 5, (convolution, ([pool(kind, 2, 1), FLATTEN], 14, 9, transfers[1])), loss)


def _small(kind: str, transfers: tuple[str, str], loss: str) -> Plan:
    """One channel, a convolution with a stride, pooling, and a dense layer."""
    convolution = ([patches(3, 2, 0)], 9, 6, transfers[0])
    return Plan([1, 7, 5], 4, (convolution, ([pool(kind, 2, 1), FLATTEN], 12, 8, transfers[1])), loss)


def _states(readout: Stage, transfers: tuple[str, str], loss: str) -> Plan:
    """A recurrent layer, of which a dense layer reads the last step or all steps."""
    width = 20 if readout is FLATTEN else 5
    return Plan([4, 2], 3, (([STEPS], 7, 5, transfers[0]), ([readout], width, 6, transfers[1])), loss)


SOFT, BINARY, SQUARED = "softmax_cross_entropy", "sigmoid_cross_entropy", "squared_error"
WIDE = _wide("max", ("tanh", "softmax"), SOFT)
MEAN = _small("mean", ("tanh", "softmax"), SOFT)
MAX = _small("max", ("tanh", "tanh"), SQUARED)
TIES = _small("max", ("tanh", "identity"), SQUARED)
TWO = Plan(
    [1, 7, 5], 4,
    (([patches(3, 2, 0)], 9, 6, "tanh"), ([patches(2, 1, 0)], 24, 8, "sigmoid"),
     ([FLATTEN], 16, 9, "sigmoid")),
    BINARY,
)  # fmt: skip
SMALL = _small("mean", ("tanh", "sigmoid"), BINARY)
LAST = _states(LAST_STEP, ("tanh", "softmax"), SOFT)
ALL = _states(FLATTEN, ("tanh", "identity"), SQUARED)
DEEP = Plan(
    [4, 2], 3,
    (([STEPS], 7, 5, "tanh"), ([EVERY_STEP], 12, 7, "sigmoid"), ([LAST_STEP], 7, 6, "sigmoid")), BINARY,
)  # fmt: skip


def network(
    seed: str, plan: Plan, *, bias: bool = True, state: bool = False, batches: int = 0
) -> dict[str, Any]:
    """Return the inputs of a network with one batch, or with several.

    Args:
        seed: a word.
        plan: the network.
        bias: whether layers have one.
        state: whether recurrent layers are given their initial state.
        batches: number of batches; 0 for one that is not in a list.
    """
    draw, weights = Draw(seed), Draw(seed + " weights", GRAIN)
    inputs: dict[str, Any] = {
        "shape": plan.shape,
        "wirings": [wiring for wiring, *_ in plan.layers],
        "transfers": [transfer for *_, transfer in plan.layers],
        "output_loss": plan.loss,
    }
    for m, (wiring, d_in, d_out, _) in enumerate(plan.layers, start=1):
        inputs[f"W_{m}"] = weights.matrix(d_in, d_out, 0.75)
        if bias:
            inputs[f"b_{m}"] = weights.vector(d_out, 0.5)
        if state and wiring in ([STEPS], [EVERY_STEP]):
            inputs[f"h0_{m}"] = weights.vector(d_out)
    x = [draw.matrix(plan.batch, prod(plan.shape)) for _ in range(max(batches, 1))]
    t = [draw.labels(plan.batch, plan.layers[-1][2], LABELS[plan.loss]) for _ in range(max(batches, 1))]
    return inputs | ({"x": x, "t": t} if batches else {"x": x[0], "t": t[0]})


def passes() -> Iterator[Recipe]:
    """Yield the recipes of forward and backward passes."""
    yield Recipe("convolution", "max", "two channels, padding, stride; max pooling", network("max", WIDE))
    yield Recipe("convolution", "two", "a convolution on a convolution", network("two", TWO))
    ties = network("ties", TIES)
    # columns repeat with the stride, so that neighbouring patches, and what is pooled of them, are the same
    ties["x"] = [[row[i - i % 5 + i % 5 % 2] for i in range(35)] for row in ties["x"]]
    comment = "repeated columns make patches equal, and maxima tie"
    yield Recipe("convolution", "max-ties", comment, ties, {}, ("Ties",))
    yield Recipe(
        "convolution", "mean-nobias", "mean pooling, without bias", network("nobias", SMALL, bias=False)
    )
    for name, comment, plan, state in (
        ("last-step", "the last step is read; the state begins with zeros", LAST, False),
        ("all-steps", "all steps are read, units first; the state is given", ALL, True),
        ("two", "a recurrent layer on a recurrent layer, both with a state", DEEP, True),
    ):
        yield Recipe("recurrence", name, comment, network(f"recurrent {name}", plan, state=state))
    inputs = network("recurrent nobias", ALL, state=True, bias=False)
    yield Recipe("recurrence", "nobias", "without bias", inputs)


def local_problems() -> Iterator[Recipe]:
    """Yield the recipes of targets and first local gradients, summed, and averaged over the examples."""
    mean = {"local_reduction": "mean"}
    step: dict[str, Any] = {"target_step": 2.5}
    for topic, name, method, plan, state, changed in (
        ("convolution_local", "s-mean", "locoprop-s", MEAN, False, {}),
        ("convolution_local", "m-max", "locoprop-m", MAX, False, {}),
        ("convolution_local", "m-averaged", "locoprop-m", SMALL, False, mean),
        ("recurrence_local", "s-last-step", "locoprop-s", LAST, False, {}),
        ("recurrence_local", "m-all-steps", "locoprop-m", ALL, True, {}),
        ("recurrence_local", "m-two", "locoprop-m", DEEP, True, {}),
        ("recurrence_local", "m-averaged", "locoprop-m", ALL, True, mean),
    ):
        inputs = {"method": method, **network(f"{topic} {name}", plan, state=state), **step}
        comment = f"targets of {method}" + (", the mean over the examples" if changed else "")
        yield Recipe(topic, name, comment, inputs, changed)


def training() -> Iterator[Recipe]:
    """Yield the recipes of training: S in closed form, and K steps of S and M by gradient descent."""
    mean = {"local_reduction": "mean"}
    for topic, plan, K, eta, gentle, lr in (
        ("convolution_training", SMALL, 10, 0.375, 2.0**-8, 0.03125),
        ("recurrence_training", ALL, 7, 0.375, 2.0**-6, 0.0625),
    ):
        closed: dict[str, Any] = {"target_step": 2.5, "weight_step": eta}
        steps: dict[str, Any] = {
            "target_step": 2.5, "optimizer": "sgd", "local_lr": lr, "num_local_steps": K
        }  # fmt: skip
        for name, comment, method, batches, settings, changed, properties in (
            ("s-closed", "S in closed form", "locoprop-s-closed", 2, closed, {}, ()),
            ("s-closed-gentle", "S in closed form, a small step", "locoprop-s-closed", 2,
             closed | {"weight_step": gentle}, {}, ("Gentle",)),
            ("s-closed-averaged", "S in closed form, the mean over the examples", "locoprop-s-closed", 1,
             closed, mean, ()),
            ("m-steps", f"M by {K} steps", "locoprop-m", 2, steps, {}, ()),
            ("m-steps-averaged", f"M by {K} steps, the mean over the examples", "locoprop-m", 1,
             steps | {"local_lr": 4 * lr}, mean, ()),
        ):  # fmt: skip
            state = topic == "recurrence_training" and name != "s-closed-gentle"
            used = LAST if topic == "recurrence_training" and name in ("s-closed-gentle", "m-steps") else plan
            run = network(f"{topic} {name}", used, state=state, batches=batches)
            inputs = {"method": method, **run, "rates": [1.0, 0.5][:batches], **settings}
            if method == "locoprop-s-closed":
                inputs["rates"] = [1.0] * batches
            yield Recipe(topic, name, comment, inputs, changed, properties)


def recipes() -> Iterator[Recipe]:
    """Yield all recipes of this file."""
    for family in (passes, local_problems, training):
        yield from family()
