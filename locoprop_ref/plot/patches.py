r"""Figures of a convolution as a dense layer: patches as rows, the table that reads them, and X̃ᵀX̃."""

from typing import TYPE_CHECKING, Any

import numpy as np

from locoprop_ref import checks
from locoprop_ref.plot.images import as_images, draw_board, mosaic
from locoprop_ref.plot.style import COLOURS, describe, label, label_powers_of_ten, panels, spell, styled
from locoprop_ref.wirings import patches

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@styled
def patches_as_rows(
    image: Any, size: int = 5, stride: int = 1, padding: int = 0, down: float = 0.36, across: float = 0.64
) -> "Figure":
    r"""Draw an image with one of its patches, all patches as the rows of X, and a unit that moves over them.

    The weights w of the unit are the patch itself, so Xw says how much every patch resembles this one.

    Args:
        image: (height, width), with pixels from 0 to 1.
        size: of the patches.
        stride: from one patch to the next.
        padding: rows and columns of zeros around the image.
        down: which patch: the share of all rows of patches that lie above it, at least 0 and below 1.
        across: the share of all columns of patches that lie left of it, at least 0 and below 1.

    Raises:
        ValueError, TypeError: the image is no matrix, or an argument is out of its range.
    """
    if np.ndim(image) != 2:
        raise ValueError(f"image must be (height, width), got shape {np.shape(image)}")
    (pixels,) = as_images("image", np.asarray(image)[None])
    wiring = patches((1, *pixels.shape), size, stride=stride, padding=padding)
    rows = wiring.rows(pixels.reshape(1, -1))
    _, height, width = wiring.shape
    top, left = int(checks.fraction("down", down) * height), int(checks.fraction("across", across) * width)
    number = top * width + left
    figure, (whole, table, said) = panels(
        3, width=11, title=f"{len(rows)} patches of {size} by {size} pixels are {len(rows)} rows of one layer"
    )
    _image(whole, np.pad(pixels, padding), cmap="gray", vmin=0, vmax=1)
    _frame(whole, padding, padding, *pixels.shape, color=COLOURS[6])
    _frame(whole, top * stride, left * stride, size, size, color=COLOURS[1])
    label(whole, title=f"the image, and patch {number}", x="column", y="row", legend=None)
    _image(table, rows, cmap="gray", vmin=0, vmax=1, aspect="auto")
    table.axhline(number, color=COLOURS[1])
    label(table, title="X: a row for every patch", x="pixel in the patch", y="patch", legend=None)
    outputs = (rows @ rows[number]).reshape(height, width)
    _image(said, outputs, cmap="cividis", vmin=0)
    _frame(said, top, left, 1, 1, color=COLOURS[1])
    label(said, title=f"Xw for w = patch {number}", x="column", y="row", legend=None)
    return describe(
        figure,
        f"The left panel shows an image of {_by(pixels)} pixels with {padding} rows and columns of zeros on "
        f"every side, and a frame around patch {number} of {len(rows)}, counted from 0. The panel in the "
        f"middle shows the matrix X, {_by(rows)}, with a line at the row of this patch. The right panel "
        f"shows the {_by(outputs)} outputs of a unit whose weights are this patch: "
        f"{spell(outputs.flat[number])} at the patch itself, and at most {spell(np.max(outputs))}.",
    )


@styled
def table_turned_round(
    height: int = 5, width: int = 5, size: int = 3, stride: int = 1, padding: int = 0
) -> "Figure":
    """Draw the pixels of an image, the table that says which of them stand in X, and how often each stands.

    Args:
        height: of the image in pixels.
        width: of the image in pixels.
        size: of the patches.
        stride: from one patch to the next.
        padding: rows and columns of zeros around the image.

    Raises:
        ValueError, TypeError: an argument is out of its range.
    """
    wiring = patches((1, height, width), size, stride=stride, padding=padding)
    # what the rows of an image are whose pixels are their own numbers, from 1; a 0 is padding
    numbers = np.arange(height * width).reshape(height, width)
    table = wiring.rows(1.0 + numbers.reshape(1, -1)) - 1
    table[table < 0] = np.nan
    counts = wiring.pull_back(np.ones_like(table)).reshape(height, width)
    least, most = (round(count) for count in (np.min(counts), np.max(counts)))
    times = _times(least, most)
    figure, (pixels, read, often) = panels(
        3, width=11, title=f"every pixel stands {times} in the table; the way back adds as many numbers"
    )
    colours = {"cmap": "cividis", "vmin": 0, "vmax": height * width}
    _image(pixels, numbers, **colours)
    _write(pixels, numbers)
    label(pixels, title="the pixels", x="column", y="row", legend=None)
    _image(read, table, **colours, aspect="auto", interpolation="nearest")
    label(read, title="the table (white: padding)", x="pixel in the patch", y="patch", legend=None)
    _image(often, counts, cmap="cividis", vmin=0)
    _write(often, counts)
    label(often, title="how often each is read", x="column", y="row", legend=None)
    return describe(
        figure,
        f"The left panel shows the numbered pixels of an image, {_by(numbers)}. The panel in the middle "
        f"shows the table, {_by(table)}, in the colours of the pixels; {int(np.sum(np.isnan(table)))} of its "
        f"entries are padding. The right panel shows how often each pixel stands in the table: {times}.",
    )


@styled
def gram_of_patches(
    images: Any, size: int = 5, stride: int = 1, padding: int = 0, weight_step: float = 0.1
) -> "Figure":
    r"""Draw X̃ᵀX̃ of the patches of some images, its eigenvalues, and the eigenvectors of the largest ones.

    Args:
        images: (N, height · width) rows of pixels of square images, or (N, height, width).
        size: of the patches.
        stride: from one patch to the next.
        padding: rows and columns of zeros around the image.
        weight_step: η; where λ > 1/η the closed form divides by λ rather than by 1/η.

    Raises:
        ValueError, TypeError: no images, or an argument is out of its range.
    """
    pixels = as_images("images", images)
    damping = 1 / checks.positive("weight_step", weight_step)
    gram = patch_gram(pixels, size, stride, padding)
    values, vectors = (part[..., ::-1] for part in np.linalg.eigh(gram))
    share, above = values[0] / np.trace(gram), int(np.sum(values > damping))
    figure, (matrix, spectrum, leading) = panels(
        3,
        width=11,
        title=f"one direction of {len(values)} holds {100 * share:.0f} % of the sum of eigenvalues",
    )
    _image(matrix, gram[:-1, :-1], cmap="cividis", vmin=0)
    label(matrix, title="X̃ᵀX̃ without the bias", x="pixel in the patch", y="the same", legend=None)
    # because of rounding, an eigenvalue of zero may be a few eps of the largest one
    shown = np.maximum(values, 1e-10 * values[0])
    spectrum.plot(np.arange(1, len(values) + 1), shown, "o-", color=COLOURS[0], markersize=4, label="λ")
    spectrum.axhline(damping, color=COLOURS[1], linestyle="--", label=f"1/η = {spell(damping)}")
    spectrum.set_yscale("log")
    label_powers_of_ten(spectrum.yaxis)
    _count(spectrum.xaxis)
    label(spectrum, title=f"{above} of {len(values)} eigenvalues exceed 1/η", x="number", y="eigenvalue λ")
    first = vectors[:-1, : min(9, size**2)]
    columns = min(3, first.shape[1])
    draw_board(leading, mosaic(first.T.reshape(-1, size, size), columns), _symmetric(first))
    label(leading, title="eigenvectors of the largest λ", x="black −, grey 0, white +", y="", legend=None)
    return describe(
        figure,
        f"The left panel shows the Gram matrix of all patches of {len(pixels)} images without the bias, "
        f"{_by(gram[1:, 1:])}. The panel in the middle shows its eigenvalues with the bias, from "
        f"{spell(values[0])}, which is {100 * share:.0f} % of their sum, down to {spell(shown[-1])}, and a "
        f"line at 1/η = {spell(damping)}, which {above} of them exceed. The right panel shows the "
        f"eigenvectors of the {first.shape[1]} largest eigenvalues as patches.",
    )


def patch_gram(images: np.ndarray, size: int, stride: int, padding: int) -> np.ndarray:
    r"""Return X̃ᵀX̃ of all patches of images (N, height, width), with the column of ones, (size² + 1)²."""
    wiring = patches((1, *images.shape[1:]), size, stride=stride, padding=padding)
    x = wiring.rows(images.reshape(len(images), -1))
    x = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    return x.T @ x


def _by(matrix: np.ndarray) -> str:
    return f"{matrix.shape[0]} by {matrix.shape[1]}"


def _times(least: int, most: int) -> str:
    """Return in words how often something happens.

    >>> _times(1, 1), _times(0, 1), _times(9, 9), _times(1, 4)
    ('once', 'at most once', '9 times', '1 to 4 times')
    """
    if most == 1:
        return "once" if least == 1 else "at most once"
    return f"{most} times" if least == most else f"{least} to {most} times"


def _symmetric(values: np.ndarray) -> tuple[float, float]:
    """Return limits of grey for which zero is in the middle."""
    most = float(np.max(np.abs(values))) or 1.0
    return -most, most


def _image(axes: "Axes", values: np.ndarray, **options: Any) -> None:
    """Draw a matrix of pixels, with whole numbers on both axes."""
    axes.grid(False)
    axes.imshow(values, **options)
    _count(axes.xaxis, axes.yaxis)


def _count(*axes: Any) -> None:
    """Write few and whole numbers on these axes: ticks take most of the time of a redraw."""
    from matplotlib.ticker import MaxNLocator

    for axis in axes:
        axis.set_major_locator(MaxNLocator(3, integer=True, min_n_ticks=1))


def _frame(axes: "Axes", top: int, left: int, height: int, width: int, *, color: str) -> None:
    """Draw a frame around the pixels of a rectangle."""
    x, y = left - 0.5 + np.array([0, width, width, 0, 0]), top - 0.5 + np.array([0, 0, height, height, 0])
    axes.plot(x, y, color=color, clip_on=False)


def _write(axes: "Axes", values: np.ndarray) -> None:
    """Write every number into its pixel, in white where the pixel is dark."""
    middle = np.max(values) / 2
    for (row, column), value in np.ndenumerate(values):
        colour = "white" if value <= middle else "black"
        axes.text(column, row, f"{value:.0f}", color=colour, ha="center", va="center", fontsize=9)
