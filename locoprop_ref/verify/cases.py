"""Random networks with biases: dense, convolutional and recurrent ones, and their local problems."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from locoprop_ref.backend import to_backend, to_numpy
from locoprop_ref.local import LocalProblem
from locoprop_ref.methods.locoprop import LocoProp, locoprop_m, locoprop_s
from locoprop_ref.network import Network, Trace, backward, forward, initialize
from locoprop_ref.transfers import DISCONTINUOUS, TRANSFERS

# the networks with positions: stride, padding, and poolings whose windows overlap; two recurrent layers
POSITIONS: dict[str, tuple[str, ...]] = {
    "convolution": ("3x4x2-c2x2+1-p2/1-c2x3/2-3", "3x4x2-c2x2+1-m2/1-c2x3/2-3"),
    "recurrent": ("3x2-r3-r2-3",),
}
# whose rows are well conditioned: patches that do not overlap, and more numbers a step than steps
WELL_CONDITIONED = {"convolution": "4x4x3-c2x2/2-3", "recurrent": "3x6-r3-3"}
# of hidden layers with positions; not ReLU: where its few units nearly all rest, g is nothing but rounding
ELEMENTWISE = ("tanh", "leaky_relu")
HIDDEN = (*ELEMENTWISE, "softmax")
# of their outputs, with the network loss: one for each hidden function
OUTPUTS = (
    ("identity", "squared_error"), ("sigmoid", "sigmoid_cross_entropy"), ("softmax", "softmax_cross_entropy")
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A random network with a batch, and the results of its forward and backward pass."""

    network: Network
    x: Any
    t: Any
    trace: Trace
    g: tuple[Any, ...]


def random_case(
    hidden: str, output: str, loss: str, *, seed: int, xp: Any, batch: int = 6, sizes: Any = (4, 5, 3, 3)
) -> Case:
    """Draw a network with biases and a batch; for a cross-entropy the network's targets are labels.

    `sizes` are the widths of dense layers, or an architecture in words. A recurrent network's first layer is
    given an initial state.
    """
    number = (*TRANSFERS, *DISCONTINUOUS).index
    rng = np.random.default_rng([seed, number(hidden), number(output), batch])
    words = [word for word in sizes.split("-") if word[0] not in "pm"] if isinstance(sizes, str) else sizes
    transfers = [hidden] * (len(words) - 2) + [output]  # the first is no layer, nor is a pooling
    network = initialize(sizes, transfers=transfers, output_loss=loss, seed=rng, xp=xp)
    if network.layers[0].recurrent:
        network = _started(network, rng, xp)
    first, last = network.layers[0], network.layers[-1]
    t = rng.normal(size=(batch, last.W.shape[1]))
    if loss == "sigmoid_cross_entropy":
        t = np.asarray(t > 0, dtype=float)
    if loss == "softmax_cross_entropy":
        t = np.eye(t.shape[1])[np.argmax(t, axis=1)]
    x, t = to_backend(rng.normal(size=(batch, first.inputs)), xp=xp), to_backend(t, xp=xp)
    trace = forward(network, x)
    return Case(network, x, t, trace, backward(network, trace, t))


def _started(network: Network, rng: np.random.Generator, xp: Any) -> Network:
    """Return the network with an initial state in its first layer."""
    first, *others = network.layers
    state = to_backend(rng.uniform(-1, 1, first.W.shape[1]), xp=xp)
    return replace(network, layers=(replace(first, initial_state=state), *others))


def every_case(seed: int, xp: Any, hidden: Sequence[str] = TRANSFERS) -> Iterator[Case]:
    """Yield one network for every one of these transfer functions and every network loss."""
    for name in hidden:
        yield random_case(name, name, "squared_error", seed=seed, xp=xp)
        yield random_case(name, "sigmoid", "sigmoid_cross_entropy", seed=seed, xp=xp)
        yield random_case(name, "softmax", "softmax_cross_entropy", seed=seed, xp=xp)


def positions_cases(
    where: str, seed: int, xp: Any, *, hidden: Sequence[str] = HIDDEN, batch: int = 3
) -> Iterator[Case]:
    """Yield "convolution" or "recurrent" networks, with these transfer functions and every network loss."""
    words = POSITIONS[where]
    for number, name in enumerate(hidden):
        output, loss = OUTPUTS[number]
        sizes = words[number % len(words)]
        yield random_case(name, output, loss, seed=seed, xp=xp, batch=batch, sizes=sizes)


def local_problems(case: Case, local_loss: str, **settings: Any) -> list[LocalProblem]:
    """Return the local problem of every layer, with the squared (S) or the matching (M) local loss."""
    build = locoprop_m if local_loss == "matching" else locoprop_s
    method, trace = build(**settings), case.trace
    parts = zip(case.network.layers, trace.x, trace.a_hat, trace.y_hat, case.g, strict=True)
    return [method.local_problem(*part) for part in parts]


def changes(method: LocoProp, case: Case) -> list[np.ndarray]:
    """Return W̃ − W̃₀ of every layer after one step, on the host."""
    moved, _, _ = method.step(case.network, method.init(case.network), case.x, case.t)
    pairs = zip(moved.layers, case.network.layers, strict=True)
    return [to_numpy(new.stacked) - to_numpy(old.stacked) for new, old in pairs]


def weight_scale(case: Case, m: int, change: np.ndarray) -> float:
    """Return the size of the numbers whose difference is the change of layer m: max |W̃₀| + max |change|."""
    return float(np.max(np.abs(to_numpy(case.network.layers[m].stacked))) + np.max(np.abs(change)))
