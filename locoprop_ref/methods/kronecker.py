r"""Kronecker factors of a layer's curvature: batch means, running averages, damping, inverses.

The gradient of the loss ℓ of one example with respect to W̃ is the outer product of the layer's input x̃ and
of ∂ℓ/∂â. Taken row by row as a vector it is x̃ ⊗ ∂ℓ/∂â, and K-FAC splits its second moment, the layer's block
of the Fisher matrix, as if the two were independent:

    E[x̃x̃ᵀ ⊗ ∂ℓ/∂â ∂ℓ/∂âᵀ]  ≈  A ⊗ G,        A = E[x̃x̃ᵀ],   G = E[∂ℓ/∂â ∂ℓ/∂âᵀ].

Its inverse never forms the product: (A ⊗ G)⁻¹ takes ∂L/∂W̃ to A⁻¹ ∂L/∂W̃ G⁻¹.

Source: Martens and Grosse, "Optimizing Neural Networks with Kronecker-factored Approximate Curvature", ICML
2015 (arXiv 1503.05671).
"""

from typing import Any

from locoprop_ref.backend import array_namespace, device, solve_positive_definite


def input_factor(x: Any, num_examples: int) -> Any:
    """Return A = X̃ᵀX̃/B, (d̃, d̃): the sum over the rows of an example, the mean over the examples.

    Args:
        x: X̃, (R, d̃) rows of the layer's input, the bias' column of ones included.
        num_examples: B.
    """
    A = x.T @ x
    A /= num_examples
    return A


def output_factor(g: Any, num_examples: int) -> Any:
    """Return G = (B²/R) gᵀg, (d_out, d_out), the mean over the rows of (∂ℓ/∂â)ᵀ(∂ℓ/∂â), as g = (∂ℓ/∂â)/B.

    Args:
        g: (R, d_out), ∂L/∂â, the 1/B of the mean over the batch included.
        num_examples: B.

    >>> import numpy as np
    >>> output_factor(np.array([[2.0], [2.0]]) / 2, 2)  # two examples, ∂ℓ/∂â = 2 in both
    array([[4.]])
    """
    G = g.T @ g
    G *= num_examples**2 / g.shape[0]
    return G


def running_average(average: Any, new: Any, count: int, decay: float) -> Any:
    """Return ε·average + (1 − ε)·new with ε = min(1 − 1/k, decay).

    So the first batch counts wholly, the first few have equal weight, and later ones fade out.

    Args:
        average: of the k − 1 batches before.
        new: this batch's factor.
        count: k ≥ 1, how many batches the result has seen.
        decay: 0 ≤ decay < 1; Martens and Grosse have 0.95. With 0 the new factor stands alone.

    >>> running_average(2.0, 4.0, 2, 0.95)
    3.0
    """
    kept = min(1 - 1 / count, decay)
    return kept * average + (1 - kept) * new


def damping_shares(A: Any, G: Any, damping: float) -> tuple[Any, Any]:
    r"""Return what factored Tikhonov damping adds to the diagonals, (π√λ for A, √λ/π for G).

    (A + π√λ I) ⊗ (G + √λ/π I) = A ⊗ G + λI + two terms in between, whose sum is least in the trace norm for
    π = √((tr A/d̃)/(tr G/d_out)): each factor is damped in proportion to its mean eigenvalue. Where a trace is
    0 that says nothing, and π = 1.

    Args:
        A: (d̃, d̃).
        G: (d_out, d_out).
        damping: λ > 0.

    >>> import numpy as np
    >>> [float(share) for share in damping_shares(4 * np.eye(3), np.eye(2), 0.01)]
    [0.2, 0.05]
    """
    xp = array_namespace(A, G)
    a, g = (xp.sqrt(xp.linalg.trace(factor) / factor.shape[0]) for factor in (A, G))
    known = (a > 0) & (g > 0)
    pi = xp.where(known, a, 1.0) / xp.where(known, g, 1.0)
    return pi * damping**0.5, damping**0.5 / pi


def damped_inverse(factor: Any, shift: Any) -> Any:
    """Return (factor + shift·I)⁻¹.

    Args:
        factor: (d, d), symmetric and positive semidefinite.
        shift: a number > 0, or a 0-d array.
    """
    xp = array_namespace(factor)
    identity = xp.eye(factor.shape[0], dtype=factor.dtype, device=device(factor))
    return solve_positive_definite(factor + shift * identity, identity, xp=xp)


def damped_inverses(A: Any, G: Any, damping: float) -> tuple[Any, Any]:
    """Return ((A + π√λ I)⁻¹, (G + √λ/π I)⁻¹), see `damping_shares` for the arguments."""
    on_A, on_G = damping_shares(A, G, damping)
    return damped_inverse(A, on_A), damped_inverse(G, on_G)
