"""Recipes for the first-order optimizers: a dozen steps on given gradients, at rates that change."""

from collections.abc import Iterator
from typing import Any

from locoprop_ref.oracle.recipes.draw import GRAIN, Draw, Recipe
from locoprop_ref.oracle.recipes.layer import OPTAX, TF1, TORCH

STEPS = 12


def recipes() -> Iterator[Recipe]:
    """Yield one recipe for each optimizer and dialect."""
    adagrad = {"epsilon": 2.0**-10, "initial_accumulator": 0.125}
    adam = {"beta1": 0.75, "beta2": 0.875, "epsilon": 2.0**-6}
    rmsprop = {"decay": 0.875, "momentum": 0.75, "epsilon": 2.0**-8}
    rows: tuple[tuple[str, str, dict[str, float], dict[str, str]], ...] = (
        ("sgd", "sgd", {}, {}),
        ("momentum", "momentum", {"momentum": 0.75}, {}),
        ("nesterov", "nesterov", {"momentum": 0.75}, {}),
        ("adagrad-tf1", "adagrad", adagrad,
         {"dialect": "tf1", "accumulator_start": "given", "epsilon_place": "none"}),
        ("adagrad-torch", "adagrad", adagrad,
         {"dialect": "torch", "accumulator_start": "zeros", "epsilon_place": "outside"}),
        ("rmsprop-tf1", "rmsprop", rmsprop, TF1),
        ("rmsprop-torch", "rmsprop", rmsprop, TORCH),
        ("rmsprop-optax", "rmsprop", rmsprop, OPTAX),
        ("rmsprop-plain-tf1", "rmsprop", {**rmsprop, "momentum": 0.0}, TF1),
        ("rmsprop-plain-torch", "rmsprop", {**rmsprop, "momentum": 0.0}, TORCH),
        ("adam-tf1", "adam", adam, {"dialect": "tf1", "adam_epsilon": "v", "bias_correction": "yes"}),
        ("adam-torch", "adam", adam, {"dialect": "torch", "adam_epsilon": "v_hat", "bias_correction": "yes"}),
    )  # fmt: skip
    for name, optimizer, hyper, conventions in rows:
        draw = Draw(f"optimizer {optimizer}", GRAIN)
        inputs: dict[str, Any] = {"optimizer": optimizer, **hyper, "W": draw.matrix(2, 3)}
        inputs["gradients"] = [draw.matrix(2, 3, 0.5) for _ in range(STEPS)]
        inputs["rates"] = [0.0625 / (1 + k % 4) if k % 4 != 2 else 0.015625 for k in range(STEPS)]
        yield Recipe("optimizer", name, f"{name}, {STEPS} steps at changing rates", inputs, conventions)
