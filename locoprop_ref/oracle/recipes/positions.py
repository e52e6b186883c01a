"""Recipes for the rows of layers with positions or steps, for the way back from them, and for pooling.

Sizes are chosen so that no two of batch, channels, height, width, kernel, stride and padding are the same:
what is exchanged by mistake does not fit, or gives other numbers.
"""

from collections.abc import Iterator
from typing import Any

from locoprop_ref.oracle.recipes.draw import Draw, Recipe

Stage = dict[str, Any]


def patches(size: int, stride: int, padding: int) -> Stage:
    """Return the stage of a convolution."""
    return {"stage": "patches", "size": size, "stride": stride, "padding": padding}


def pool(kind: str, size: int, stride: int) -> Stage:
    """Return a stage of pooling, "mean" or "max"."""
    return {"stage": kind, "size": size, "stride": stride}


STEPS, EVERY_STEP = {"stage": "steps"}, {"stage": "every step"}
LAST_STEP, FLATTEN = {"stage": "last step"}, {"stage": "flatten"}

# name, comment, shape, wiring, batch, rows of an example, width
WIRINGS: tuple[tuple[str, str, list[int], Stage, int, int, int], ...] = (
    ("image", "patches of images with two channels, with stride and padding",
     [2, 6, 8], patches(4, 3, 1), 5, 6, 32),
    ("image-plain", "patches of images with one channel, without padding",
     [1, 7, 5], patches(3, 2, 0), 4, 6, 9),
    ("steps", "the steps of sequences: shape is (steps, numbers)", [4, 2], STEPS, 3, 4, 2),
    ("every-step", "the steps of a recurrent layer below: shape is (units, steps)",
     [2, 4], EVERY_STEP, 3, 4, 2),
    ("last-step", "the last step of a recurrent layer below: shape is (units, steps)",
     [2, 4], LAST_STEP, 3, 1, 2),
)  # fmt: skip


def rows() -> Iterator[Recipe]:
    """Yield the recipes of rows, and one with the input of the bias."""
    for name, comment, shape, stage, batch, *_ in WIRINGS:
        inputs: dict[str, Any] = {"shape": shape, "wiring": [stage]}
        inputs["y"] = _examples(f"rows {name}", batch, shape)
        yield Recipe("rows", name, comment, inputs)
        if name == "image-plain":
            comment = "the same, each row with the input 1 of the bias at its end"
            yield Recipe("rows", "image-bias", comment, inputs | {"bias": 1})


def adjoints() -> Iterator[Recipe]:
    """Yield the recipes of the way back."""
    for name, comment, shape, stage, batch, count, width in WIRINGS:
        u = Draw(f"adjoint {name}").matrix(batch * count, width, 2.0)
        yield Recipe("adjoint", name, comment, {"shape": shape, "wiring": [stage], "u": u})


def poolings() -> Iterator[Recipe]:
    """Yield the recipes of mean and max pooling: overlapping windows, windows with gaps, and ties."""
    for kind in ("mean", "max"):
        for name, shape, size, stride, after in (
            ("overlap", [2, 5, 6], 3, 1, [2, 3, 4]),
            ("gap", [1, 8, 5], 2, 3, [1, 3, 2]),
        ):
            seed = f"pooling {kind} {name}"
            comment = f"{kind} of windows " + ("that overlap" if name == "overlap" else "with gaps")
            yield Recipe("pooling", f"{kind}-{name}", comment, {
                "shape": shape, "wiring": [pool(kind, size, stride)],
                "y": _examples(seed, 4, shape), "u": _examples(seed + " u", 4, after),
            })  # fmt: skip
    shape, draw = [2, 5, 6], Draw("pooling ties")
    ties = [[float(int(abs(draw.number(3.0)))) for _ in range(60)] for _ in range(4)]
    inputs = {"shape": shape, "wiring": [pool("max", 3, 1)], "y": ties}
    inputs["u"] = _examples("pooling ties u", 4, [2, 3, 4])
    comment = "maxima that several numbers of a window share"
    yield Recipe("pooling", "max-ties", comment, inputs, {}, ("Ties",))


def _examples(seed: str, batch: int, shape: list[int]) -> list[list[float]]:
    """Return flat examples."""
    size = 1
    for n in shape:
        size *= n
    return Draw(seed).matrix(batch, size, 2.0)


def recipes() -> Iterator[Recipe]:
    """Yield all recipes of this file."""
    for family in (rows, adjoints, poolings):
        yield from family()
