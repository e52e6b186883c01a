r"""A figure of the targets between LocoProp's and target propagation's, in a layer of two tanh units.

The layer says ŷ = tanh(â), and a linear layer with the loss ½‖ŷW − t‖² stands above it. t is what the network
says for the pre-activations GOAL, so that an exact inverse of everything above leads there.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from locoprop_ref import checks
from locoprop_ref.gauss_newton_targets import GaussNewtonTargets, output_jacobians
from locoprop_ref.layers import Layer
from locoprop_ref.losses import output_loss
from locoprop_ref.network import Network, forward
from locoprop_ref.plot.style import (
    COLOURS,
    GREY,
    describe,
    label,
    label_powers_of_ten,
    line_style,
    panels,
    spell,
    styled,
)
from locoprop_ref.transfers import transfer

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

START, GOAL = (-0.5, 0.8), (0.6, -0.4)  # â₀, and the pre-activations for which the loss is 0
TAUS = np.logspace(-4, 0, 81)
ACROSS, UP = (-2.1, 1.2), (-1.45, 1.35)  # the part of the plane that is drawn


def two_units(ratio: float) -> tuple[Network, np.ndarray]:
    r"""Return the network (2, 2, 2), whose first layer passes its input on to tanh, and t, (1, 2).

    Args:
        ratio: largest over smallest singular value of W above, at least 1; the largest is 1.

    Raises:
        ValueError, TypeError: a ratio below 1.
    """
    if checks.number("ratio", ratio) < 1:
        raise ValueError(f"ratio must be at least 1, got {ratio!r}")
    left, right = _rotation(0.5), _rotation(-0.3)
    W = left @ np.diag([1.0, 1 / ratio]) @ right
    layers = (
        Layer(np.eye(2), np.zeros(2), transfer("tanh")),
        Layer(W, np.zeros(2), transfer("identity")),
    )
    return Network(layers, output_loss("squared_error")), np.tanh(np.array([GOAL])) @ W


def _rotation(angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s], [s, c]])


def displacements(taus: Any, target_step: float, ratio: float) -> np.ndarray:
    """Return how the target of every τ moves the two pre-activations, −d, one row for each τ.

    Args:
        taus: the values of τ.
        target_step: γ, the share of the error that is to be removed.
        ratio: of the singular values of W above.
    """
    network, t = two_units(ratio)
    trace = forward(network, np.array([START]))
    J, r = output_jacobians(network, trace)[0], trace.a_hat[-1] - t
    rules = [GaussNewtonTargets(target_step, float(tau)) for tau in taus]
    return np.array([-rule.displacement(J, r)[0] for rule in rules])


def by_exact_inverses(shares: Any, ratio: float) -> np.ndarray:
    r"""Return how target propagation with exact inverses moves them: arctanh((ŷ_M − γr) W⁻¹) − â₀.

    Args:
        shares: values of γ, 0 to 1; γ = 1 leads to GOAL.
        ratio: of the singular values of W above.
    """
    network, t = two_units(ratio)
    said = forward(network, np.array([START])).y_hat[-1]
    wanted = said - np.asarray(shares, dtype=float)[:, None] * (said - t)
    return np.arctanh(np.linalg.solve(network.layers[-1].W.T, wanted.T).T) - np.array(START)


def cosines(moves: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the cosines between the rows of one array and one vector."""
    return moves @ other / np.linalg.norm(moves, axis=1) / np.linalg.norm(other)


@styled
def target_displacements(tau: float = 0.1, target_step: float = 0.8, ratio: float = 3.0) -> "Figure":
    r"""Draw the displacement of two pre-activations for every τ, and its cosines with both ends.

    Args:
        tau: τ of the arrow, 0.0001 to 1. 1 is LocoProp's direction, and near 0 stands target propagation.
        target_step: γ, 0 < γ ≤ 1, the share of the error that is to be removed.
        ratio: largest over smallest singular value of the weights above, at least 1.

    Raises:
        ValueError, TypeError: an argument out of its range.
    """
    tau, gamma = _between("tau", tau, 1e-4), _between("target_step", target_step, 0.0)
    paths, (move, steepest) = displacements(TAUS, gamma, ratio), displacements([tau, 1.0], gamma, ratio)
    inverse = by_exact_inverses(np.linspace(0, gamma, 41), ratio)
    to_both = [_degrees(cosines(move[None], end)[0]) for end in (steepest, inverse[-1])]
    figure, (plane, right) = panels(
        2, height=5.0, title=f"τ = {spell(tau)}: the target lies {to_both[0]:.0f}° from LocoProp's "
        f"direction, {to_both[1]:.0f}° from target propagation's",
    )  # fmt: skip
    _draw_plane(plane, ratio, paths, inverse, {"move": move, "steepest": steepest})
    plane.set_title(f"γ = {spell(gamma)}, singular values 1 and {spell(1 / ratio)} above")
    names = ("LocoProp's direction (τ = 1)", "target propagation, exact inverses")
    for i, (name, end) in enumerate(zip(names, (steepest, inverse[-1]), strict=True)):
        right.plot(TAUS, cosines(paths, end), **line_style(i), label=f"with {name}")
    right.axvline(tau, color="black", linewidth=1)
    right.set(xscale="log", ylim=(min(0.0, cosines(paths, steepest).min()) - 0.02, 1.03))
    label_powers_of_ten(right.xaxis)
    label(right, title="cosine of the displacement", x="τ", y="cosine", legend="lower center")
    return describe(
        figure,
        f"The left panel shows contours of the network loss as a function of two pre-activations, and how "
        f"targets move them: along the gradient for τ = 1, and by the pseudo-inverse for τ near 0. With "
        f"τ = {spell(tau)} and γ = {spell(gamma)} the displacement is {to_both[0]:.0f} degrees from "
        f"LocoProp's direction and {to_both[1]:.0f} degrees from that of target propagation with exact "
        "inverses. The right panel shows both cosines against τ.",
    )


def _between(name: str, value: float, least: float) -> float:
    number = checks.number(name, value)
    if not (least <= number <= 1 and number > 0):
        above = f"at least {least:g}" if least else "above 0"
        raise ValueError(f"{name} must be {above} and at most 1, got {value!r}")
    return number


def _degrees(cosine: float) -> float:
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def _draw_plane(
    axes: "Axes", ratio: float, paths: np.ndarray, inverse: np.ndarray, arrows: dict[str, np.ndarray]
) -> None:
    """Draw the loss over the two pre-activations, the ends of all displacements, and two arrows."""
    network, t = two_units(ratio)
    first, second = np.meshgrid(np.linspace(*ACROSS, 101), np.linspace(*UP, 101))
    said = np.tanh(np.stack([first.ravel(), second.ravel()], axis=1)) @ network.layers[-1].W
    loss = np.sum((said - t) ** 2, axis=1).reshape(first.shape) / 2
    levels = np.linspace(0, np.sqrt(np.max(loss)), 14)[1:] ** 2
    axes.contour(first, second, loss, levels=levels, colors="#999999", linewidths=0.9)
    axes.grid(False)
    start = np.array(START)
    axes.plot(*(start + inverse).T, **line_style(1), label="exact inverses, up to γ")
    axes.plot(*(start + inverse[-1]), color=COLOURS[1], marker="s", markersize=8)
    axes.plot(*(start + paths).T, color=GREY, linestyle=":", label="targets of every τ")
    arrow: dict[str, Any] = {"width": 0.012, "angles": "xy", "scale_units": "xy", "scale": 1, "zorder": 4}
    axes.quiver(*start, *arrows["steepest"], color=COLOURS[0], **arrow, label="τ = 1: LocoProp")
    axes.quiver(*start, *arrows["move"], color=COLOURS[2], **arrow, label="this τ")
    axes.plot(*start, "ko", markersize=8)
    axes.plot(*GOAL, "k*", markersize=14, label="loss 0")
    axes.set(xlim=ACROSS, ylim=UP, aspect="equal")
    label(axes, x="pre-activation of unit 1", y="pre-activation of unit 2", legend="lower left")
