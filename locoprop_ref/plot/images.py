"""Figures of images: a grid of images, and reconstructions below their originals."""

from collections.abc import Mapping, Sequence
from math import isqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from locoprop_ref import checks
from locoprop_ref.plot.losses import span
from locoprop_ref.plot.style import describe, panels, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def as_images(name: str, images: Any, shape: tuple[int, int] | None = None) -> np.ndarray:
    """Return images as an array (N, height, width).

    Args:
        name: name of the argument, for the error message.
        images: (N, d) rows of pixels, or (N, height, width).
        shape: (height, width) of the images in the rows; default a square.

    Raises:
        ValueError: the rows are not images of this shape, or there is no image.
    """
    array = np.asarray(images)
    if array.ndim == 2:
        side = isqrt(array.shape[1])
        height, width = shape or (side, side)
        if height * width != array.shape[1]:
            raise ValueError(f"{name} must hold rows of {height}·{width} pixels, got {array.shape[1]}")
        array = array.reshape(-1, height, width)
    if array.ndim != 3 or not array.size:
        raise ValueError(f"{name} must be (N, d) or (N, height, width) with N ≥ 1, got shape {array.shape}")
    return array


def mosaic(images: np.ndarray, columns: int) -> np.ndarray:
    """Return one array with the images in rows and borders of one pixel; empty places are nan."""
    count, height, width = images.shape
    rows = -(-count // columns)
    board = np.full((rows * (height + 1) + 1, columns * (width + 1) + 1), np.nan)
    for i, image in enumerate(images):
        top, left = 1 + (i // columns) * (height + 1), 1 + (i % columns) * (width + 1)
        board[top : top + height, left : left + width] = image
    return board


def draw_board(axes: "Axes", board: np.ndarray, limits: Sequence[float] | np.ndarray) -> Any:
    """Draw what `mosaic` returns, in grey between two limits, without ticks."""
    axes.set_facecolor("#c8d8e8")  # the borders
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set_visible(False)
    return axes.imshow(board, cmap="gray", vmin=limits[0], vmax=limits[1], interpolation="nearest")


@styled
def image_grid(
    images: Any,
    *,
    columns: int = 10,
    title: str = "",
    shape: tuple[int, int] | None = None,
    limits: tuple[float, float] = (0.0, 1.0),
) -> "Figure":
    """Draw images in a grid.

    Args:
        images: (N, d) rows of pixels, or (N, height, width).
        columns: images in a row.
        title: what the images are.
        shape: (height, width) of rows of pixels; default a square.
        limits: the pixel values of black and of white.

    Raises:
        ValueError, TypeError: no images, columns that are no natural number, or limits that are not two
            numbers in increasing order.
    """
    ends = span("limits", limits, 2)
    pixels = as_images("images", images, shape)
    board = mosaic(pixels, min(checks.integer("columns", columns), len(pixels)))
    figure, (axes,) = panels(
        width=10,
        height=1.1 + 9.6 * board.shape[0] / board.shape[1],
        left=0.2,
        right=0.2,
        below=0.2,
        title=title,
    )
    draw_board(axes, board, ends)
    return describe(
        figure, f"{title or 'Images'}: {len(pixels)} images of {pixels.shape[1]} by {pixels.shape[2]} pixels."
    )


@styled
def reconstructions(
    originals: Any,
    rows: Mapping[str, Any],
    *,
    shape: tuple[int, int] | None = None,
    limits: tuple[float, float] = (0.0, 1.0),
) -> "Figure":
    """Draw a row of images above their reconstructions, with one row and one error for each method.

    Args:
        originals: (N, d) rows of pixels, or (N, height, width).
        rows: the reconstructions of each method, by its name, in the same shape.
        shape: (height, width) of rows of pixels; default a square.
        limits: the pixel values of black and of white.

    Raises:
        ValueError, TypeError: the images of a method do not have the shape of the originals, or limits that
            are not two numbers in increasing order.
    """
    ends = span("limits", limits, 2)
    checks.instance("rows", rows, Mapping, "a dict of images by the names of the methods")
    first = as_images("originals", originals, shape)
    strips: dict[str, np.ndarray] = {"original": first}
    for name, images in rows.items():
        strips[name] = as_images(f"rows[{name!r}]", images, shape)
        if strips[name].shape != first.shape:
            raise ValueError(f"rows[{name!r}] must have shape {first.shape}, got {strips[name].shape}")
    errors = {name: float(np.mean((strips[name] - first) ** 2)) for name in rows}
    count, height, width = first.shape
    left = 0.4 + 0.115 * max(map(len, strips))  # inches, so that the longest name fits
    figure, axes = panels(
        rows=len(strips), width=left + 9.2, height=1.05 + len(strips) * (0.1 + 9 * height / (width * count)),
        left=left, below=0.1, gap=0.1, title="images, and their reconstructions by the networks",
    )  # fmt: skip
    for panel, (name, images) in zip(axes, strips.items(), strict=True):
        draw_board(panel, mosaic(images, count), ends)
        text = name if name not in errors else f"{name}\nMSE {errors[name]:.4f}"
        panel.set_ylabel(text, rotation=0, ha="right", va="center")
    worst = "; ".join(f"{name} with mean squared error {error:.4f}" for name, error in errors.items())
    return describe(
        figure, f"A row of {count} originals, and below it their reconstructions by: {worst or 'no method'}."
    )
