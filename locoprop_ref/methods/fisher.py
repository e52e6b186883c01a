r"""What the network itself would say: t drawn from the distribution that its output stands for.

A network loss is the negative logarithm of a probability, up to a constant:

    squared_error            t ~ Normal(ŷ, I)
    sigmoid_cross_entropy    t ~ Bernoulli(ŷ), output by output
    softmax_cross_entropy    t ~ Categorical(ŷ), as a row with a single 1

The Fisher matrix is the second moment of the gradient under these draws, not under the labels (those give
what is called the empirical Fisher).
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from locoprop_ref.backend import array_namespace, device, dtype_name, to_backend
from locoprop_ref.network import Network

Numbers = Callable[[np.ndarray], Any]  # from the host to the library of the network


def sample_output(network: Network, a_hat: Any, *, seed: int, step: int) -> Any:
    """Draw t, (B, d_M), for every example of a batch.

    Drawn in float64 by NumPy and then moved, so that one seed is one run on every array library.

    Args:
        network: says which loss and which last transfer function.
        a_hat: (B, d_M), pre-activation of the last layer.
        seed: an integer ≥ 0, of the run.
        step: an integer ≥ 0, so that every step has draws of its own.

    >>> from locoprop_ref.network import initialize
    >>> network = initialize((2, 3), transfers="softmax", output_loss="softmax_cross_entropy")
    >>> sample_output(network, np.array([[0.0, 99.0, 0.0]]), seed=0, step=0)
    array([[0., 1., 0.]])
    """
    # NumPy fills short seeds up with zeros: without the 1, step 0 would have the numbers of
    # default_rng(seed), which the weights may have been drawn from
    rng = np.random.default_rng([seed, step, 1])
    xp = array_namespace(a_hat)
    numbers = partial(to_backend, xp=xp, dtype=dtype_name(a_hat), device=device(a_hat))
    y_hat = network.layers[-1].transfer.f(a_hat)
    return _DRAWS[network.loss.name](a_hat, y_hat, rng, numbers, xp)


def _normal(a_hat: Any, y_hat: Any, rng: np.random.Generator, numbers: Numbers, xp: Any) -> Any:
    return y_hat + numbers(rng.standard_normal(tuple(y_hat.shape)))


def _bernoulli(a_hat: Any, y_hat: Any, rng: np.random.Generator, numbers: Numbers, xp: Any) -> Any:
    # u is in [0, 1), but float32 rounds the largest up to 1: with ≤ an output of 1 is never drawn as 0
    u = numbers(rng.random(tuple(y_hat.shape)))
    return xp.astype(u <= y_hat, y_hat.dtype)


def _categorical(a_hat: Any, y_hat: Any, rng: np.random.Generator, numbers: Numbers, xp: Any) -> Any:
    # argmax(â + Gumbel noise) has the probabilities softmax(â), and needs no cumulative sum
    drawn = xp.argmax(a_hat + numbers(rng.gumbel(size=tuple(a_hat.shape))), axis=-1)
    classes = xp.arange(a_hat.shape[-1], dtype=drawn.dtype, device=device(a_hat))
    return xp.astype(drawn[:, None] == classes[None, :], a_hat.dtype)


_DRAWS = {
    "squared_error": _normal,
    "sigmoid_cross_entropy": _bernoulli,
    "softmax_cross_entropy": _categorical,
}
