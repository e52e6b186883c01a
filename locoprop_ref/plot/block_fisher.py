r"""A figure of a layer's block of the Fisher matrix, and of the Kronecker product that stands in for it."""

from typing import TYPE_CHECKING, Any

import numpy as np

from locoprop_ref.plot.style import describe, label, panels, spell, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@styled
def kronecker_fisher(fisher: Any, input_factor: Any, output_factor: Any) -> "Figure":
    r"""Draw a layer's block of the Fisher matrix, A ⊗ G, and their difference, in the same colours.

    The weights are in the order of the rows of W̃: all outputs of the first input, then of the second, and so
    on. The error is that of the Frobenius norm, ‖F − A ⊗ G‖/‖F‖.

    Args:
        fisher: F, (d̃·d_out, d̃·d_out), not zero.
        input_factor: A, (d̃, d̃).
        output_factor: G, (d_out, d_out).

    Raises:
        ValueError: F is zero, or has another shape than A ⊗ G.
    """
    F, A, G = (np.asarray(matrix, dtype=float) for matrix in (fisher, input_factor, output_factor))
    product = np.kron(A, G)
    if F.shape != product.shape or not np.any(F):
        raise ValueError(f"fisher must be a matrix of shape {product.shape} that is not zero, got {F.shape}")
    error = float(np.linalg.norm(F - product) / np.linalg.norm(F))
    figure, axes = panels(
        3, width=11, height=4.6, right=1.25, gap=0.55, title=f"A ⊗ G {_misses(error)}: {_counts(A, G)}"
    )
    most = float(max(np.abs(F).max(), np.abs(product).max()))
    titles = ("Fisher matrix of the layer", "A ⊗ G", "the difference")
    for panel, title, matrix in zip(axes, titles, (F, product, F - product), strict=True):
        panel.grid(False)
        # the square root of the size, with its sign: small entries are seen as well
        image = panel.imshow(np.sign(matrix) * np.sqrt(np.abs(matrix) / most), cmap="RdBu_r", vmin=-1, vmax=1)
        for edge in np.arange(1, len(A)) * len(G) - 0.5:
            panel.axhline(edge, color="#bbbbbb", linewidth=0.6)
            panel.axvline(edge, color="#bbbbbb", linewidth=0.6)
        panel.set_xticks(np.arange(len(A)) * len(G) + (len(G) - 1) / 2, _inputs(len(A)))
        panel.set_yticks(np.arange(len(A)) * len(G) + (len(G) - 1) / 2, _inputs(len(A)))
        label(panel, title=title, x="weight of input", y="", legend=None)
    box = axes[-1].get_position()
    bar = figure.add_axes((box.x1 + 0.012, box.y0 + 0.08, 0.013, box.height - 0.16))
    figure.colorbar(image, cax=bar)
    ticks = np.array([-1.0, -0.25, 0.0, 0.25, 1.0])
    bar.set_yticks(np.sign(ticks) * np.sqrt(np.abs(ticks)), [spell(most * tick) for tick in ticks])
    return describe(
        figure,
        f"Three matrices of {len(F)} by {len(F)} numbers in the same colours, white for zero. The left one "
        f"is the block of the Fisher matrix of a layer, with {len(A)} by {len(A)} blocks of {len(G)} by "
        f"{len(G)}. The middle one is the Kronecker product of an input factor and an output factor. "
        f"The right one is their difference, whose length is {spell(100 * error)} % of that of the left one.",
    )


def _misses(error: float) -> str:
    """Return in words how far A ⊗ G is from the Fisher matrix.

    >>> _misses(0.231), _misses(1e-16)
    ('differs from the Fisher matrix by 23.1 %', 'is the Fisher matrix up to rounding')
    """
    if error < 1e-12:
        return "is the Fisher matrix up to rounding"
    return f"differs from the Fisher matrix by {spell(100 * error)} %"


def _counts(A: np.ndarray, G: np.ndarray) -> str:
    """Return how many different numbers both symmetric matrices have."""
    a, g, f = (n * (n + 1) // 2 for n in (len(A), len(G), len(A) * len(G)))
    return f"{a} + {g} numbers in place of {f}"


def _inputs(count: int) -> list[str]:
    """Return the names of the inputs of a layer, the bias last."""
    return [str(i) for i in range(1, count)] + ["bias"]
