r"""Figures of weights that are used many times: filters, filters before and after a step, steps in time."""

from typing import TYPE_CHECKING, Any

import numpy as np

from locoprop_ref import checks
from locoprop_ref.backend import to_numpy
from locoprop_ref.network import Network
from locoprop_ref.plot.images import as_images, draw_board, mosaic
from locoprop_ref.plot.style import (
    COLOURS,
    describe,
    label,
    label_powers_of_ten,
    line_style,
    panels,
    spell,
    styled,
)
from locoprop_ref.plot.update_path import angle

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@styled
def filters_of_a_step(before: Any, after: Any, gradient: Any, *, name: str = "the step") -> "Figure":
    r"""Draw the filters of a convolution on one channel before and after a step, its change, and −∂L/∂W̃.

    The filters share one grey scale; the change and the negative gradient have one each.

    Args:
        before: (size² + 1, filters) W̃ with the bias in its last row, which is not drawn.
        after: W̃ after the step.
        gradient: ∂L/∂W̃ before the step.
        name: what the step is, for the title.

    Raises:
        ValueError: the shapes differ, the filters are not square, or the weights have not changed.
    """
    old, new, slope = (np.asarray(W, dtype=float) for W in (before, after, gradient))
    if not old.shape == new.shape == slope.shape:
        raise ValueError(f"after and gradient must have shape {old.shape}, got {new.shape}, {slope.shape}")
    change = new - old
    if not np.any(change):
        raise ValueError("after must differ from before, got the same weights")
    relative = float(np.linalg.norm(change) / np.linalg.norm(old))
    turned = angle(-slope, change)
    strips = {"before": old, "after": new, "change": change, "−gradient": -slope}
    scales = {"before": max(np.abs(old[:-1]).max(), np.abs(new[:-1]).max())}
    scales |= {"after": scales["before"], "change": np.abs(change[:-1]).max()}
    count = old.shape[1]
    height = 0.9 + 4 * (0.1 + 6.4 / count)
    figure, axes = panels(
        rows=4, width=9.0, height=height, left=1.6, below=0.1, gap=0.1,
        title=f"{name} changes W̃ by {_percent(relative)}, {turned:.0f}° from the negative gradient",
    )  # fmt: skip
    for panel, (row, W) in zip(axes, strips.items(), strict=True):
        most = float(scales.get(row, np.abs(W[:-1]).max())) or 1.0
        draw_board(panel, mosaic(as_images(row, W[:-1].T), count), (-most, most))
        panel.set_ylabel(row, rotation=0, ha="right", va="center")
    return describe(
        figure,
        f"Four rows of {count} filters: before the step, after it, their change, and the negative gradient. "
        f"Black is negative, grey zero, white positive; the change and the gradient have grey scales of "
        f"their own. {name[0].upper()}{name[1:]} changes the weights by {_percent(relative)} of their "
        f"length, at an angle of {turned:.0f} degrees to the negative gradient.",
    )


@styled
def filters_of_network(network: Network) -> "Figure":
    """Draw the filters of a network's first layer, a convolution: a column for each, a row for each channel.

    All share one grey scale: black is negative, grey zero, white positive. The bias is not drawn.

    Args:
        network: trained or not.

    Raises:
        ValueError: the first layer is no convolution, so that its weights are no small images.
        TypeError: no Network.
    """
    layer = checks.instance("network", network, Network, "a Network, as initialize makes").layers[0]
    if layer.wiring is None or layer.recurrent or layer.wiring.recipe[-1][0] != "patches":
        kind = "recurrent" if layer.recurrent else "dense"
        raise ValueError(f"network must begin with a convolution to have filters, got a {kind} layer")
    _, (channels, *_), size, *_ = layer.wiring.recipe[-1]
    W = to_numpy(layer.W).reshape(channels, size, size, -1).astype(float)
    count, most = W.shape[3], float(np.abs(W).max()) or 1.0
    figure, axes = panels(
        rows=channels, width=9.0, height=0.9 + channels * (0.1 + min(1.6, 7.2 / count)), left=1.6, below=0.1,
        gap=0.1, title=f"the {count} filters of the first layer, {size} by {size} pixels",
    )  # fmt: skip
    for channel, panel in enumerate(axes):
        draw_board(panel, mosaic(np.moveaxis(W[channel], 2, 0), count), (-most, most))
        if channels > 1:
            panel.set_ylabel(f"channel {channel}", rotation=0, ha="right", va="center")
    return describe(
        figure,
        f"{count} filters of {size} by {size} pixels on {channels} channels, black where a weight is "
        f"negative and white where it is positive; the largest weight is {spell(most)} in size.",
    )


@styled
def gradient_through_time(x: Any, g: Any, *, steps: int, growth: float) -> "Figure":
    r"""Draw the length of g at every step of a recurrent layer, and what every step adds to ∂L/∂W̃.

    Args:
        x: (steps · B, d̃) rows x̃ of the layer, ordered (step, example).
        g: (steps · B, d_out), ∂L/∂â, in the same order, of a loss that reads the last step alone.
        steps: T.
        growth: the largest singular value of W_h: where |f′| ≤ 1, ‖g_t‖ ≤ growth^(T−t) ‖g_T‖.

    Raises:
        ValueError, TypeError: the rows are no multiple of the steps, or g is zero at a step.
    """
    T = checks.integer("steps", steps)
    checks.positive("growth", growth)
    lengths, parts = lengths_by_step(x, g, T)
    if not np.all(lengths > 0):
        raise ValueError("g must differ from zero at every step, got zeros")
    number, factor = np.arange(1, T + 1), float(lengths[0] / lengths[-1])
    share = parts / np.sum(parts)
    late = int(np.argmax(np.cumsum(share[::-1]) >= 0.5)) + 1
    figure, (left, right) = panels(2, title=f"from step {T} back to step 1 the gradient {_became(factor)}")
    left.plot(number, lengths, marker="o", markersize=4, **line_style(0), label="‖g‖ at this step")
    bound = lengths[-1] * float(growth) ** (T - number)
    left.plot(number, bound, **line_style(1), label=f"‖g‖ at the last step · {spell(growth)}^(T − t)")
    left.set_yscale("log")
    both = np.concatenate([lengths, bound])
    left.set_ylim(np.min(both) / 12, np.max(both) * 12)
    label_powers_of_ten(left.yaxis)
    label(left, title="derivative of the loss", x="step t", y="length", legend="best")
    right.bar(number, 100 * share, color=COLOURS[2])
    last = "the last step gives" if late == 1 else f"the last {late} of {T} steps give"
    label(right, title=f"{last} at least half", x="step t", y="% of Σ ‖x̃ᵀg‖", legend=None)
    return describe(
        figure,
        f"The left panel shows the length of the derivative of the loss at each of {T} steps: "
        f"{spell(lengths[-1])} at the last, {spell(lengths[0])} at the first, and a curve with the factor "
        f"{spell(growth)} from step to step. The right panel shows the length of what each step adds to the "
        f"gradient of the weights, as a share of the sum of these lengths: {100 * share[-1]:.0f} % at the "
        f"last step, {100 * share[0]:.1g} % at the first; {last} at least half of the sum.",
    )


def lengths_by_step(x: Any, g: Any, steps: int) -> tuple[np.ndarray, np.ndarray]:
    r"""Return ‖g_t‖ and ‖x̃_tᵀg_t‖ of every step, from rows that are ordered (step, example).

    Raises:
        ValueError: the rows are no multiple of the steps, or x and g have different numbers of rows.
    """
    rows, slopes = np.asarray(x), np.asarray(g)
    if len(rows) % steps or len(rows) != len(slopes):
        raise ValueError(f"x and g must have a multiple of {steps} rows each, got {len(rows)}, {len(slopes)}")
    by_step = zip(np.split(rows, steps), np.split(slopes, steps), strict=True)
    both = [(np.linalg.norm(g_t), np.linalg.norm(x_t.T @ g_t)) for x_t, g_t in by_step]
    lengths, parts = np.array(both).T
    return lengths, parts


def _percent(share: float) -> str:
    return f"{spell(100 * share)} %"


def _became(factor: float) -> str:
    """Return in words how a length has changed by a factor.

    >>> _became(0.01), _became(1.0001)
    ('shrinks to 0.01 times its length', 'keeps its length')
    """
    if abs(factor - 1) < 0.005:
        return "keeps its length"
    return f"{'grows' if factor > 1 else 'shrinks'} to {spell(factor)} times its length"
