r"""What the methods that see all examples at once share: least squares, guarded steps, checks of codes.

ADMM and the method of auxiliary coordinates keep variables of their own for every example, its codes. So
every step must be given the same examples, all of them and in the same order: `sees_all_examples` is True for
such a method, and the training loop then makes one step an epoch. `init` knows the network but no examples;
its codes are None, and the first step makes them.

Source: Carreira-Perpiñán and Wang, AISTATS 2014; Taylor et al., ICML 2016.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from locoprop_ref import checks
from locoprop_ref.backend import array_namespace, dtype_name
from locoprop_ref.layers import Layer
from locoprop_ref.methods.base import State
from locoprop_ref.network import Network


def least_squares_change(x: Any, residual: Any) -> Any:
    r"""Return X̃⁺R = (X̃ᵀX̃)⁺X̃ᵀR, the least squares solution of minimum norm.

    By the eigenvalues of the small matrix X̃ᵀX̃, (d̃, d̃): the rows of all examples stand in two products alone.
    Along eigenvectors whose eigenvalue is rounding, at most d̃·ε of the largest, nothing is changed; in
    float32 this leaves inputs out that vary a hundred times less than the strongest ones.

    Args:
        x: X̃, (R, d̃).
        residual: R, (R, d_out).

    >>> import numpy as np
    >>> least_squares_change(np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([[1.0], [3.0]]))  # the mean; 0
    array([[2.],
           [0.]])
    """
    xp = array_namespace(x, residual)
    try:
        eigenvalues, V = xp.linalg.eigh(x.T @ x)
    except np.linalg.LinAlgError:  # LAPACK says that they did not converge, not why
        raise np.linalg.LinAlgError(
            "the square of a layer's inputs is no longer finite: nan or infinity is there"
        ) from None
    counts = eigenvalues > x.shape[1] * xp.finfo(x.dtype).eps * xp.max(eigenvalues)
    inverse = xp.where(counts, 1 / xp.where(counts, eigenvalues, xp.ones_like(eigenvalues)), 0 * eigenvalues)
    return V @ (inverse[:, None] * (V.T @ (x.T @ residual)))


def fitted(layer: Layer, x: Any, z: Any) -> Layer:
    r"""Return the layer with the weights nearest to W̃₀ that minimize ‖X̃W̃ − Z‖²: W̃₀ + X̃⁺(Z − X̃W̃₀).

    This is LocoProp-S with η = ∞ and the codes for inputs and targets. Where X̃ has full column rank the
    weights are X̃⁺Z, whatever W̃₀ was.

    Args:
        layer: with its weights W̃₀.
        x: (R, d_in) its inputs.
        z: (R, d_out) what its pre-activation should be.
    """
    change = least_squares_change(layer.augment(x), z - layer.pre_activation(x))
    return layer.with_stacked(layer.stacked + change)


def guarded_step(
    objective: Callable[[Any], Any], start: Any, direction: Any, step: float, *, halvings: int = 30
) -> Any:
    """Return start − s·direction with the first s = step, step/2, step/4, ... that raises no objective.

    Args:
        objective: of an array like `start`; a 0-d array or a number.
        start: where the step begins; it is returned itself if every s raises the objective.
        direction: in the shape of `start`.
        step: the first s to try.
        halvings: how often it is halved at most; default 30, a billionth of the step.

    >>> guarded_step(lambda a: a * a, 1.0, 2.0, 4.0)  # 4 and 2 overshoot, 1 does not raise it
    -1.0
    """
    before = objective(start)
    for _ in range(halvings + 1):
        candidate = start - step * direction
        if bool(objective(candidate) <= before):
            return candidate
        step /= 2
    return start


def check_examples(network: Network, state: State, x: Any, t: Any, names: Sequence[Sequence[str]]) -> bool:
    """Check the batch and the codes of a state; tell whether the codes are still to be made.

    Args:
        network: the network.
        state: with an entry for every layer, see `base.check_step`.
        x: (B, d_0), all examples.
        t: (B, d_M).
        names: for every layer the names of its codes, each (R, d_out) or, before the first step, None.

    Raises:
        ValueError, TypeError: x or t does not fit the network, codes of another network, or of another
            number of examples.
    """
    W, last = network.layers[0].W, network.layers[-1].W
    checks.batch("x", x, width=network.layers[0].inputs)
    checks.same_dtype(network=W, x=x)
    checks.array("t", t, shape=(x.shape[0], last.shape[1]))
    checks.same_dtype(network=W, t=t)
    counts = set()
    entries = zip(network.layers, state["layers"], names, strict=True)
    for number, (layer, entry, wanted) in enumerate(entries):
        if not isinstance(entry, dict) or list(entry) != list(wanted) or not _fit(layer, entry):
            raise ValueError(
                f"state['layers'][{number}] must be what init or a step made of a layer of "
                f"{layer.W.shape[0]} inputs and {layer.W.shape[1]} outputs in {dtype_name(W)}, "
                "got another nest"
            )
        counts |= {None if code is None else code.shape[0] // layer.positions for code in entry.values()}
    if len(counts) > 1:
        raise ValueError("state must hold codes of the same examples in every layer, got different numbers")
    if not counts <= {None, x.shape[0]}:
        raise ValueError(f"x must hold the same {counts.pop()} examples in every step, got {x.shape[0]}")
    return None in counts


def _fit(layer: Layer, entry: dict[str, Any]) -> bool:
    """Tell whether codes are all None, or all matrices of the layer's width and dtype."""
    codes = list(entry.values())
    if all(code is None for code in codes):
        return True
    if not all(hasattr(code, "shape") and code.ndim == 2 for code in codes):
        return False
    return all(code.shape[1] == layer.W.shape[1] and code.dtype == layer.W.dtype for code in codes)
