"""The steps of `benchmarks.layers`: one batch of a convolutional or a recurrent network, with three methods.

The settings are those with which such networks are trained; they are not tuned, and the times do not depend
on them.
"""

from dataclasses import dataclass

import numpy as np

from locoprop_ref import Network, initialize
from locoprop_ref.architectures import architecture
from locoprop_ref.solvers import local_rates

LENET = "28x28x1-c5x6+2-p2-c5x16-p2-120-84-10"
RECURRENT = "28x28-r64-10"
WIRED_METHODS = ("backprop-adam", "locoprop-s-closed", "locoprop-m")


@dataclass(frozen=True)
class WiredProblem:
    """A network in words, and the settings of its step: tanh in the hidden layers, softmax and cross-entropy.

    Args:
        words: the architecture, see `locoprop_ref.architectures`.
        batch: B.
        learning_rate: of Adam, with ε = 1e-8 as PyTorch adds it.
        closed_target_step, closed_weight_step: γ and η of S in closed form.
        target_step: γ of M by K steps.
        num_local_steps: K.
        local_lr: s, which decays as s·max(1 − k/K, ¼).
        decay, momentum, epsilon: of M's local RMSProp, TensorFlow 1's.
        dtype: "float32"; the test of agreement uses "float64".
    """

    words: str = LENET
    batch: int = 100
    learning_rate: float = 1e-3
    closed_target_step: float = 100.0
    closed_weight_step: float = 0.1
    target_step: float = 10.0
    num_local_steps: int = 10
    local_lr: float = 3e-4
    decay: float = 0.9
    momentum: float = 0.9
    epsilon: float = 1e-5
    dtype: str = "float32"

    @property
    def transfers(self) -> tuple[str, ...]:
        """Return the name of every layer's transfer function."""
        return ("tanh",) * (len(architecture(self.words)) - 1) + ("softmax",)

    @property
    def rates(self) -> tuple[float, ...]:
        """Return s_k of the K inner steps."""
        return local_rates(self.local_lr, self.num_local_steps)


def network(problem: WiredProblem) -> Network:
    """Return the network before the step, drawn with seed 0."""
    return initialize(
        problem.words, transfers=problem.transfers, output_loss="softmax_cross_entropy",
        seed=0, dtype=problem.dtype,
    )  # fmt: skip


def batch_of(problem: WiredProblem) -> tuple[np.ndarray, np.ndarray]:
    """Return random inputs in [0, 1), (B, d_0), and targets with a single 1 in each row."""
    rng, net = np.random.default_rng(1), network(problem)
    x = rng.random((problem.batch, net.layers[0].inputs), dtype=problem.dtype)
    classes = net.layers[-1].W.shape[1]
    return x, np.eye(classes, dtype=problem.dtype)[rng.integers(0, classes, problem.batch)]
