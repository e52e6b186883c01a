r"""A figure of the mistakes of Perceptron and Winnow, the same local problem in two geometries.

A sign unit says sign(xw), and its matching loss with the label ±1 as the target is the perceptron loss. One
step ½ of gradient descent on it is the Perceptron, one step (ln 2)/2 of EG is Winnow. Both change their
weights only after a mistake.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from locoprop_ref import checks
from locoprop_ref.local import LocalProblem
from locoprop_ref.mirror import MirrorDescent
from locoprop_ref.optimizers import SGD, Optimizer
from locoprop_ref.plot.style import MARKERS, describe, label, line_style, panels, spell, styled
from locoprop_ref.solvers import descend
from locoprop_ref.transfers import transfer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# the local optimizer, its step size, and the value of all weights at the start
RULES: dict[str, tuple[Optimizer, float, float]] = {
    "Perceptron": (SGD(), 0.5, 0.0),
    "Winnow": (MirrorDescent("eg"), float(np.log(2) / 2), 1.0),
}
IRRELEVANT = (10, 30, 100, 300, 800)
EXAMPLES, STREAMS = 1000, 2


def stream(relevant: int, irrelevant: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return 1000 examples of inputs ±1 and their labels, the majority of the relevant inputs.

    Args:
        relevant: how many inputs the label depends on, an odd number.
        irrelevant: how many inputs it does not depend on.
        seed: of the inputs.
    """
    if checks.integer("relevant", relevant) % 2 == 0:
        raise ValueError(f"relevant must be odd, so that there is always a majority, got {relevant}")
    irrelevant = checks.integer("irrelevant", irrelevant, minimum=0)
    rng = np.random.default_rng([seed, relevant, irrelevant])
    x = np.where(rng.random((EXAMPLES, relevant + irrelevant)) < 0.5, 1.0, -1.0)
    return x, np.sign(np.sum(x[:, :relevant], axis=1))


def mistakes(name: str, x: np.ndarray, labels: np.ndarray) -> int:
    """Return how often a rule's unit said the wrong label of the next example.

    Args:
        name: "Perceptron" or "Winnow".
        x: (N, d), one example after the other.
        labels: (N,), ±1.
    """
    rule, step, start = RULES[checks.one_of("name", name, RULES)]
    sign, W, count = transfer("sign"), np.full((x.shape[1], 1), start), 0
    for row, label_of_row in zip(x, labels, strict=True):
        if (1.0 if row @ W[:, 0] >= 0 else -1.0) != label_of_row:  # otherwise the residual is 0
            problem = LocalProblem(row[None], np.array([[label_of_row]]), sign, W)
            W = descend(problem, rule, local_lr=step, num_local_steps=1)[0]
            count += 1
    return count


def mean_mistakes(name: str, relevant: int, irrelevant: Sequence[int]) -> list[float]:
    """Return the mean number of mistakes over the streams, for each number of irrelevant inputs."""
    return [
        float(np.mean([mistakes(name, *stream(relevant, n, seed)) for seed in range(STREAMS)]))
        for n in irrelevant
    ]


@styled
def perceptron_and_winnow(relevant: int = 3) -> "Figure":
    """Draw the mistakes of both rules in 1000 examples against the number of irrelevant inputs.

    Args:
        relevant: how many inputs the label depends on, an odd number; it is their majority.

    Raises:
        ValueError, TypeError: no odd number of at least 1.
    """
    relevant = checks.integer("relevant", relevant)
    counts = {name: mean_mistakes(name, relevant, IRRELEVANT) for name in RULES}
    grown = {name: values[-1] / values[0] for name, values in counts.items()}
    first, last = IRRELEVANT[0], IRRELEVANT[-1]
    title = ", ".join(f"{name} × {spell(factor)}" for name, factor in grown.items())
    figure, (axes,) = panels(
        width=8.5, height=4.6, title=f"mistakes from {first} to {last} irrelevant inputs: {title}"
    )
    for i, (name, values) in enumerate(counts.items()):
        axes.plot(IRRELEVANT, values, **line_style(i), marker=MARKERS[i], markersize=8, label=name)
        axes.annotate(f"{values[-1]:.0f}", (last, values[-1]), xytext=(9, -4), textcoords="offset points")
    axes.set_xscale("log")
    axes.set(xticks=IRRELEVANT, xlim=(8.5, 1150), ylim=(0, 1.12 * max(max(v) for v in counts.values())))
    axes.set_xticks([], minor=True)
    axes.set_xticklabels([str(n) for n in IRRELEVANT])
    inputs = "1 relevant input" if relevant == 1 else f"{relevant} relevant inputs"
    label(
        axes, title=f"{inputs}; mean of {STREAMS} streams of {EXAMPLES} examples",
        x="irrelevant inputs", y="mistakes", legend="upper left",
    )  # fmt: skip
    spelled = "; ".join(f"{name} from {values[0]:.0f} to {values[-1]:.0f}" for name, values in counts.items())
    return describe(
        figure,
        f"Mistakes in {EXAMPLES} examples against the number of irrelevant inputs, from {first} to {last}, "
        f"with {inputs}: {spelled}.",
    )
