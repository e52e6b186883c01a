"""The step that all libraries take: one batch of the standard deep autoencoder.

The settings are those of the authors' experiment (Amid, Anil, Warmuth, AISTATS 2022); `scale` changes them.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from locoprop_ref import Network, initialize
from locoprop_ref.solvers import local_rates, prefers_gram

METHODS = ("locoprop-m", "locoprop-s", "locoprop-s-closed", "backprop-rmsprop", "backprop-sgd")
RATES = {"backprop-rmsprop": 3e-4, "backprop-sgd": 1e-2}  # learning rates


@dataclass(frozen=True)
class Problem:
    """The sizes and settings of a step; the defaults are the standard autoencoder, 784-1000-...-30-...-784.

    Args:
        hidden: widths of the hidden layers; they use tanh, except for the linear code layer in the middle.
        pixels: number of inputs and of outputs; the outputs use a sigmoid and the cross-entropy.
        batch: B.
        num_local_steps: K.
        local_lr: s, which decays as s·max(1 − k/K, ¼).
        target_step: γ for K steps (the closed form has its own γ).
        closed_target_step, closed_weight_step: γ and η of the closed form.
        decay, momentum, epsilon: settings of the local RMSProp, TensorFlow 1's; BackProp's has momentum 0.
        dtype: "float32"; the test of agreement uses "float64".
    """

    hidden: tuple[int, ...] = (1000, 500, 250, 30, 250, 500, 1000)
    pixels: int = 784
    batch: int = 1000
    num_local_steps: int = 10
    local_lr: float = 1e-5
    target_step: float = 10.0
    closed_target_step: float = 100.0
    closed_weight_step: float = 0.1
    decay: float = 0.9
    momentum: float = 0.999
    epsilon: float = 1e-5
    dtype: str = "float32"

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """Return d_0, ..., d_M."""
        return (self.pixels, *self.hidden, self.pixels)

    @property
    def transfers(self) -> tuple[str, ...]:
        """Return the name of every layer's transfer function."""
        code = len(self.hidden) // 2
        return (*("identity" if m == code else "tanh" for m in range(len(self.hidden))), "sigmoid")

    @property
    def rates(self) -> tuple[float, ...]:
        """Return s_k of the K inner steps."""
        return local_rates(self.local_lr, self.num_local_steps)


def scale(problem: Problem, *, width: int = 1, depth: int = 1, **settings: Any) -> Problem:
    """Return the problem with wider hidden layers, repeated 500-unit layers, or other settings.

    >>> scale(Problem(), depth=2).hidden
    (1000, 500, 500, 250, 30, 250, 500, 500, 1000)
    """
    half = problem.hidden[: len(problem.hidden) // 2]
    half = (half[0], *half[1:2] * depth, *half[2:])
    hidden = (*half, problem.hidden[len(problem.hidden) // 2], *reversed(half))
    return replace(problem, hidden=tuple(width * d for d in hidden), **settings)


def through_gram(problem: Problem, method: str, m: int) -> bool:
    """Return whether layer m (from 0) uses the Gram matrix in its K steps: S does, and M if f is linear."""
    squared = method == "locoprop-s" or (method == "locoprop-m" and problem.transfers[m] == "identity")
    if not squared:
        return False
    d_in, d_out = problem.layer_sizes[m : m + 2]
    return prefers_gram(problem.batch, d_in + 1, d_out, problem.num_local_steps)


def network(problem: Problem) -> Network:
    """Return the network before the step, drawn with seed 0."""
    sizes, loss = problem.layer_sizes, "sigmoid_cross_entropy"
    return initialize(sizes, transfers=problem.transfers, output_loss=loss, seed=0, dtype=problem.dtype)


def images(problem: Problem) -> np.ndarray:
    """Return a random batch, (B, pixels) in [0, 1); the times do not depend on the content of the images."""
    return np.random.default_rng(1).random((problem.batch, problem.pixels), dtype=problem.dtype)


def to_dict(problem: Any) -> dict[str, Any]:
    """Return the problem as a dict for a JSON file or a pipe; `from_dict` converts it back."""
    return asdict(problem)


def from_dict(fields: dict[str, Any]) -> Problem:
    """Return the problem that `to_dict` wrote."""
    return Problem(**{**fields, "hidden": tuple(fields["hidden"])})
