"""The same in JAX: lax.conv, lax.scan and jax.grad, one compiled function per step, with donated buffers.

LocoProp needs the derivative at every row: each pre-activation gets an addend, zero, and JAX the gradient
with respect to these.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.linalg import cho_factor, cho_solve

from benchmarks.wired import WiredProblem, batch_of, network
from locoprop_ref.layers import Layer

_CHANNELS_FIRST = ("NCHW", "OIHW", "NCHW")


def _kernel(layer: Layer, W):
    size, channels = layer.wiring.recipe[-1][2], layer.wiring.recipe[-1][1][0]
    return W[:-1].T.reshape(-1, channels, size, size)


def _padding(layer: Layer):
    return [(layer.wiring.recipe[-1][4],) * 2] * 2


def _forward(layers, Ws, x, shifts):
    """Return the last pre-activation, and for every layer what it reads and its pre-activation."""
    if layers[0].recurrent:
        return _through_time(layers, Ws, x, shifts)
    y, read, a_hats = x.reshape(len(x), *layers[0].wiring.recipe[0][1]), [], []
    for m, (layer, W) in enumerate(zip(layers, Ws, strict=True)):
        for name, *arguments in layer.wiring.recipe if layer.wiring else ():
            if name == "pool":
                size = arguments[1]
                B, C, H, N = y.shape
                y = y.reshape(B, C, H // size, size, N // size, size).mean((3, 5))
            elif name == "flatten":
                y = y.reshape(len(y), -1)
        read.append(y)
        if layer.positions > 1:
            a = lax.conv_general_dilated(
                y, _kernel(layer, W), (1, 1), _padding(layer), dimension_numbers=_CHANNELS_FIRST
            )
            a_hats.append(a + W[-1][:, None, None] + shifts[m])
        else:
            a_hats.append(y @ W[:-1] + W[-1] + shifts[m])
        y = jnp.tanh(a_hats[-1])
    return a_hats[-1], (read, a_hats)


def _through_time(layers, Ws, x, shifts):
    width, T = layers[0].wiring.width, layers[0].positions
    sequence = x.reshape(len(x), T, -1).transpose(1, 0, 2)
    W_x, W_h, b = Ws[0][:width], Ws[0][width:-1], Ws[0][-1]

    def step(h, given):
        a = given + h @ W_h
        after = jnp.tanh(a)
        return after, (h, a)

    zero = jnp.zeros((len(x), len(b)), x.dtype)
    h, (before, a_hats) = lax.scan(step, zero, sequence @ W_x + b + shifts[0])
    out = h @ Ws[1][:-1] + Ws[1][-1] + shifts[1]
    rows = jnp.concatenate([sequence, before], axis=2).reshape(-1, width + len(b))
    return out, ([rows, h], [a_hats, out])


def _loss(layers, t):
    def loss(Ws, shifts, x):
        out, seen = _forward(layers, Ws, x, shifts)
        return -(t * jax.nn.log_softmax(out)).sum() / len(t), seen

    return loss


def _rows(layer: Layer, y):
    if y.ndim == 4:
        size = layer.wiring.recipe[-1][2]
        y = lax.conv_general_dilated_patches(
            y, (size, size), (1, 1), _padding(layer), dimension_numbers=_CHANNELS_FIRST
        )
        y = _as_rows(y)
    return jnp.concatenate([y, jnp.ones_like(y[:, :1])], axis=1)


def _as_rows(a):
    return a.transpose(0, 2, 3, 1).reshape(-1, a.shape[1]) if a.ndim == 4 else a.reshape(-1, a.shape[-1])


def _adam(p, gradient, state, t, rate):
    m, v = state
    m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient * gradient
    return p - rate / (1 - 0.9**t) * m / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8), (m, v)


def _closed(problem, x, g):
    eta, gamma = problem.closed_weight_step, problem.closed_target_step
    if x.shape[0] >= x.shape[1]:
        A = jnp.eye(x.shape[1], dtype=x.dtype) + eta * (x.T @ x)
        return eta * gamma * cho_solve(cho_factor(A, lower=True), x.T @ g)
    A = jnp.eye(x.shape[0], dtype=x.dtype) + eta * (x @ x.T)
    return eta * gamma * (x.T @ cho_solve(cho_factor(A, lower=True), g))


def _k_steps(problem, f, W, state, x, a_hat, g):
    v, buffer = state
    y = f(a_hat) - problem.target_step * g
    for k, rate in enumerate(problem.rates):
        gradient = x.T @ (f(x @ W if k else a_hat) - y)
        v = problem.decay * v + (1 - problem.decay) * gradient * gradient
        buffer = problem.momentum * buffer + rate * gradient / jnp.sqrt(v + problem.epsilon)
        W = W - buffer
    return W, (v, buffer)


def _step(problem: WiredProblem, method: str, layers, t):
    loss = _loss(layers, t)

    def adam(Ws, states, count, x):
        gradients, _ = jax.grad(loss, has_aux=True)(Ws, [0.0] * len(Ws), x)
        moved = [
            _adam(W, dW, state, count, problem.learning_rate)
            for W, dW, state in zip(Ws, gradients, states, strict=True)
        ]
        return tuple(W for W, _ in moved), tuple(state for _, state in moved)

    def locoprop(Ws, states, count, x):
        shapes = jax.eval_shape(lambda Ws: loss(Ws, [0.0] * len(Ws), x)[1][1], Ws)
        shifts = [jnp.zeros(a.shape, a.dtype) for a in shapes]
        g, (read, a_hats) = jax.grad(loss, argnums=1, has_aux=True)(Ws, shifts, x)
        moved = []
        for m, (layer, W, state) in enumerate(zip(layers, Ws, states, strict=True)):
            rows, g_m = _rows(layer, read[m]), _as_rows(g[m])
            if method == "locoprop-s-closed":
                moved.append((W - _closed(problem, rows, g_m), state))
            else:
                f = jnp.tanh if m + 1 < len(layers) else jax.nn.softmax
                moved.append(_k_steps(problem, f, W, state, rows, _as_rows(a_hats[m]), g_m))
        return tuple(W for W, _ in moved), tuple(state for _, state in moved)

    return jax.jit(adam if method == "backprop-adam" else locoprop, donate_argnums=(0, 1))


class _Run:
    def __init__(self, problem: WiredProblem, method: str) -> None:
        layers, (x, t) = network(problem).layers, batch_of(problem)
        self.Ws = tuple(jnp.array(layer.stacked) for layer in layers)
        start = jnp.zeros_like if method == "backprop-adam" else jnp.ones_like
        self.states = tuple((start(W), jnp.zeros_like(W)) for W in self.Ws)
        self.x, self.count = jnp.asarray(x), 0
        self._step = _step(problem, method, layers, jnp.asarray(t))

    def step(self) -> None:
        self.count += 1
        count = jnp.asarray(self.count, self.x.dtype)
        self.Ws, self.states = self._step(self.Ws, self.states, count, self.x)
        jax.block_until_ready((self.Ws, self.states))

    def weights(self) -> list[np.ndarray]:
        return [np.asarray(part) for W in self.Ws for part in (W[:-1], W[-1])]


def prepare(problem: WiredProblem, method: str) -> _Run:
    """Return a run; float64 needs `jax.enable_x64`."""
    return _Run(problem, method)
