"""Recipes for the local problem of one layer: target, closed form, local steps, exact solution."""

from collections.abc import Iterator
from typing import Any

from locoprop_ref.oracle.recipes.draw import Draw, Recipe
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
RMSPROP: dict[str, Any] = {"optimizer": "rmsprop", "decay": 0.875, "momentum": 0.75, "epsilon": 2.0**-10}


def problem(
    seed: str, method: str, transfer: str, B: int, d_in: int, d_out: int, *, bias: bool = True, **other: Any
) -> dict[str, Any]:
    """Return the inputs of one layer: x, W, b, g, and the other inputs of the local problem."""
    draw = Draw(seed)
    inputs: dict[str, Any] = {"method": method, "transfer": transfer, **PARAMETERS.get(transfer, {})}
    inputs |= {"x": draw.matrix(B, d_in, 2.0), "W": draw.matrix(d_in, d_out)}
    if bias:
        inputs["b"] = draw.vector(d_out, 0.5)
    return inputs | {"g": draw.matrix(B, d_out, 0.125), "target_step": 2.0} | other


def targets() -> Iterator[Recipe]:
    """Yield the recipes of targets of S and M, in range and out of range, with and without projection."""
    for method, name in (
        ("locoprop-s", "tanh"), ("locoprop-s", "relu"), ("locoprop-s", "sigmoid"),
        ("locoprop-m", "tanh"), ("locoprop-m", "relu"), ("locoprop-m", "sigmoid"), ("locoprop-m", "softplus"),
        ("locoprop-m", "elu"), ("locoprop-m", "leaky_relu"), ("locoprop-m", "arctan"),
        ("locoprop-m", "identity"),
    ):  # fmt: skip
        inputs = problem(f"target {method} {name}", method, name, 3, 2, 2)
        yield Recipe("target", f"{method[-1]}-{name}", f"target of {method} on a {name} layer", inputs)
    plain = problem("target nobias", "locoprop-m", "tanh", 3, 2, 3, bias=False)
    yield Recipe("target", "m-tanh-nobias", "a layer without bias", plain)
    square = problem("target square", "locoprop-m", "sigmoid", 3, 3, 3)
    yield Recipe("target", "m-sigmoid-square", "a square layer", square, {}, ("Square",))
    soft = problem("target softmax", "locoprop-m", "softmax", 2, 2, 3)
    soft["g"] = [[0.25, -0.125, -0.125], [0.0625, 0.0625, -0.125]]  # rows of g sum to 0
    yield Recipe("target", "m-softmax", "softmax: targets stay on the plane of the simplex", soft)
    for name in ("tanh", "relu", "sigmoid", "elu", "softplus", "softmax"):
        inputs = problem(f"target out {name}", "locoprop-m", name, 3, 2, 3, target_step=16.0)
        if name == "softmax":
            inputs["g"] = [[0.25, -0.125, -0.125], [0.0625, 0.0625, -0.125], [-0.25, 0.125, 0.125]]
        far = ("OutOfRange",)
        comment = f"{name}: a long step takes targets out of range"
        yield Recipe("target", f"m-{name}-out", comment + ", where they stay", inputs, {}, far)
        projected = {"project_targets": "range"}
        yield Recipe("target", f"m-{name}-out-projected", comment + ", and back", inputs, projected, far)


def closed_forms() -> Iterator[Recipe]:
    """Yield the recipes of S in closed form, for several shapes, with and without a proximal term."""
    rows = (
        ("primal", "more examples than inputs", "tanh", 5, 2, 3, {"weight_step": 0.5}),
        ("dual", "fewer examples than inputs", "tanh", 2, 4, 3, {"weight_step": 0.5}),
        ("primal-nobias", "without bias", "sigmoid", 4, 3, 2, {"weight_step": 2.0, "bias": False}),
        ("dual-nobias", "without bias", "relu", 2, 4, 2, {"weight_step": 2.0, "bias": False}),
        ("square", "a square layer", "tanh", 4, 3, 3, {"weight_step": 1.0}),
        ("one-example", "a batch of one", "tanh", 1, 3, 2, {"weight_step": 4.0}),
        ("linear", "a linear layer", "identity", 4, 2, 2, {"weight_step": 0.25}),
        ("large-step", "weight_step 1024, primal", "tanh", 6, 2, 2, {"weight_step": 1024.0}),
        ("least-change", "no proximal term, fewer examples: the change of least norm", "tanh", 2, 3, 2,
         {"weight_step": "inf"}),
        ("least-squares", "no proximal term, more examples: least squares", "tanh", 6, 2, 2,
         {"weight_step": "inf"}),
    )  # fmt: skip
    for name, comment, transfer, B, d_in, d_out, other in rows:
        inputs = problem(f"closed {name}", "locoprop-s", transfer, B, d_in, d_out, **other)
        properties = ("Square",) if name == "square" else ()
        yield Recipe("closed_form", name, comment, inputs, {}, properties)
    hard = problem("closed hard", "locoprop-s", "tanh", 5, 2, 2, weight_step=4096.0)
    hard["x"] = [[row[0], row[0] + row[1] / 1024] for row in hard["x"]]
    yield Recipe("closed_form", "ill-conditioned", "nearly collinear inputs", hard, {}, ("IllConditioned",))
    mean = problem("closed mean", "locoprop-s", "tanh", 5, 2, 2, weight_step=0.5)
    yield Recipe("closed_form", "mean", "the mean over the batch", mean, {"local_reduction": "mean"})


def local_steps() -> Iterator[Recipe]:
    """Yield the recipes of local steps, for several K, optimizers and decays."""
    sgd: dict[str, Any] = {"optimizer": "sgd", "local_lr": 0.0625}
    for method in ("locoprop-s", "locoprop-m"):
        letter = method[-1]
        for K in (1, 3, 10):
            inputs = problem(f"steps {method}", method, "tanh", 4, 2, 3, **sgd, num_local_steps=K)
            yield Recipe("local_steps", f"{letter}-tanh-sgd-{K}", f"{K} steps of gradient descent", inputs)
        inputs = problem(
            f"prox {method}", method, "tanh", 4, 2, 2, **sgd, num_local_steps=4, weight_step=0.25
        )
        yield Recipe("local_steps", f"{letter}-tanh-proximal", "with a proximal term", inputs)
        constant = {"local_decay": "constant"}
        yield Recipe("local_steps", f"{letter}-tanh-constant", "at a constant rate", inputs, constant)
        mean = {"local_reduction": "mean"}
        yield Recipe("local_steps", f"{letter}-tanh-mean", "the mean over the batch", inputs, mean)
        inputs = problem(f"square {method}", method, "sigmoid", 4, 3, 3, **sgd, num_local_steps=3)
        yield Recipe("local_steps", f"{letter}-sigmoid-square", "a square layer", inputs, {}, ("Square",))
        inputs = problem(f"nobias {method}", method, "relu", 4, 3, 2, bias=False, **sgd, num_local_steps=3)
        yield Recipe("local_steps", f"{letter}-relu-nobias", "a relu layer without bias", inputs)
        for dialect in (TF1, TORCH, OPTAX):
            inputs = problem(
                f"rmsprop {method}", method, "tanh", 4, 2, 2, **RMSPROP, local_lr=0.03125, num_local_steps=6
            )
            name = dialect["dialect"]
            yield Recipe("local_steps", f"{letter}-tanh-rmsprop-{name}", f"rmsprop, {name}", inputs, dialect)
    for name in ("softplus", "elu", "leaky_relu", "arctan", "softmax", "identity"):
        inputs = problem(f"steps {name}", "locoprop-m", name, 4, 2, 3, **sgd, num_local_steps=4)
        yield Recipe("local_steps", f"m-{name}", f"M on a {name} layer", inputs)
    inputs = problem("steps momentum", "locoprop-m", "tanh", 4, 2, 2, num_local_steps=4, optimizer="momentum",
                     momentum=0.75, local_lr=0.03125)  # fmt: skip
    yield Recipe("local_steps", "m-tanh-momentum", "heavy ball", inputs)


def exact_solutions() -> Iterator[Recipe]:
    """Yield the recipes of M solved exactly, with targets in range and out of range."""
    for name in ("identity", "tanh", "sigmoid", "softplus", "relu", "leaky_relu", "elu", "arctan"):
        inputs = problem(f"exact {name}", "locoprop-m", name, 4, 2, 2, weight_step=1.0)
        yield Recipe("exact", name, f"M on a {name} layer", inputs)
    inputs = problem("exact few", "locoprop-m", "tanh", 2, 4, 2, weight_step=8.0)
    yield Recipe("exact", "tanh-few", "fewer examples than inputs", inputs)
    inputs = problem("exact nobias", "locoprop-m", "sigmoid", 4, 3, 2, bias=False, weight_step=4.0)
    yield Recipe("exact", "sigmoid-nobias", "without bias", inputs)
    inputs = problem("exact square", "locoprop-m", "tanh", 4, 3, 3, weight_step=2.0)
    yield Recipe("exact", "tanh-square", "a square layer", inputs, {}, ("Square",))
    inputs = problem("exact out", "locoprop-m", "tanh", 4, 2, 2, weight_step=0.5, target_step=16.0)
    yield Recipe("exact", "tanh-out", "targets out of range", inputs, {}, ("OutOfRange",))
    inputs = problem("exact mean", "locoprop-m", "tanh", 4, 2, 2, weight_step=1.0)
    yield Recipe("exact", "tanh-mean", "the mean over the batch", inputs, {"local_reduction": "mean"})


def recipes() -> Iterator[Recipe]:
    """Yield all recipes of this file."""
    for family in (targets, closed_forms, local_steps, exact_solutions):
        yield from family()
