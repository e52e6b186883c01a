"""Figures of layers with positions, over the grid of their sliders: numbers against loops."""

from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal, assert_equal

from locoprop_ref import plot
from locoprop_ref.network import initialize
from locoprop_ref.plot.patches import patch_gram
from locoprop_ref.plot.shared_weights import lengths_by_step

RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(size=(3, 10, 10))
BEFORE, CHANGE, SLOPE = (RNG.normal(size=(10, 4)) for _ in range(3))
X, G = RNG.normal(size=(7 * 3, 5)), RNG.normal(size=(7 * 3, 2))
KERNELS = list(product([1, 3, 5], [1, 3], [0, 2]))


def naive_rows(image, size, stride, padding):
    """The patches of an image, and their upper left corners, by plain loops over the padded image."""
    padded = np.pad(image, padding)
    places = range(0, len(padded) - size + 1, stride)
    corners = [(i, j) for i in places for j in places]
    return np.array([padded[i : i + size, j : j + size].ravel() for i, j in corners]), corners


def shown(panel):
    return np.ma.filled(panel.images[0].get_array(), np.nan)


# ------------------------------ rows and table


@pytest.mark.parametrize(("size", "stride", "padding"), KERNELS)
@pytest.mark.parametrize(("down", "across"), [(0.0, 0.99), (0.36, 0.64), (0.99, 0.0)])
def test_patches_as_rows(size, stride, padding, down, across):
    figure = plot.patches_as_rows(IMAGES[0], size, stride, padding, down, across)
    rows, corners = naive_rows(IMAGES[0], size, stride, padding)
    side = round(np.sqrt(len(rows)))
    number = int(down * side) * side + int(across * side)
    whole, table, said = figure.axes
    assert_equal(
        figure.get_suptitle(),
        f"{len(rows)} patches of {size} by {size} pixels are {len(rows)} rows of one layer",
    )
    assert_array_equal(shown(whole), np.pad(IMAGES[0], padding))
    assert_array_equal(shown(table), rows)
    assert_array_equal(table.lines[0].get_ydata(), [number, number])
    # sums of 25 products of size 1
    assert_allclose(shown(said).ravel(), [sum(row * rows[number]) for row in rows], atol=1e-13)
    # the frame stands around the patch, and the small frame around its output
    frame = whole.lines[1].get_xydata()
    assert_array_equal(frame.min(axis=0) + 0.5, corners[number][::-1])
    assert_array_equal(frame.max(axis=0) + 0.5, np.array(corners[number][::-1]) + size)
    column, row = said.lines[0].get_xydata().min(axis=0) + 0.5
    assert_array_equal(shown(said)[int(row), int(column)], shown(said).ravel()[number])
    assert_equal((int(row) * stride, int(column) * stride), corners[number])
    assert f"patch {number} of {len(rows)}" in plot.alt_text(figure)


@pytest.mark.parametrize(("size", "stride", "padding"), [*KERNELS, (2, 3, 0), (4, 4, 3)])
def test_table_turned_round(size, stride, padding):
    figure = plot.table_turned_round(6, 6, size, stride, padding)
    # the numbers of the pixels, with -1 for padding
    rows = naive_rows(1.0 + np.arange(36).reshape(6, 6), size, stride, padding)[0] - 1
    counts = np.array([np.sum(rows == pixel) for pixel in range(36)])
    pixels, table, often = figure.axes
    assert_array_equal(shown(pixels), np.arange(36).reshape(6, 6))
    assert_array_equal(np.nan_to_num(shown(table), nan=-1), rows)
    assert_array_equal(shown(often).ravel(), counts)
    assert_equal([text.get_text() for text in often.texts], [str(count) for count in counts])
    least, most = counts.min(), counts.max()
    words = {(1, 1): "once", (0, 1): "at most once"}.get((least, most), f"{least} to {most} times")
    words = f"{most} times" if least == most > 1 else words
    assert figure.get_suptitle().startswith(f"every pixel stands {words} in the table")
    assert f" {np.sum(rows < 0)} of its entries are padding" in plot.alt_text(figure)


# ------------------------------ Gram matrix


@pytest.mark.parametrize(("size", "stride", "padding"), KERNELS)
@pytest.mark.parametrize("eta", [1e-3, 0.1, 100.0])
def test_gram_of_patches(size, stride, padding, eta):
    figure = plot.gram_of_patches(IMAGES, size, stride, padding, eta)
    rows = np.vstack([naive_rows(image, size, stride, padding)[0] for image in IMAGES])
    rows = np.hstack([rows, np.ones((len(rows), 1))])
    gram = sum(np.outer(row, row) for row in rows)
    assert_allclose(patch_gram(IMAGES, size, stride, padding), gram, rtol=1e-12)
    matrix, spectrum, leading = figure.axes
    assert_allclose(shown(matrix), gram[:-1, :-1], rtol=1e-12)
    # a second way to the eigenvalues: the squares of the singular values of the rows
    values = np.linalg.svd(rows, compute_uv=False) ** 2
    values = np.concatenate([values, np.zeros(size**2 + 1 - len(values))])
    expected = np.maximum(values, 1e-10 * values[0])
    assert_allclose(spectrum.lines[0].get_ydata(), expected, atol=1e-9 * values[0])
    assert_allclose(spectrum.lines[1].get_ydata(), 1 / eta)
    assert spectrum.get_title().startswith(f"{np.sum(values > 1 / eta)} of {size**2 + 1} eigenvalues")
    assert f"holds {100 * values[0] / values.sum():.0f} % of the sum" in figure.get_suptitle()
    # each picture is an eigenvector, without its last entry, the bias
    board = shown(leading)
    for i in range(min(9, size**2)):
        top, left = 1 + (i // 3) * (size + 1), 1 + (i % 3) * (size + 1)
        v = board[top : top + size, left : left + size].ravel()
        rest = np.sqrt(max(0.0, 1 - v @ v))
        errors = [np.linalg.norm(gram @ e - values[i] * e) for e in (np.append(v, rest), np.append(v, -rest))]
        assert min(errors) < 1e-6 * values[0]  # the entry of the bias has half the digits where it is small


# ------------------------------ filters


@pytest.mark.parametrize("scale", [1e-6, 0.1, 10.0])
def test_filters_of_a_step(scale):
    after = BEFORE + scale * CHANGE
    figure = plot.filters_of_a_step(BEFORE, after, SLOPE, name="my step")
    change = after - BEFORE
    cosine = -np.sum(change * SLOPE) / np.linalg.norm(change) / np.linalg.norm(SLOPE)
    percent = 100 * np.linalg.norm(change) / np.linalg.norm(BEFORE)
    assert figure.get_suptitle().startswith(f"my step changes W̃ by {percent:.3g} %".replace("-", "−"))
    assert figure.get_suptitle().endswith(f"{np.degrees(np.arccos(cosine)):.0f}° from the negative gradient")
    for panel, W in zip(figure.axes, (BEFORE, after, change, -SLOPE), strict=True):
        board = shown(panel)
        filters = [board[1:4, 1 + 4 * i : 4 + 4 * i].ravel() for i in range(4)]
        assert_array_equal(np.transpose(filters), W[:-1])
        low, high = panel.images[0].get_clim()
        assert low == -high and high >= np.abs(W[:-1]).max()
    # the filters before and after are drawn in the same greys
    assert_equal(*(panel.images[0].get_clim() for panel in figure.axes[:2]))


# ------------------------------ time


@pytest.mark.parametrize("growth", [0.3, 1.0, 1.7])
def test_gradient_through_time(growth):
    g = G * growth ** np.repeat(np.arange(6, -1, -1), 3)[:, None]
    figure = plot.gradient_through_time(X, g, steps=7, growth=growth)
    lengths = [np.sqrt(sum(np.sum(g[3 * t + i] ** 2) for i in range(3))) for t in range(7)]
    parts = [np.linalg.norm(sum(np.outer(X[3 * t + i], g[3 * t + i]) for i in range(3))) for t in range(7)]
    left, right = figure.axes
    assert_allclose(left.lines[0].get_ydata(), lengths, rtol=1e-14)
    assert_allclose(
        left.lines[1].get_ydata(), [lengths[-1] * growth ** (6 - t) for t in range(7)], rtol=1e-14
    )
    assert_allclose([bar.get_height() for bar in right.patches], 100 * np.array(parts) / sum(parts))
    late = min(k for k in range(1, 8) if sum(parts[-k:]) >= sum(parts) / 2)
    beginning = "the last step gives" if late == 1 else f"the last {late} of 7 steps give"
    assert right.get_title().startswith(beginning)
    factor = lengths[0] / lengths[-1]
    verb = "grows" if factor > 1 else "shrinks"
    assert figure.get_suptitle().endswith(f"{verb} to {factor:.3g} times its length".replace("-", "−"))


def test_a_gradient_that_keeps_its_length():
    figure = plot.gradient_through_time(np.ones((4, 2)), np.ones((4, 1)), steps=4, growth=1.0)
    assert_equal(figure.get_suptitle(), "from step 4 back to step 1 the gradient keeps its length")
    assert_equal(figure.axes[1].get_title(), "the last 2 of 4 steps give at least half")


# ------------------------------ all of them

EVERY = {
    "rows": lambda: plot.patches_as_rows(IMAGES[0], 3),
    "table": plot.table_turned_round,
    "gram": lambda: plot.gram_of_patches(IMAGES, 3),
    "filters": lambda: plot.filters_of_a_step(BEFORE, BEFORE + CHANGE, SLOPE),
    "time": lambda: plot.gradient_through_time(X, G, steps=7, growth=0.9),
}


@pytest.mark.parametrize("draw", EVERY.values(), ids=EVERY)
def test_figures_have_words_titles_and_the_same_bytes(draw):
    figure = draw()
    assert len(plot.alt_text(figure)) > 60 and figure.get_suptitle()
    assert all(panel.get_ylabel() or panel.get_title() for panel in figure.axes)
    assert_equal(plot.rendered(figure) == plot.rendered(draw()), True)


WRONG = {
    "image": (lambda: plot.patches_as_rows(np.ones(4)), "image must be (height, width), got shape (4,)"),
    "size": (lambda: plot.patches_as_rows(IMAGES[0], 11), "size must be at most that of the image, 10x10"),
    "down": (
        lambda: plot.patches_as_rows(IMAGES[0], down=1.0),
        "down must be at least 0 and below 1, got 1.0",
    ),
    "across": (lambda: plot.patches_as_rows(IMAGES[0], across=-1), "across must be at least 0 and below 1"),
    "stride": (lambda: plot.table_turned_round(stride=0), "stride must be an integer of at least 1, got 0"),
    "padding": (lambda: plot.table_turned_round(padding=-1), "padding must be an integer of at least 0"),
    "eta": (lambda: plot.gram_of_patches(IMAGES, weight_step=0.0), "weight_step must be a positive number"),
    "shapes": (
        lambda: plot.filters_of_a_step(BEFORE, BEFORE[:-1], SLOPE),
        "after and gradient must have shape (10, 4), got (9, 4), (10, 4)",
    ),
    "no square": (
        lambda: plot.filters_of_a_step(BEFORE[1:], BEFORE[1:] + 1, SLOPE[1:]),
        "before must hold rows of 2·2 pixels, got 8",
    ),
    "no step": (
        lambda: plot.filters_of_a_step(BEFORE, BEFORE, SLOPE),
        "after must differ from before, got the same weights",
    ),
    "rows": (lambda: lengths_by_step(X, G, 5), "x and g must have a multiple of 5 rows each, got 21, 21"),
    "zero": (
        lambda: plot.gradient_through_time(X, 0 * G, steps=7, growth=1.0),
        "g must differ from zero at every step, got zeros",
    ),
    "growth": (lambda: plot.gradient_through_time(X, G, steps=7, growth=0.0), "growth must be a positive"),
}


@pytest.mark.parametrize(("call", "sentence"), WRONG.values(), ids=WRONG)
def test_bad_input_gets_one_sentence(call, sentence):
    with pytest.raises((ValueError, TypeError)) as error:
        call()
    assert sentence in str(error.value) and "\n" not in str(error.value)


# ------------------------------ filters of a network


def network_of(layers):
    transfers = ["tanh" for word in layers.split("-")[1:] if word[0] not in "mp"]
    return initialize(layers, transfers=transfers, output_loss="squared_error", seed=0)


@pytest.mark.parametrize("layers", ["8x8x2-c3x4-5", "8x8x2-m2-c3x4-p2-5", "5x5x2-c3x4/2+1-6"])
def test_filters_of_a_network(layers):
    """Every place of a strip is the weight of its channel, kernel row and kernel column."""
    network = network_of(layers)
    figure = plot.filters_of_network(network)
    W = network.layers[0].W
    assert_equal(len(figure.axes), 2)
    for channel, panel in enumerate(figure.axes):
        assert_equal(panel.get_ylabel(), f"channel {channel}")
        for (row, column), number in product(product(range(3), repeat=2), range(4)):
            drawn = shown(panel)[1 + row, 1 + number * 4 + column]
            assert_equal(drawn, W[9 * channel + 3 * row + column, number])
    assert "4 filters of 3 by 3 pixels on 2 channels" in plot.alt_text(figure)


@pytest.mark.parametrize(
    ("layers", "kind"), [("9-4-9", "dense"), ("3x3-r4-9", "recurrent"), ("8x8x1-p2-4", "dense")]
)
def test_a_network_that_begins_otherwise_has_no_filters(layers, kind):
    with pytest.raises(
        ValueError, match=f"must begin with a convolution to have filters, got a {kind} layer"
    ):
        plot.filters_of_network(network_of(layers))
