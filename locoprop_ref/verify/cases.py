"""Random networks with biases, for every transfer function and network loss, and their local problems."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from locoprop_ref.backend import to_backend
from locoprop_ref.local import LocalProblem
from locoprop_ref.methods.locoprop import locoprop_m, locoprop_s
from locoprop_ref.network import Network, Trace, backward, forward, initialize
from locoprop_ref.transfers import TRANSFERS


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
    """Draw a network with biases and a batch; for a cross-entropy the network's targets are labels."""
    rng = np.random.default_rng([seed, TRANSFERS.index(hidden), TRANSFERS.index(output), batch])
    transfers = [hidden] * (len(sizes) - 2) + [output]
    network = initialize(sizes, transfers=transfers, output_loss=loss, seed=rng, xp=xp)
    t = rng.normal(size=(batch, sizes[-1]))
    if loss == "sigmoid_cross_entropy":
        t = np.asarray(t > 0, dtype=float)
    if loss == "softmax_cross_entropy":
        t = np.eye(sizes[-1])[np.argmax(t, axis=1)]
    x, t = to_backend(rng.normal(size=(batch, sizes[0])), xp=xp), to_backend(t, xp=xp)
    trace = forward(network, x)
    return Case(network, x, t, trace, backward(network, trace, t))


def every_case(seed: int, xp: Any) -> Iterator[Case]:
    """Yield one network for every transfer function and network loss."""
    for name in TRANSFERS:
        yield random_case(name, name, "squared_error", seed=seed, xp=xp)
        yield random_case(name, "sigmoid", "sigmoid_cross_entropy", seed=seed, xp=xp)
        yield random_case(name, "softmax", "softmax_cross_entropy", seed=seed, xp=xp)


def local_problems(case: Case, local_loss: str, **settings: Any) -> list[LocalProblem]:
    """Return the local problem of every layer, with the squared (S) or the matching (M) local loss."""
    build = locoprop_m if local_loss == "matching" else locoprop_s
    method, trace = build(**settings), case.trace
    parts = zip(case.network.layers, trace.x, trace.a_hat, trace.y_hat, case.g, strict=True)
    return [method.local_problem(*part) for part in parts]
