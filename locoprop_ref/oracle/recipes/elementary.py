"""Recipes for transfer functions, integrals, inverses, conjugates, matching losses and network losses."""

from collections.abc import Iterator
from typing import Any

from locoprop_ref.oracle.recipes.draw import GRAIN, Draw, Recipe

ELEMENTWISE = ("identity", "relu", "leaky_relu", "tanh", "sigmoid", "softplus", "elu", "arctan")
PARAMETERS: dict[str, dict[str, Any]] = {"leaky_relu": {"slope": 0.125}, "elu": {"alpha": 0.5}}
ORDINARY = [-3.0, -1.0, -0.25, 0.0625, 0.5, 2.0]
# e^a overflows beyond 709.8 in float64, and beyond 88.7 in float32
SMOOTH_EXTREME = [
    -1000.0, -720.0, -700.0, -90.0, -16.0, -(2.0**-30), 2.0**-30, 16.0, 90.0, 700.0, 720.0, 1000.0
]  # fmt: skip
# Numbers that are smaller than 1 by many orders, and must have their relative accuracy all the same.
TAILS = {
    "sigmoid": [-650.0, -90.0, -40.0, -16.0], "softplus": [-650.0, -90.0, -40.0, -16.0],
    "tanh": [-(2.0**-40), 2.0**-60],
}  # fmt: skip
TINY = 2.0**-100  # tolerances are relative down to this size
LINEAR_EXTREME = [-(2.0**60), -(2.0**-60), 2.0**-60, 2.0**60]
ROWS = [[0.5, -1.0, 0.25], [2.0, 2.0, -3.0]]
EXTREME_ROWS = [[1000.0, 0.0, -1000.0], [-800.0, -800.5, -801.0], [88.0, 89.0, 90.0]]


def _with(name: str, **inputs: Any) -> dict[str, Any]:
    return {"transfer": name, **PARAMETERS.get(name, {}), **inputs}


def _extreme(name: str) -> list[float]:
    return LINEAR_EXTREME if name in ("identity", "relu", "leaky_relu") else SMOOTH_EXTREME


def transfers() -> Iterator[Recipe]:
    """Yield the recipes of transfers, with their derivatives or vector-Jacobian products, and of F."""
    for topic in ("transfer", "integral"):
        for name in ELEMENTWISE:
            yield Recipe(topic, name, f"{name} at ordinary arguments", _with(name, a=ORDINARY))
            yield Recipe(
                topic,
                f"{name}-extreme",
                f"{name} far out and near 0",
                _with(name, a=_extreme(name)),
                {},
                ("Extreme",),
            )
        for name, rows in (("softmax", ROWS), ("softmax-extreme", EXTREME_ROWS)):
            extra = {"u": Draw(name).matrix(len(rows), 3)} if topic == "transfer" else {}
            properties = ("Extreme",) if rows is EXTREME_ROWS else ()
            yield Recipe(topic, name, "softmax of rows", _with("softmax", a=rows, **extra), {}, properties)
    for name, a in TAILS.items():
        comment = f"{name} where it is tiny: relative accuracy"
        yield Recipe("transfer", f"{name}-tail", comment, _with(name, a=a), {}, ("Extreme",), TINY)
    for name in ("relu", "leaky_relu", "elu"):
        yield Recipe("transfer", f"{name}-kink", f"{name} at its kink", _with(name, a=[0.0]), {}, ("Kink",))
    yield Recipe(
        "transfer", "leaky_relu-kink-right", "leaky_relu at its kink, derivative 1",
        _with("leaky_relu", a=[0.0]),
        {"derivative_at_kink": "right"}, ("Kink",),
    )  # fmt: skip


def inverses() -> Iterator[Recipe]:
    """Yield the recipes of f⁻¹, inside the range and at its ends, where it is infinite."""
    inside = {
        "identity": [-2.0, 0.5], "leaky_relu": [-0.5, 0.0, 3.0], "tanh": [-0.96875, 0.25, 0.9990234375],
        "sigmoid": [2.0**-20, 0.5, 0.875], "softplus": [2.0**-20, 0.5, 100.0], "elu": [-0.25, 0.0, 3.0],
        "arctan": [-1.5, 0.25, 1.0],
    }  # fmt: skip
    for name, y in inside.items():
        yield Recipe("inverse", name, f"inverse of {name} inside its range", _with(name, y=y))
    for name, y in {"tanh": [-1.0, 1.0], "sigmoid": [0.0, 1.0]}.items():
        yield Recipe(
            "inverse",
            f"{name}-ends",
            f"inverse of {name} at the ends of its range",
            _with(name, y=y),
            {},
            ("Extreme",),
        )


def conjugates() -> Iterator[Recipe]:
    """Yield the recipes of F*, inside the range of f, on its boundary, and outside, where it is infinite."""
    points: dict[str, tuple[list[float], list[float]]] = {
        "identity": ([-2.0, 0.0, 1.5], []),
        "relu": ([0.0, 0.5, 3.0], [-0.25]),
        "leaky_relu": ([-0.5, 0.0, 3.0], []),
        "tanh": ([-0.96875, 0.0, 0.25], [-1.0, 1.0, -1.25, 1.5]),
        "sigmoid": ([2.0**-20, 0.5, 0.875], [0.0, 1.0, -0.25, 1.125]),
        "softplus": ([2.0**-20, 0.5, 100.0], [0.0, -0.25]),
        "elu": ([-0.25, 0.0, 3.0], [-0.5, -0.75]),
        "arctan": ([-1.5, 0.25, 1.0], [-2.0, 2.0]),
    }
    for name, (inside, edge) in points.items():
        yield Recipe("conjugate", name, f"conjugate for {name} inside the range", _with(name, y=inside))
        if edge:
            yield Recipe(
                "conjugate", f"{name}-edge", f"conjugate for {name} on the boundary of the range and outside",
                _with(name, y=edge), {}, ("Extreme", "OutOfRange"),
            )  # fmt: skip
    yield Recipe(
        "conjugate",
        "softmax",
        "negative entropy on the simplex",
        _with("softmax", y=[[0.5, 0.25, 0.25], [0.0, 1.0, 0.0]]),
    )
    yield Recipe(
        "conjugate", "softmax-outside", "off the simplex",
        _with("softmax", y=[[0.5, 0.75, -0.25], [0.5, 0.25, 0.0]]),
        {}, ("OutOfRange",),
    )  # fmt: skip


def matching_losses() -> Iterator[Recipe]:
    """Yield the recipes of D_F, for ordinary and nearly equal arguments, and where it vanishes."""
    for name in (*ELEMENTWISE, "softmax"):
        draw = Draw(f"matching {name}", GRAIN)
        inputs = _with(name, a_hat=draw.matrix(3, 2, 2.0), a=draw.matrix(3, 2, 2.0))
        yield Recipe("matching_loss", name, f"matching loss of {name}", inputs)
    near = _with("tanh", a_hat=[[1.0], [0.5]], a=[[1.0009765625], [0.5]])
    yield Recipe(
        "matching_loss", "tanh-near", "nearly equal arguments, and equal ones", near, {}, ("Extreme",)
    )
    negative = _with("relu", a_hat=[[-3.0, -1.0]], a=[[-1.0, -2.0]])
    yield Recipe("matching_loss", "relu-negative", "both negative: exactly zero", negative)


def output_losses() -> Iterator[Recipe]:
    """Yield the recipes of network losses, with the transfers that they are used with."""
    for loss, name, labels in (
        ("squared_error", "identity", "real"),
        ("squared_error", "tanh", "real"),
        ("squared_error", "softmax", "one hot"),
        ("sigmoid_cross_entropy", "sigmoid", "0/1"),
        ("softmax_cross_entropy", "softmax", "one hot"),
    ):
        draw = Draw(f"loss {loss} {name}", GRAIN)
        inputs = _with(name, output_loss=loss, a_hat=draw.matrix(5, 3, 2.0), t=draw.labels(5, 3, labels))
        yield Recipe("output_loss", f"{loss}-{name}", f"{loss} after {name}", inputs)
    soft = [[0.25, 0.5, 0.25], [0.0, 0.125, 0.875]]
    for loss, name, t in (
        ("sigmoid_cross_entropy", "sigmoid", [[0.25, 0.5], [1.0, 0.0], [1.0, 1.0]]),
        ("softmax_cross_entropy", "softmax", soft),
    ):
        a_hat = [[90.0, -90.0], [720.0, 720.0], [-1000.0, 30.0]] if name == "sigmoid" else EXTREME_ROWS[:2]
        inputs = _with(name, output_loss=loss, a_hat=a_hat, t=t)
        yield Recipe("output_loss", f"{loss}-extreme", "large logits, soft labels", inputs, {}, ("Extreme",))


def recipes() -> Iterator[Recipe]:
    """Yield all recipes of this file."""
    for family in (transfers, inverses, conjugates, matching_losses, output_losses):
        yield from family()
