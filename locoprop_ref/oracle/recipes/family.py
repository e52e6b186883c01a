"""Recipes for the relatives of LocoProp: codes, memory, other rules for targets, mirror descent, ADMM.

Sizes are chosen so that no two of batch, widths, K and γ are the same; a case whose property says "Square" or
"EqualWidths" breaks this rule on purpose. Numbers are multiples of 1/4096, which TF32 products round.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from locoprop_ref.oracle.recipes.draw import Draw, Recipe
from locoprop_ref.oracle.recipes.network import LABELS

GRAIN = 4096
GENTLE_MEMORY = 2.0**-8  # weight_step of the case of the kind Gentle, whose memory has three batches
SOFT, BINARY, SQUARED = "softmax_cross_entropy", "sigmoid_cross_entropy", "squared_error"
FOUR = (2, 8, 6, 4, 5)
# name, comment, widths, transfers, loss, batch, batches, K, anchor, differing conventions, properties
CODES: tuple[tuple[Any, ...], ...] = (
    ("four-layers", "four layers of different widths, momentum, anchor", FOUR,
     ("tanh", "sigmoid", "tanh", "softmax"), SOFT, 7, 1, 3, 1.0, {}, ()),
    ("forward-inputs", "the same with the squared error, and with the inputs of the forward pass", FOUR,
     ("tanh", "softplus", "tanh", "identity"), SQUARED, 7, 1, 3, 1.0, {"code_inputs": "forward"}, ()),
    ("means", "means of squares between layers", (2, 8, 6, 5), ("tanh", "tanh", "sigmoid"), BINARY, 4, 1, 3,
     1.0, {"code_reduction": "mean"}, ()),
    ("two-batches", "the second of two batches; codes are fresh in each", (3, 5, 4, 7),
     ("tanh", "tanh", "softmax"), SOFT, 6, 2, 2, 0.5, {}, ()),
    ("equal-widths", "hidden layers of the same width", (2, 4, 4, 5), ("tanh", "sigmoid", "identity"),
     SQUARED, 7, 1, 3, 0.75, {}, ("EqualWidths",)),
    ("one-step", "one step without momentum and anchor, as in I11", (4, 6, 5, 3), ("tanh", "tanh", "softmax"),
     SOFT, 7, 1, 1, 0.0, {}, ()),
)  # fmt: skip


def network(seed: str, widths: tuple[int, ...], transfers: tuple[str, ...], loss: str) -> dict[str, Any]:
    """Return the inputs of a network."""
    draw = Draw(f"family {seed}", GRAIN)
    inputs: dict[str, Any] = {"transfers": list(transfers), "output_loss": loss}
    for m, (d_in, d_out) in enumerate(pairwise(widths), start=1):
        inputs[f"W_{m}"], inputs[f"b_{m}"] = draw.matrix(d_in, d_out), draw.vector(d_out, 0.5)
    return inputs


def batch(seed: str, size: int, widths: tuple[int, ...], loss: str) -> tuple[Any, Any]:
    """Return x and t of a batch."""
    draw = Draw(f"family {seed} batch", GRAIN)
    return draw.matrix(size, widths[0], 2.0), draw.labels(size, widths[-1], LABELS[loss])


def codes() -> Iterator[Recipe]:
    """Yield the recipes of alternating minimization's codes; momentum 29/32 is the published 0.9, nearly."""
    for name, comment, widths, transfers, loss, size, count, K, anchor, changed, properties in CODES:
        x, t = zip(*(batch(f"codes {name} {k}", size, widths, loss) for k in range(count)), strict=True)
        inputs = network(f"codes {name}", widths, transfers, loss)
        inputs |= {"x": list(x), "t": list(t), "num_code_steps": K}
        inputs |= {"code_lr": 0.3125 if changed.get("code_reduction") != "mean" else 0.75}
        inputs |= {"momentum": 0.0 if K == 1 else 0.90625, "coupling": 0.5, "anchor": anchor}
        yield Recipe("codes", name, comment, inputs, changed, properties)


def memories() -> Iterator[Recipe]:
    """Yield the recipes of a memory over three batches: ridge outside and inside, exact and by sweeps."""
    for name, comment, d_in, d_out, sweeps, where, properties in (
        ("exact", "solved exactly, the ridge outside", 6, 2, None, "outside", ()),
        ("exact-inside", "solved exactly, the ridge inside", 6, 2, None, "inside", ()),
        ("sweep", "one sweep a batch, the ridge outside", 6, 2, 1, "outside", ()),
        ("sweeps-inside", "four sweeps a batch, the ridge inside", 6, 2, 4, "inside", ()),
        ("square", "as many units as rows of W; two sweeps", 3, 4, 2, "outside", ("Square",)),
        (
            "gentle",
            "a small step, which a fixed-point iteration can take",
            6,
            2,
            None,
            "outside",
            ("Gentle",),
        ),
    ):
        draw = Draw(f"memory {name}", GRAIN)
        inputs: dict[str, Any] = {"W": draw.matrix(d_in, d_out), "b": draw.vector(d_out, 0.5)}
        inputs["x"] = [draw.matrix(9, d_in, 2.0) for _ in range(3)]
        inputs["y_target"] = [draw.matrix(9, d_out, 2.0) for _ in range(3)]
        eta = GENTLE_MEMORY if "Gentle" in properties else 0.375
        inputs |= {"decay": 0.625, "weight_step": eta} | ({"num_sweeps": sweeps} if sweeps else {})
        yield Recipe("memory", name, comment, inputs, {"memory_ridge": where}, properties)


def inverse_targets() -> Iterator[Recipe]:
    """Yield the recipes of target propagation with given inverses."""
    mixed = ("sigmoid", "tanh", "softplus")
    for name, comment, transfers, loss, changed in (
        ("difference", "from the penultimate layer, with the difference", (*mixed, "softmax"), SOFT, {}),
        ("plain", "from the penultimate layer, without the difference", (*mixed, "identity"), SQUARED,
         {"correction": "plain"}),
        ("difference-output", "from the output layer, with the difference", (*mixed, "sigmoid"), BINARY,
         {"start": "output"}),
        ("plain-output", "from the output layer, without the difference", (*mixed, "identity"), SQUARED,
         {"start": "output", "correction": "plain"}),
    ):  # fmt: skip
        inputs = network(f"inverse {name}", FOUR, transfers, loss)
        draw = Draw(f"family inverses {name}", GRAIN)
        for m in (2, 3, 4):
            inputs[f"V_{m}"] = draw.matrix(FOUR[m], FOUR[m - 1])
            inputs[f"c_{m}"] = draw.vector(FOUR[m - 1], 0.5)
        x, t = batch(f"inverse {name}", 7, FOUR, loss)
        yield Recipe("inverse_target", name, comment, inputs | {"x": x, "t": t, "target_step": 3.5}, changed)


def displacements() -> Iterator[Recipe]:
    """Yield the recipes of K-FAC's targets."""
    step: dict[str, Any] = {"target_step": 2.5, "damping": 0.0625}
    for name, method, transfers, loss in (
        ("s", "locoprop-s", ("tanh", "sigmoid"), BINARY),
        ("m", "locoprop-m", ("softplus", "sigmoid"), BINARY),
        ("m-squared", "locoprop-m", ("tanh", "identity"), SQUARED),
    ):
        inputs = {"method": method, **_one_batch(f"kronecker {name}", (2, 4, 3), transfers, loss, 11)}
        yield Recipe("kronecker_target", name, f"targets of {method}", inputs | step)


def jacobians() -> Iterator[Recipe]:
    """Yield the recipes of Gauss-Newton's targets."""
    for name, method, transfers, loss, tau in (
        ("s", "locoprop-s", ("tanh", "sigmoid", "identity"), SQUARED, 0.25),
        ("m", "locoprop-m", ("softplus", "tanh", "sigmoid"), BINARY, 0.375),
        ("s-pseudo-inverse", "locoprop-s", ("tanh", "tanh", "identity"), SQUARED, 0.0),
    ):
        inputs = {"method": method, **_one_batch(f"gauss newton {name}", (2, 6, 4, 3), transfers, loss, 7)}
        inputs |= {"target_step": 1.75, "tau": tau}
        comment = f"targets of {method}" + ("" if tau else ", by the pseudo-inverse")
        yield Recipe("gauss_newton_target", name, comment, inputs)


def _one_batch(
    seed: str, widths: tuple[int, ...], transfers: tuple[str, ...], loss: str, size: int
) -> dict[str, Any]:
    x, t = batch(seed, size, widths, loss)
    return {**network(seed, widths, transfers, loss), "x": x, "t": t}


def mirrors() -> Iterator[Recipe]:
    """Yield the recipes of mirror descent, with rates that change."""
    for name, geometry, extra in (
        ("eg-both-signs", "eg+-", {"beta": 0.75}), ("eg", "eg", {}),
        ("eg-normalized", "eg-normalized", {}), ("p-norm", "p-norm", {"p": 3.5}),
    ):  # fmt: skip
        draw = Draw(f"mirror {name}", GRAIN)
        W = draw.matrix(5, 3)
        if geometry == "eg":
            W = [[abs(w) for w in row] for row in W]
        if geometry == "eg-normalized":
            upper = [[abs(w) / 8 for w in row] for row in W[:-1]]
            W = [*upper, [1 - sum(column) for column in zip(*upper, strict=True)]]
        inputs: dict[str, Any] = {"geometry": geometry, "W": W, **extra}
        inputs["gradients"] = [draw.matrix(5, 3, 2.0) for _ in range(4)]
        inputs["rates"] = [0.25, 0.25, 0.125, 0.1875]
        yield Recipe("mirror", name, f"geometry {geometry}, four steps", inputs)


def blocks() -> Iterator[Recipe]:
    """Yield the recipes of the blocks of ADMM."""
    B, d, above = 7, 4, 3
    draw = Draw("admm", GRAIN)
    penalties = {"activation_penalty": 2.5, "penalty": 0.625}
    W, b = draw.matrix(d, above), draw.vector(above)
    z, z_above, a = draw.matrix(B, d, 2.0), draw.matrix(B, above, 2.0), draw.matrix(B, d, 2.0)
    prediction, multiplier = draw.matrix(B, d, 2.0), draw.matrix(B, above, 2.0)
    last = {"prediction": draw.matrix(B, above, 2.0), "multiplier": multiplier, "penalty": 0.625}
    labels = draw.labels(B, above, "0/1")
    real = draw.matrix(B, above)
    for name, comment, inputs in (
        ("weights", "W and b by least squares", {"a": a, "z": z_above}),
        ("activation", "a of a hidden layer", {"z": z, "z_above": z_above, "W": W, "b": b, **penalties}),
        ("hidden", "z of a hidden layer", {"a": a, "prediction": prediction, **penalties}),
        ("output-squared", "z of the last layer, squared loss", {"t": real, **last}),
        ("output-hinge", "z of the last layer, hinge loss", {"t": labels, **last}),
        ("multiplier", "the step of the multiplier", {"z": z_above, **last, "multiplier_step": 1.25}),
    ):
        yield Recipe("admm", name, comment, {"block": name.replace("-", " "), **inputs})


def recipes() -> Iterator[Recipe]:
    """Yield all recipes of this file."""
    for family in (codes, memories, inverse_targets, displacements, jacobians, mirrors, blocks):
        yield from family()
