"""The same algorithm in JAX: one compiled function per step, with donated buffers and hand-written gradients.

Hand-written gradients compile to the fewest operations, because X̃ᵀ(f(â) − y*) needs no graph. The K inner
steps are unrolled, so that XLA can optimize each of them completely.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import cho_factor, cho_solve

from benchmarks.problem import RATES, Problem, images, network

_F = {"tanh": jnp.tanh, "sigmoid": jax.nn.sigmoid, "identity": lambda a: a}


def _forward(params, x, transfers):
    xs, a_hats = [x], []
    for (W, b), name in zip(params, transfers, strict=True):
        a_hats.append(xs[-1] @ W + b)
        xs.append(_F[name](a_hats[-1]))
    return xs, a_hats


def _backward(params, xs, x, transfers):
    g = [(xs[-1] - x) / x.shape[0]]
    for m in range(len(params) - 1, 0, -1):
        u = g[-1] @ params[m][0].T
        g.append(u * (1 - xs[m] ** 2) if transfers[m - 1] == "tanh" else u)
    return g[::-1]


def _rmsprop(p, gradient, state, rate, decay, momentum, epsilon):
    v, buffer = state
    v = decay * v + (1 - decay) * gradient * gradient
    buffer = momentum * buffer + rate * gradient / jnp.sqrt(v + epsilon)
    return p - buffer, (v, buffer)


def _k_steps(problem, layer, state, x, a_hat, y, f):
    hyper = (problem.decay, problem.momentum, problem.epsilon)
    W, b = layer
    W_state, b_state = state
    for k, rate in enumerate(problem.rates):
        residual = f(a_hat if k == 0 else x @ W + b) - y
        W, W_state = _rmsprop(W, x.T @ residual, W_state, rate, *hyper)
        b, b_state = _rmsprop(b, residual.sum(0), b_state, rate, *hyper)
    return (W, b), (W_state, b_state)


def _closed(problem, layer, x, g):
    eta, gamma = problem.closed_weight_step, problem.closed_target_step
    x = jnp.concatenate([x, jnp.ones_like(x[:, :1])], axis=1)
    if x.shape[0] >= x.shape[1]:
        A = jnp.eye(x.shape[1], dtype=x.dtype) + eta * (x.T @ x)
        change = cho_solve(cho_factor(A, lower=True), x.T @ g)
    else:
        A = jnp.eye(x.shape[0], dtype=x.dtype) + eta * (x @ x.T)
        change = x.T @ cho_solve(cho_factor(A, lower=True), g)
    W, b = layer
    return W - eta * gamma * change[:-1], b - eta * gamma * change[-1]


def _step(problem: Problem, method: str):
    def step(params, states, x):
        xs, a_hats = _forward(params, x, problem.transfers)
        moved = []
        for m, g in enumerate(_backward(params, xs, x, problem.transfers)):
            layer, state, y_hat, below = params[m], states[m], xs[m + 1], xs[m]
            if method == "locoprop-m":
                f, y = _F[problem.transfers[m]], y_hat - problem.target_step * g
                layer, state = _k_steps(problem, layer, state, below, a_hats[m], y, f)
            elif method == "locoprop-s":
                f, y = _F["identity"], a_hats[m] - problem.target_step * g
                layer, state = _k_steps(problem, layer, state, below, a_hats[m], y, f)
            elif method == "locoprop-s-closed":
                layer = _closed(problem, layer, below, g)
            elif method == "backprop-rmsprop":
                hyper = (RATES[method], problem.decay, 0.0, problem.epsilon)
                pairs = zip(layer, (below.T @ g, g.sum(0)), state, strict=True)
                layer, state = zip(*(_rmsprop(p, dp, s, *hyper) for p, dp, s in pairs), strict=True)
            else:
                gradients = (below.T @ g, g.sum(0))
                layer = tuple(p - RATES[method] * dp for p, dp in zip(layer, gradients, strict=True))
            moved.append((layer, state))
        return tuple(layer for layer, _ in moved), tuple(state for _, state in moved)

    return jax.jit(step, donate_argnums=(0, 1))


class _Run:
    def __init__(self, problem: Problem, method: str) -> None:
        layers = [(layer.W, layer.b) for layer in network(problem).layers]
        self.params = tuple(tuple(jnp.asarray(p) for p in layer) for layer in layers)
        with_state = method in ("locoprop-m", "locoprop-s", "backprop-rmsprop")
        self.states = tuple(
            tuple((jnp.ones_like(p), jnp.zeros_like(p)) for p in layer) if with_state else ()
            for layer in self.params
        )
        self.x, self._step = jnp.asarray(images(problem)), _step(problem, method)

    def step(self) -> None:
        self.params, self.states = self._step(self.params, self.states, self.x)
        jax.block_until_ready((self.params, self.states))

    def weights(self) -> list[np.ndarray]:
        return [np.asarray(p) for layer in self.params for p in layer]


def prepare(problem: Problem, method: str) -> _Run:
    """Return a run; float64 needs `jax.enable_x64`."""
    return _Run(problem, method)
