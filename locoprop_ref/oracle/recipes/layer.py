"""Recipes for the local problem of one layer: target, closed form, local steps, exact solution.

Sizes are chosen so that no two of batch, d_in, d_out, K, γ and η are the same; cases of the kind "Square"
break this rule on purpose. Numbers are multiples of 1/4096, which TF32 products round.
"""

from collections.abc import Iterator
from typing import Any

from locoprop_ref.oracle.recipes.draw import GRAIN, Draw, Recipe
from locoprop_ref.oracle.recipes.elementary import PARAMETERS

TF1 = {"dialect": "tf1", "mean_square_start": "ones", "epsilon_place": "inside", "rate_place": "in buffer"}
TORCH = {
    "dialect": "torch",
    "mean_square_start": "zeros",
    "epsilon_place": "outside",
    "rate_place": "outside",
}
OPTAX = {
    "dialect": "optax",
    "mean_square_start": "zeros",
    "epsilon_place": "inside",
    "rate_place": "in buffer",
}
# weight_step of the cases of the kind Gentle
GENTLE = 2.0**-6
RMSPROP: dict[str, Any] = {"optimizer": "rmsprop", "decay": 0.875, "momentum": 0.75, "epsilon": 2.0**-10}


def problem(
    seed: str, method: str, transfer: str, B: int, d_in: int, d_out: int, *, bias: bool = True, **other: Any
) -> dict[str, Any]:
    """Return the inputs of one layer: x, W, b, g, and the other inputs of the local problem."""
    draw = Draw(seed, GRAIN)
    inputs: dict[str, Any] = {"method": method, "transfer": transfer, **PARAMETERS.get(transfer, {})}
    inputs |= {"x": draw.matrix(B, d_in, 2.0), "W": draw.matrix(d_in, d_out)}
    if bias:
        inputs["b"] = draw.vector(d_out, 0.5)
    return inputs | {"g": draw.matrix(B, d_out, 0.125), "target_step": 2.5} | other


def targets() -> Iterator[Recipe]:
    """Yield the recipes of targets of S and M, in range and out of range, with and without projection."""
    for method, name in (
        ("locoprop-s", "tanh"), ("locoprop-s", "relu"), ("locoprop-s", "sigmoid"),
        ("locoprop-m", "tanh"), ("locoprop-m", "relu"), ("locoprop-m", "sigmoid"), ("locoprop-m", "softplus"),
        ("locoprop-m", "elu"), ("locoprop-m", "leaky_relu"), ("locoprop-m", "arctan"),
        ("locoprop-m", "identity"),
    ):  # fmt: skip
        inputs = problem(f"target {method} {name}", method, name, 5, 3, 2)
        yield Recipe("target", f"{method[-1]}-{name}", f"target of {method} on a {name} layer", inputs)
    plain = problem("target nobias", "locoprop-m", "tanh", 5, 2, 3, bias=False)
    yield Recipe("target", "m-tanh-nobias", "a layer without bias", plain)
    square = problem("target square", "locoprop-m", "sigmoid", 5, 3, 3)
    yield Recipe("target", "m-sigmoid-square", "a square layer", square, {}, ("Square",))
    soft = problem("target softmax", "locoprop-m", "softmax", 2, 4, 3)
    soft["g"] = [[0.25, -0.125, -0.125], [0.0625, 0.0625, -0.125]]  # rows of g sum to 0
    yield Recipe("target", "m-softmax", "softmax: targets stay on the plane of the simplex", soft)
    for name in ("tanh", "relu", "sigmoid", "elu", "softplus", "softmax"):
        inputs = problem(f"target out {name}", "locoprop-m", name, 4, 2, 3, target_step=18.0)
        if name == "softmax":
            inputs["g"] = [[0.25, -0.125, -0.125], [0.0625, 0.0625, -0.125], [-0.25, 0.125, 0.125]]
            inputs["g"].append([0.1875, -0.25, 0.0625])
        far = ("OutOfRange",)
        comment = f"{name}: a long step takes targets out of range"
        yield Recipe("target", f"m-{name}-out", comment + ", where they stay", inputs, {}, far)
        projected = {"project_targets": "range"}
        yield Recipe("target", f"m-{name}-out-projected", comment + ", and back", inputs, projected, far)


def closed_forms() -> Iterator[Recipe]:
    """Yield the recipes of S in closed form, for several shapes, with and without a proximal term."""
    rows = (
        ("primal", "more examples than inputs", "tanh", 5, 2, 3, {"weight_step": 0.375}),
        ("dual", "fewer examples than inputs", "tanh", 3, 6, 4, {"weight_step": 0.625}),
        ("primal-nobias", "without bias", "sigmoid", 7, 4, 3, {"weight_step": 2.25, "bias": False}),
        ("dual-nobias", "without bias", "relu", 3, 5, 4, {"weight_step": 1.75, "bias": False}),
        ("square", "a square layer", "tanh", 5, 3, 3, {"weight_step": 0.75}),
        ("one-example", "a batch of one", "tanh", 1, 3, 2, {"weight_step": 3.5}),
        ("linear", "a linear layer", "identity", 5, 3, 2, {"weight_step": 0.3125}),
        ("large-step", "weight_step 1000, primal", "tanh", 7, 2, 3, {"weight_step": 1000.0}),
        ("least-change", "no proximal term, fewer examples: the change of least norm", "tanh", 3, 6, 2,
         {"weight_step": "inf"}),
        ("least-squares", "no proximal term, more examples: least squares", "tanh", 7, 2, 3,
         {"weight_step": "inf"}),
        ("gentle", "a small step, which a fixed-point iteration can take", "tanh", 5, 2, 3,
         {"weight_step": GENTLE}),
    )  # fmt: skip
    for name, comment, transfer, B, d_in, d_out, other in rows:
        inputs = problem(f"closed {name}", "locoprop-s", transfer, B, d_in, d_out, **other)
        properties = {"square": ("Square",), "gentle": ("Gentle",)}.get(name, ())
        yield Recipe("closed_form", name, comment, inputs, {}, properties)
    hard = problem("closed hard", "locoprop-s", "tanh", 7, 2, 3, weight_step=4000.0)
    hard["x"] = [[row[0], row[0] + row[1] / 256] for row in hard["x"]]
    yield Recipe("closed_form", "ill-conditioned", "nearly collinear inputs", hard, {}, ("IllConditioned",))
    averaged = {"local_reduction": "mean"}
    mean = problem("closed mean", "locoprop-s", "tanh", 5, 2, 3, weight_step=0.375)
    yield Recipe("closed_form", "mean", "the mean over the batch", mean, averaged)
    mean = problem("closed dual mean", "locoprop-s", "tanh", 3, 6, 4, weight_step=0.625)
    yield Recipe("closed_form", "dual-mean", "the mean over a batch with fewer examples", mean, averaged)


def local_steps() -> Iterator[Recipe]:
    """Yield the recipes of local steps, for several K, optimizers and decays."""
    sgd: dict[str, Any] = {"optimizer": "sgd", "local_lr": 0.0625}
    for method in ("locoprop-s", "locoprop-m"):
        letter = method[-1]
        for K in (1, 3, 10):
            inputs = problem(f"steps {method}", method, "tanh", 5, 2, 4, **sgd, num_local_steps=K)
            yield Recipe("local_steps", f"{letter}-tanh-sgd-{K}", f"{K} steps of gradient descent", inputs)
        inputs = problem(
            f"prox {method}", method, "tanh", 5, 2, 3, **sgd, num_local_steps=6, weight_step=0.375
        )
        yield Recipe("local_steps", f"{letter}-tanh-proximal", "with a proximal term", inputs)
        constant = {"local_decay": "constant"}
        yield Recipe("local_steps", f"{letter}-tanh-constant", "at a constant rate", inputs, constant)
        mean = {"local_reduction": "mean"}
        yield Recipe("local_steps", f"{letter}-tanh-mean", "the mean over the batch", inputs, mean)
        inputs = problem(f"square {method}", method, "sigmoid", 5, 3, 3, **sgd, num_local_steps=7)
        yield Recipe("local_steps", f"{letter}-sigmoid-square", "a square layer", inputs, {}, ("Square",))
        inputs = problem(f"nobias {method}", method, "relu", 5, 3, 2, bias=False, **sgd, num_local_steps=7)
        yield Recipe("local_steps", f"{letter}-relu-nobias", "a relu layer without bias", inputs)
        inputs = problem(
            f"gentle {method}", method, "tanh", 5, 2, 3, **sgd | {"local_lr": 0.015625}, num_local_steps=6,
            weight_step=GENTLE,
        )  # fmt: skip
        yield Recipe("local_steps", f"{letter}-tanh-gentle", "a small proximal step", inputs, {}, ("Gentle",))
        for dialect in (TF1, TORCH, OPTAX):
            inputs = problem(
                f"rmsprop {method}", method, "tanh", 5, 3, 2, **RMSPROP, local_lr=0.03125, num_local_steps=7
            )
            name = dialect["dialect"]
            yield Recipe("local_steps", f"{letter}-tanh-rmsprop-{name}", f"rmsprop, {name}", inputs, dialect)
    for name in ("softplus", "elu", "leaky_relu", "arctan", "softmax", "identity"):
        inputs = problem(f"steps {name}", "locoprop-m", name, 5, 2, 3, **sgd, num_local_steps=6)
        yield Recipe("local_steps", f"m-{name}", f"M on a {name} layer", inputs)
    inputs = problem("steps long", "locoprop-m", "tanh", 5, 2, 4, bias=False, **sgd, num_local_steps=24)
    yield Recipe("local_steps", "m-tanh-long", "24 steps: decays with other floors differ", inputs)
    inputs = problem("steps momentum", "locoprop-m", "tanh", 5, 3, 2, num_local_steps=6, optimizer="momentum",
                     momentum=0.75, local_lr=0.03125)  # fmt: skip
    yield Recipe("local_steps", "m-tanh-momentum", "heavy ball", inputs)


def exact_solutions() -> Iterator[Recipe]:
    """Yield the recipes of M solved exactly, with targets in range and out of range."""
    for name in ("identity", "tanh", "sigmoid", "softplus", "relu", "leaky_relu", "elu", "arctan"):
        inputs = problem(f"exact {name}", "locoprop-m", name, 5, 3, 2, weight_step=0.75)
        yield Recipe("exact", name, f"M on a {name} layer", inputs)
    inputs = problem("exact few", "locoprop-m", "tanh", 3, 5, 2, weight_step=7.5)
    yield Recipe("exact", "tanh-few", "fewer examples than inputs", inputs)
    inputs = problem("exact nobias", "locoprop-m", "sigmoid", 5, 4, 2, bias=False, weight_step=3.5)
    yield Recipe("exact", "sigmoid-nobias", "without bias", inputs)
    inputs = problem("exact square", "locoprop-m", "tanh", 5, 3, 3, weight_step=2.25)
    yield Recipe("exact", "tanh-square", "a square layer", inputs, {}, ("Square",))
    inputs = problem("exact out", "locoprop-m", "tanh", 5, 3, 2, weight_step=0.375, target_step=18.0)
    yield Recipe("exact", "tanh-out", "targets out of range", inputs, {}, ("OutOfRange",))
    inputs = problem("exact mean", "locoprop-m", "tanh", 5, 3, 2, weight_step=0.75)
    yield Recipe("exact", "tanh-mean", "the mean over the batch", inputs, {"local_reduction": "mean"})
    inputs = problem("exact gentle", "locoprop-m", "tanh", 5, 3, 2, weight_step=GENTLE)
    yield Recipe("exact", "tanh-gentle", "a small step", inputs, {}, ("Gentle",))


def recipes() -> Iterator[Recipe]:
    """Yield all recipes of this file."""
    for family in (targets, closed_forms, local_steps, exact_solutions):
        yield from family()
