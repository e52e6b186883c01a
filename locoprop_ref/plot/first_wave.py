r"""A figure of predictive coding's first wave: the error at the output arrives layer by layer.

Every layer m has value nodes a_m, which start at the forward pass. Those of the output are held at
â_M − nudge·∂L/∂â_M. The energy is E = Σ_m ½‖ε_m‖² with the errors ε_m = a_m − (f(a_{m−1})W_m + b_m), and in
every time step all hidden nodes take a gradient step of size s on it,

    a_m ← a_m − s (ε_m − (ε_{m+1} W_{m+1}ᵀ) f′(a_m)).

The wave reaches layer m at the time M − m. Then ε_m = −nudge·s^{M−m} ∂L/∂â_m, the error of BackProp.

Source: Song, Lukasiewicz, Xu, Bogacz, "Can the Brain Do Backpropagation? — Exact Implementation of
Backpropagation in Predictive Coding Networks", NeurIPS 2020.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from locoprop_ref import checks
from locoprop_ref.network import Network, backward, forward
from locoprop_ref.plot.style import COLOURS, describe, label, panels, spell, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def errors(network: Network, x: Any, nodes: Sequence[Any]) -> list[Any]:
    """Return ε_m of every layer, from the bottom up.

    Args:
        network: of dense layers.
        x: (B, d_0).
        nodes: the value nodes of every layer, (B, d_m) each.
    """
    found, y = [], x
    for layer, a in zip(network.layers, nodes, strict=True):
        found.append(a - layer.pre_activation(y))
        y = layer.transfer.f(a)
    return found


def moved(network: Network, nodes: Sequence[Any], found: Sequence[Any], step: float) -> list[Any]:
    """Return the value nodes after one time step, of which the last stay where they are.

    Args:
        network: of dense layers.
        nodes: the value nodes of every layer.
        found: their `errors`.
        step: s.
    """
    new = []
    for m, layer in enumerate(network.layers[:-1]):
        pulled = network.layers[m + 1].pull_back(found[m + 1], layer.transfer.f(nodes[m]))
        new.append(nodes[m] - step * (found[m] - layer.transfer.vjp(nodes[m], pulled)))
    return [*new, nodes[-1]]


def wave(network: Network, x: Any, t: Any, *, step: float, nudge: float, times: int) -> list[list[Any]]:
    """Return the errors of every layer at the times 0, 1, ..., each a list from the bottom up.

    Args:
        network: of dense layers.
        x: (B, d_0).
        t: (B, d_M), what the network should say.
        step: s > 0.
        nudge: how far the output is held from the forward pass, in multiples of −∂L/∂â_M.
        times: how many times.
    """
    trace = forward(network, x)
    g = backward(network, trace, t)
    nodes: list[Any] = [*trace.a_hat[:-1], trace.a_hat[-1] - nudge * g[-1]]
    history = []
    for _ in range(times):
        history.append(errors(network, x, nodes))
        nodes = moved(network, nodes, history[-1], step)
    return history


def settled(
    network: Network, x: Any, t: Any, nudge: float, *, step: float = 0.2, num_steps: int = 1000
) -> list[Any]:
    """Return the errors at convergence.

    Args:
        network: of dense layers.
        x: (B, d_0).
        t: (B, d_M), what the network should say.
        nudge: how far the output is held from the forward pass, in multiples of −∂L/∂â_M.
        step: s, default 0.2, small enough for weights of size 1.
        num_steps: how many of them, default 1000, enough for a network of five layers.
    """
    return wave(network, x, t, step=step, nudge=nudge, times=num_steps + 1)[-1]


@styled
def errors_arriving(network: Network, x: Any, t: Any, *, step: float = 0.5, nudge: float = 1.0) -> "Figure":
    r"""Draw how long the errors are at every time of the first wave, and how far they are from BackProp's.

    Args:
        network: of dense layers.
        x: (B, d_0).
        t: (B, d_M), what the network should say.
        step: s, 0 < s ≤ 1; with 1 the first wave is BackProp.
        nudge: > 0, how far the output is held from the forward pass, in multiples of −∂L/∂â_M.

    Raises:
        ValueError, TypeError: an argument out of its range.
    """
    if checks.positive("step", step) > 1:
        raise ValueError(f"step must be at most 1, got {step!r}")
    checks.positive("nudge", nudge)
    checks.instance("network", network, Network, "a Network, as initialize makes")
    M = len(network.layers)
    g = backward(network, forward(network, x), t)
    history = wave(network, x, t, step=step, nudge=nudge, times=M)
    lengths = np.array([[_length(e) / (nudge * _length(g_m)) for e, g_m in zip(now, g, strict=True)]
                        for now in history]).T  # fmt: skip
    first = [apart(history[M - m][m - 1], g[m - 1], nudge * step ** (M - m)) for m in range(1, M + 1)]
    last = settled(network, x, t, nudge)
    far = [apart(e, g_m, nudge) for e, g_m in zip(last, g, strict=True)]
    says = "BackProp's error" if step == 1 else f"{spell(step)}ᴹ⁻ᵐ of BackProp's error"
    figure, (table, bars) = panels(
        2,
        height=4.8,
        gap=1.1,
        title=f"the first wave brings {says}; the converged error is {_range(far)} off",
    )
    _draw_table(table, lengths)
    _draw_bars(bars, first, far, [-cosine(e, g_m) for e, g_m in zip(last, g, strict=True)])
    cells = ", ".join(f"{spell(lengths[m - 1, M - m])} in layer {m}" for m in range(M, 0, -1))
    return describe(
        figure,
        f"The left panel is a table of layers and times. Each number is the length of a layer's error over "
        f"that of BackProp, 0 before the wave arrives, and on its arrival {cells}. The right panel shows the "
        f"relative distance from BackProp's error for every layer: {spell(max(first))} at most when the wave "
        f"arrives, and {_range(far)} of its length at convergence, with the output held at {spell(nudge)} "
        "times the step of BackProp.",
    )


def apart(error: Any, g: Any, gamma: float) -> float:
    """Return ‖ε + γg‖/‖γg‖, the relative distance of an error from γ times that of BackProp."""
    return _length(error + gamma * g) / _length(gamma * g)


def cosine(error: Any, g: Any) -> float:
    """Return the cosine of the angle between two arrays of one shape."""
    return float(np.sum(error * g)) / (_length(error) * _length(g))


def _length(values: Any) -> float:
    return float(np.linalg.norm(values))


def _range(shares: Sequence[float]) -> str:
    least, most = 100 * min(shares), 100 * max(shares)
    return f"{least:.0f} to {most:.0f} %" if round(least) < round(most) else f"{most:.0f} %"


def _draw_table(axes: "Axes", lengths: np.ndarray) -> None:
    """Draw the lengths, one row a layer, the output at the top, and a frame where the wave arrives."""
    from matplotlib.patches import Rectangle

    M = len(lengths)
    axes.imshow(np.sqrt(lengths), origin="lower", cmap="Blues", vmin=0, vmax=1.5, aspect="auto")
    for m, k in np.ndindex(M, M):
        value = lengths[m, k]
        text = "0" if value == 0 else f"{value:.3g}" if value >= 0.01 else f"{value:.1g}"
        colour = "white" if value > 1 else "black"
        axes.text(k, m, text, ha="center", va="center", color=colour, fontsize=12)
        if m + k == M - 1:
            frame = Rectangle(
                (k - 0.47, m - 0.47), 0.94, 0.94, fill=False, edgecolor=COLOURS[1], linewidth=2.5
            )
            axes.add_patch(frame)
    axes.grid(False)
    axes.set(xticks=range(M), yticks=range(M))
    axes.set_yticklabels([f"layer {m}" for m in range(1, M + 1)])
    label(axes, title="length of the error, over BackProp's", x="time step", y="", legend=None)


def _draw_bars(
    axes: "Axes", first: Sequence[float], last: Sequence[float], directions: Sequence[float]
) -> None:
    layers = np.arange(1, len(first) + 1)
    axes.barh(layers + 0.2, last, 0.38, color=COLOURS[0], label="at convergence")
    axes.barh(layers - 0.2, first, 0.38, color=COLOURS[1])
    axes.plot(
        first, layers - 0.2, color=COLOURS[1], marker="s", linestyle="none", clip_on=False,
        label="when the wave arrives",
    )  # fmt: skip
    for m, (share, cos) in enumerate(zip(last, directions, strict=True), start=1):
        axes.text(share + 0.02, m + 0.2, f"cosine {cos:.2f}".replace("-", "−"), va="center", fontsize=11)
    axes.set(yticks=layers, xlim=(0, 1.4 * max(last)), ylim=(0.4, len(first) + 1.8))
    axes.set_yticklabels([f"layer {m}" for m in layers])
    label(axes, title="distance from BackProp's error", x="share of its length", y="", legend="upper right")
