"""Transfer functions on the host, written once more: f and f′, and F where an identity needs it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class Formulas:
    """f, f′ and F of one transfer function; all of them take complex numbers, but for ReLU's."""

    f: Callable[[Array], Array]
    slope: Callable[[Array], Array]
    F: Callable[[Array], Array]


HOST = {
    "identity": Formulas(lambda a: a, np.ones_like, lambda a: a * a / 2),
    "tanh": Formulas(np.tanh, lambda a: 1 / np.cosh(a) ** 2, lambda a: np.log(np.cosh(a))),
    "sigmoid": Formulas(
        lambda a: 1 / (1 + np.exp(-a)),
        lambda a: 1 / (2 + np.exp(a) + np.exp(-a)),
        lambda a: np.log(1 + np.exp(a)),
    ),
    "relu": Formulas(
        lambda a: np.maximum(a, 0), lambda a: np.where(a > 0, 1.0, 0.0), lambda a: np.maximum(a, 0) ** 2 / 2
    ),
}
