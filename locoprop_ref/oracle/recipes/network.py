"""Recipes for whole networks: forward and backward pass, first local step, training over several batches.

Sizes are chosen so that no two of batch, widths, K and γ are the same; cases of the kind "Square" break this
rule on purpose. Numbers are multiples of 1/4096, which TF32 products round.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from locoprop_ref.oracle.recipes.draw import GRAIN, Draw, Recipe
from locoprop_ref.oracle.recipes.elementary import PARAMETERS
from locoprop_ref.oracle.recipes.layer import GENTLE, OPTAX, RMSPROP, TF1, TORCH

LABELS = {"squared_error": "real", "sigmoid_cross_entropy": "0/1", "softmax_cross_entropy": "one hot"}
# name, sizes, transfers, network loss, bias, batch
NETWORKS: tuple[tuple[str, Any, Any, str, bool, int], ...] = (
    ("tanh-sigmoid", (2, 4, 3), ("tanh", "sigmoid"), "sigmoid_cross_entropy", True, 5),
    ("tanh-softmax", (2, 5, 3), ("tanh", "softmax"), "softmax_cross_entropy", True, 7),
    ("relu-squared", (3, 4, 5), ("relu", "identity"), "squared_error", True, 7),
    ("three-layers", (2, 5, 4, 3), ("tanh", "relu", "sigmoid"), "sigmoid_cross_entropy", True, 7),
    ("nobias", (4, 2, 3), ("tanh", "tanh"), "squared_error", False, 5),
    ("square", (3, 3, 3), ("tanh", "sigmoid"), "sigmoid_cross_entropy", True, 5),
    ("softmax-hidden", (2, 4, 3), ("softmax", "identity"), "squared_error", True, 5),
    ("rare", (2, 4, 5, 3), ("softplus", "elu", "arctan"), "squared_error", True, 7),
    ("leaky", (2, 5, 3), ("leaky_relu", "softmax"), "squared_error", True, 7),
)


def network(
    seed: str, sizes: tuple[int, ...], transfers: tuple[str, ...], loss: str, bias: bool, B: int
) -> dict[str, Any]:
    """Return the inputs of a network and one batch."""
    draw = Draw(seed, GRAIN)
    inputs: dict[str, Any] = {"transfers": list(transfers), "output_loss": loss}
    for name in transfers:
        inputs |= PARAMETERS.get(name, {})
    for m, (d_in, d_out) in enumerate(pairwise(sizes), start=1):
        inputs[f"W_{m}"] = draw.matrix(d_in, d_out)
        if bias:
            inputs[f"b_{m}"] = draw.vector(d_out, 0.5)
    labels = "one hot" if transfers[-1] == "softmax" else LABELS[loss]
    return inputs | {"x": draw.matrix(B, sizes[0], 2.0), "t": draw.labels(B, sizes[-1], labels)}


def passes() -> Iterator[Recipe]:
    """Yield the recipes of forward and backward passes."""
    for name, *parts in NETWORKS:
        properties = ("Square",) if name == "square" else ()
        yield Recipe(
            "network",
            name,
            f"layers {', '.join(parts[1])}; {parts[2]}",
            network(name, *parts),
            {},
            properties,
        )


def first_steps() -> Iterator[Recipe]:
    """Yield the recipes of the first local gradients of S and M."""
    for name, *parts in NETWORKS:
        for method in ("locoprop-s", "locoprop-m"):
            if method == "locoprop-s" and name in ("rare", "leaky", "relu-squared"):
                continue
            inputs = {"method": method, **network(name, *parts), "target_step": 2.5}
            properties = ("Square",) if name == "square" else ()
            yield Recipe(
                "first_step",
                f"{method[-1]}-{name}",
                f"{method}, layers {', '.join(parts[1])}",
                inputs,
                {},
                properties,
            )


def training(
    seed: str, method: str, sizes: tuple[int, ...], transfers: tuple[str, ...], loss: str,
    *, bias: bool = True, batches: int = 3, B: int = 7, **other: Any,
) -> dict[str, Any]:  # fmt: skip
    """Return the inputs of a training run: a network and several batches, with rates of 1 by default."""
    inputs = {"method": method, **network(seed, sizes, transfers, loss, bias, B)}
    draw = Draw(seed + " batches", GRAIN)
    inputs["x"] = [draw.matrix(B, sizes[0], 2.0) for _ in range(batches)]
    inputs["t"] = [draw.labels(B, sizes[-1], LABELS[loss]) for _ in range(batches)]
    return inputs | {"rates": [1.0] * batches} | other


THREE = ((2, 5, 4, 3), ("tanh", "relu", "sigmoid"), "sigmoid_cross_entropy")
SQUARE = ((3, 3, 3, 3), ("tanh", "tanh", "sigmoid"), "sigmoid_cross_entropy")
STEPS: dict[str, Any] = {"target_step": 2.5, "num_local_steps": 6}
LOCAL_RMSPROP: dict[str, Any] = {**RMSPROP, **STEPS, "local_lr": 0.015625}


SGD: dict[str, Any] = {"optimizer": "sgd", "local_lr": 0.03125, **STEPS}
RESET = {"local_state": "reset"}


RATES = [0.25, 1.0, 0.625]


def one_more(letter: str, method: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Return a run on a network of its own, for a schedule."""
    return training(f"schedule {letter} {settings['optimizer']}", method, *THREE, **settings)


def local_runs() -> Iterator[Recipe]:
    """Yield the recipes of S and M by K steps, with several optimizers, states, decays and schedules."""
    for method in ("locoprop-s", "locoprop-m"):
        letter = method[-1]

        def recipe(
            name: str, comment: str, run: Any, conventions: Any = None, letter: str = letter
        ) -> Recipe:
            properties = ("Square",) if name == "square" else ()
            return Recipe("training", f"{letter}-{name}", comment, run, conventions or {}, properties)

        one = training(f"one {letter}", method, *THREE, batches=1, **SGD)
        yield recipe("one-batch", "one batch, gradient descent", one)
        yield recipe(
            "sgd", "three batches, gradient descent", training(f"sgd {letter}", method, *THREE, **SGD)
        )
        square = training(f"square {letter}", method, *SQUARE, batches=2, **SGD)
        yield recipe("square", "square layers", square)
        run = training(f"rmsprop {letter}", method, *THREE, **LOCAL_RMSPROP)
        yield recipe("rmsprop", "the authors' optimizer, state kept", run, TF1)
        yield recipe("rmsprop-reset", "the same, state reset at every batch", run, TF1 | RESET)
        yield recipe("rmsprop-torch", "the same in PyTorch's dialect", run, TORCH)
        yield recipe("rmsprop-torch-reset", "and with its state reset", run, TORCH | RESET)
        yield recipe("rmsprop-constant", "a constant local rate", run, TF1 | {"local_decay": "constant"})
        scheduled = {**run, "rates": [0.0, 0.5, 1.0]}
        comment = "a schedule that starts at 0: nothing moves, mean squares warm up"
        yield recipe("schedule", comment, scheduled, TF1)
        comment = "a schedule by gradient descent"
        yield recipe("schedule-sgd", comment, {**one_more(letter, method, SGD), "rates": RATES})
        comment = "a schedule in PyTorch's dialect"
        torch = one_more(letter, method, LOCAL_RMSPROP)
        yield recipe("schedule-torch", comment, {**torch, "rates": RATES}, TORCH)
        proximal = training(
            f"nobias {letter}", method, *THREE, bias=False, batches=2, **SGD, weight_step=2.25
        )
        yield recipe("nobias-proximal", "no bias, with a proximal term", proximal)


def matching_runs() -> Iterator[Recipe]:
    """Yield the recipes of M under other conventions and on other networks."""
    run = training("mean", "locoprop-m", *THREE, **SGD | {"local_lr": 0.25})
    yield Recipe("training", "m-mean", "the mean over the batch", run, {"local_reduction": "mean"})
    run = training("gs", "locoprop-m", *THREE, batches=2, **SGD)
    order = {"target_order": "gauss-seidel"}
    yield Recipe("training", "m-gauss-seidel", "each layer sees the moved layers below", run, order)
    run = training("optax", "locoprop-m", *THREE, batches=2, **LOCAL_RMSPROP)
    yield Recipe("training", "m-rmsprop-optax", "rmsprop in optax's dialect", run, OPTAX)
    run, far = (
        training("project", "locoprop-m", *THREE, batches=2, **SGD | {"target_step": 18.0}),
        ("OutOfRange",),
    )
    yield Recipe("training", "m-out", "targets out of range stay there", run, {}, far)
    projected = {"project_targets": "range"}
    yield Recipe("training", "m-projected", "targets out of range are projected", run, projected, far)
    softmax = ((2, 4, 3), ("tanh", "softmax"), "softmax_cross_entropy")
    run = training("softmax", "locoprop-m", *softmax, batches=2, B=5, **SGD | {"target_step": 3.5})
    yield Recipe("training", "m-softmax", "softmax output", run)
    squared = ((2, 4, 3), ("relu", "identity"), "squared_error")
    run = training("squared", "locoprop-m", *squared, batches=2, **SGD)
    yield Recipe("training", "m-relu-squared", "relu and a linear output with squared error", run)


def other_runs() -> Iterator[Recipe]:
    """Yield the recipes of S in closed form, of M solved exactly, and of BackProp."""
    narrow = ((2, 4, 3), ("tanh", "sigmoid"), "sigmoid_cross_entropy")
    common: dict[str, Any] = {"B": 5, "target_step": 2.5}
    run = training("closed", "locoprop-s-closed", *narrow, **common, weight_step=0.375)
    yield Recipe("training", "s-closed", "S in closed form", run)
    run = training("closed gentle", "locoprop-s-closed", *narrow, **common, weight_step=GENTLE)
    yield Recipe("training", "s-closed-gentle", "S in closed form, a small step", run, {}, ("Gentle",))
    run = training("exact", "locoprop-m-exact", *narrow, batches=2, **common, weight_step=0.375)
    yield Recipe("training", "m-exact", "M solved exactly", run)
    run = training("exact gentle", "locoprop-m-exact", *narrow, batches=2, **common, weight_step=GENTLE)
    yield Recipe("training", "m-exact-gentle", "M solved exactly, a small step", run, {}, ("Gentle",))
    run = training("backprop", "backprop", *THREE, **RMSPROP, learning_rate=0.03125)
    yield Recipe("training", "backprop-rmsprop", "BackProp with rmsprop, TensorFlow 1", run, TF1)
    run = training("backprop sgd", "backprop", *THREE, optimizer="sgd", learning_rate=0.25)
    yield Recipe("training", "backprop-sgd", "BackProp with gradient descent", run)


def recipes() -> Iterator[Recipe]:
    """Yield all recipes of this file."""
    for family in (passes, first_steps, local_runs, matching_runs, other_runs):
        yield from family()
