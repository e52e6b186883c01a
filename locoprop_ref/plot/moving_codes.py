r"""A figure of the codes of alternating minimization: two pairs of units, which move from the top down.

The network (3, 2, 2, 2) has two hidden layers of two tanh units, a linear output and one example. Its label
is what the network says for the first code GOAL, so that codes exist for which every objective is 0.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from locoprop_ref import checks
from locoprop_ref.code_targets import CodeTargets
from locoprop_ref.losses import output_loss
from locoprop_ref.network import Network, backward, forward, initialize
from locoprop_ref.plot.style import COLOURS, GREY, describe, label, line_style, panels, spell, styled
from locoprop_ref.transfers import transfer

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

X, GOAL = np.array([[0.5, -1.0, 0.8]]), np.array([[-0.86, 0.41]])
SEED = 22  # one for which both codes have some way to go
VIEW = (-2.0, 2.0)


def example() -> tuple[Network, np.ndarray]:
    """Return the network, and the label, (1, 2)."""
    network = initialize((3, 2, 2, 2), transfers=("tanh", "tanh", "identity"), seed=SEED)
    _, second, third = network.layers
    return network, third.pre_activation(np.tanh(second.pre_activation(np.tanh(GOAL))))


def code_paths(num_steps: int, code_lr: float, coupling: float) -> tuple[np.ndarray, np.ndarray]:
    r"""Return c_1 and c_2 before the first and after each of K steps, (K + 1, 2) each.

    The code c_1 sees c_2 after its K steps. For it this is a label: the network of the lower two layers, with
    a linear output and the loss ½‖ĉ_2 − c_2‖², has the same code.

    Args:
        num_steps: K ≥ 1.
        code_lr: s > 0.
        coupling: μ > 0.
    """
    network, t = example()
    upper = _path(network, t, num_steps, code_lr, coupling)
    first, second = network.layers[:2]
    linear = type(second)(second.W, second.b, transfer("identity"))
    lower = Network((first, linear), output_loss("squared_error"))
    return _path(lower, upper[None, -1], num_steps, code_lr, 1.0), upper


def _path(network: Network, t: np.ndarray, num_steps: int, code_lr: float, coupling: float) -> np.ndarray:
    """Return the topmost code after 0..K steps."""
    trace = forward(network, X)
    rules = [CodeTargets(k, code_lr, coupling) for k in range(1, checks.integer("num_steps", num_steps) + 1)]
    return np.vstack([trace.a_hat[-2], *(rule.codes(network, trace, t)[-1] for rule in rules)])


def objectives(codes: Any, above: Any, coupling: float) -> tuple[Any, Any]:
    r"""Return ½‖ĉ_2(c_1) − c_2‖² and (1/μ)L(c_2) at the rows of an array of codes.

    Args:
        codes: (N, 2), values of c_1, or of c_2.
        above: (2,), the code c_2 that c_1 sees.
        coupling: μ.
    """
    network, t = example()
    _, second, third = network.layers
    lower = np.sum((second.pre_activation(np.tanh(codes)) - above) ** 2, axis=1) / 2
    return lower, np.sum((third.pre_activation(np.tanh(codes)) - t) ** 2, axis=1) / 2 / coupling


@styled
def codes_moving(num_steps: int = 10, code_lr: float = 0.5, coupling: float = 1.0) -> "Figure":
    r"""Draw the K steps of both codes on the contours of what each of them minimizes.

    Args:
        num_steps: K ≥ 1.
        code_lr: s > 0, size of the steps.
        coupling: μ > 0; the network loss has the weight 1/μ.

    Raises:
        ValueError, TypeError: an argument out of its range.
    """
    s, mu = checks.positive("code_lr", code_lr), checks.positive("coupling", coupling)
    lower, upper = code_paths(num_steps, s, mu)
    network, t = example()
    g = backward(network, forward(network, X), t)
    figure, (top, low) = panels(
        2, height=5.0, title=f"after {_steps(num_steps)}: {_fallen(lower, upper, mu)}"
    )
    parts = ((top, 2, upper, s / mu), (low, 1, lower, s**2 / mu))
    for axes, number, path, gamma in parts:
        _draw_plane(axes, number, upper[-1], mu)
        goal = path[0] - gamma * g[number - 1][0]
        axes.plot(*path.T, **line_style(0), marker="o", markersize=5, label="code, step by step")
        axes.plot(*path[0], "ko", markersize=7, label="forward pass")
        axes.plot(
            *goal, color=COLOURS[1], marker="s", markersize=11, markerfacecolor="none", markeredgewidth=2,
            linestyle="none", label=f"target of S, γ = {spell(gamma)}",
        )  # fmt: skip
        what = ("½‖ĉ₂(c₁) − c₂‖²", "L/μ")[number - 1]
        order = ("second", "first")[number - 1]
        label(
            axes, title=f"layer {number} moves {order}, on {what}", x="code of unit 1",
            y="code of unit 2", legend=("lower left", "upper left")[number - 1],
        )  # fmt: skip
    return describe(
        figure,
        f"Two panels with contours, one for each hidden layer of two units. The codes start at the forward "
        f"pass and take {_steps(num_steps)} of size {spell(s)} downhill, layer 2 first, with the weight "
        f"1/μ = {spell(1 / mu)} of the network loss; {_fallen(lower, upper, mu)}. Two squares mark the "
        f"targets of LocoProp-S with γ = {spell(s**2 / mu)} in layer 1 and {spell(s / mu)} in layer 2, where "
        "the codes stand if K = 1.",
    )


def _steps(number: int) -> str:
    return "1 code step" if number == 1 else f"{number} code steps"


def _fallen(lower: np.ndarray, upper: np.ndarray, coupling: float) -> str:
    """Return in words what is left of each objective."""
    ends = (
        objectives(lower[[0, -1]], upper[-1], coupling)[0],
        objectives(upper[[0, -1]], upper[-1], coupling)[1],
    )
    parts = [_percent(float(values[1] / values[0])) for values in ends]
    return f"{parts[1]} of the objective of layer 2 is left, {parts[0]} of layer 1's"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share >= 0.001 else "< 0.1 %"


def _draw_plane(axes: "Axes", number: int, above: np.ndarray, coupling: float) -> None:
    """Draw contours of the objective of a code at equal steps of its square root."""
    first, second = np.meshgrid(np.linspace(*VIEW, 81), np.linspace(*VIEW, 81))
    codes = np.stack([first.ravel(), second.ravel()], axis=1)
    values = objectives(codes, above, coupling)[number - 1].reshape(first.shape)
    levels = np.linspace(np.sqrt(np.min(values)), np.sqrt(np.max(values)), 16)[1:] ** 2
    axes.contour(first, second, values, levels=levels, colors=GREY, linewidths=0.6)
    axes.grid(False)
    axes.set(xlim=VIEW, ylim=VIEW, aspect="equal")
