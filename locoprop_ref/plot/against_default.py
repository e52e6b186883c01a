"""A few steps of a method from one start, with an option changed and with its default: loss and weights.

Many conventions of a method change a loss curve little and the weights a lot. Therefore the picture has both:
the loss after each batch, and how far the weights of each layer are from those of the default,

    ‖W̃ − W̃_default‖ / ‖W̃_default − W̃₀‖ .

0 % is the default, and 100 % is as far from the default as the default itself went.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from locoprop_ref.network import Network
from locoprop_ref.plot.style import describe, label, line_style, panels, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def differences(changed: Network, default: Network, start: Network) -> np.ndarray:
    """Return the difference of each layer's weights from the default's, relative to the default's own way.

    Args:
        changed: the network after some steps with the option.
        default: the network after as many steps without it.
        start: the network from which both began.

    Returns:
        (M,) shares, 1 for as far as the default went; 0 where neither moved, inf where only the default
        stood still.
    """
    shares = []
    for ours, theirs, before in zip(changed.layers, default.layers, start.layers, strict=True):
        apart = float(np.linalg.norm(np.asarray(ours.stacked - theirs.stacked, dtype=np.float64)))
        way = float(np.linalg.norm(np.asarray(theirs.stacked - before.stacked, dtype=np.float64)))
        shares.append(apart / way if way else (0.0 if apart == 0 else np.inf))
    return np.array(shares)


@styled
def against_default(
    changed: Sequence[Network], default: Sequence[Network], losses: Sequence[Sequence[float]], name: str
) -> "Figure":
    """Draw the loss after each batch (left) and the difference of the weights in each layer (right).

    Args:
        changed: the networks before the first batch and after each, with the option.
        default: the same, without it.
        losses: the losses of `changed`, and those of `default`.
        name: what was changed, for the legend.

    Raises:
        ValueError: fewer than two networks, or not as many in both and as many losses.
    """
    from matplotlib.ticker import MaxNLocator

    counts = {len(changed), len(default), *(len(row) for row in losses)}
    if len(counts) != 1 or len(changed) < 2 or len(losses) != 2:
        raise ValueError(
            "changed, default and both losses must have the same length of at least 2, got "
            f"{len(changed)}, {len(default)} and {[len(row) for row in losses]}"
        )
    last = len(changed) - 1
    first_share, last_share = (differences(changed[n], default[n], default[0]) for n in (1, last))
    title = (
        f"after one batch: loss {losses[0][1]:.2f}, default {losses[1][1]:.2f}; "
        f"weights up to {100 * float(np.max(first_share)):.3g} % apart"
    )
    figure, (left, right) = panels(2, width=11, height=4.2, title=title)
    # the default last and thin, so that two equal curves are both seen
    for number, (row, said) in enumerate(zip(losses, (name, "default"), strict=True)):
        look = {**line_style(number), "linewidth": (4.0, 1.6)[number]}
        left.plot(range(last + 1), row, **look, label=said)
    left.xaxis.set_major_locator(MaxNLocator(integer=True))
    label(left, title="loss", x="batches", y="cross-entropy (nats)", legend="best")
    layers = np.arange(1, len(first_share) + 1)
    for number, (share, count) in enumerate(((first_share, 1), (last_share, last))):
        height = 100 * np.where(np.isfinite(share), share, 0.0)
        right.bar(
            layers + 0.4 * (number - 0.5), height, 0.38, color=line_style(number + 2)["color"],
            label="after one batch" if count == 1 else f"after {count} batches",
        )  # fmt: skip
    right.set_ylim(bottom=0.0, top=max(1.0, 1.3 * right.get_ylim()[1]))
    right.set_xticks(layers)
    label(right, title="weights", x="layer", y="apart from the default (%)", legend="upper right")
    return describe(
        figure,
        f"Left, the loss against the number of batches, from {losses[1][0]:.4g} on: {name} comes to "
        f"{losses[0][-1]:.4g}, the default to {losses[1][-1]:.4g}. Right, how far the weights of each layer "
        f"are from the default's, in per cent of the way that the default went: up to "
        f"{100 * float(np.max(first_share)):.3g} after one batch, {100 * float(np.max(last_share)):.3g} "
        f"after {last}.",
    )
