"""The same in eager PyTorch: conv2d, avg_pool2d, rnn_tanh, autograd and torch.optim.Adam.

LocoProp needs the rows of every layer and the derivative at every row: `unfold` makes the rows of a
convolution, and autograd gives the derivatives with respect to the pre-activations. For these a recurrent
layer is a loop over its steps, because rnn_tanh does not show its pre-activations.
"""

import numpy as np
import torch
from torch.nn import functional

from benchmarks.wired import WiredProblem, batch_of, network
from locoprop_ref.layers import Layer


class _Run:
    def __init__(self, problem: WiredProblem, method: str) -> None:
        self.problem, self.method, self.layers = problem, method, network(problem).layers
        x, t = (torch.tensor(array) for array in batch_of(problem))
        self.x, self.t = x, t
        self.params = [torch.tensor(p) for layer in self.layers for p in _library_form(layer)]
        for p in self.params:
            p.requires_grad_(True)
        if method == "backprop-adam":
            self.adam = torch.optim.Adam(self.params, problem.learning_rate)
        self.states = [
            (torch.ones(layer.stacked.shape, dtype=x.dtype), torch.zeros(layer.stacked.shape, dtype=x.dtype))
            for layer in self.layers
        ]

    def step(self) -> None:
        if self.method == "backprop-adam":
            self.adam.zero_grad()
            self._loss(self._forward()).backward()
            self.adam.step()
            return
        xs, a_hats, out = self._traced()
        g = torch.autograd.grad(self._loss(out), a_hats)
        with torch.no_grad():
            for m, layer in enumerate(self.layers):
                rows, g_m, a_hat = self._rows(layer, xs[m]), self._as_rows(g[m]), self._as_rows(a_hats[m])
                W = _stacked(self.params, self.layers, m)
                if self.method == "locoprop-s-closed":
                    W = W - self._closed(rows, g_m)
                else:
                    W = self._k_steps(m, W, rows, a_hat, g_m)
                self._set(m, W)

    def _loss(self, a_hat):
        return functional.cross_entropy(a_hat, self.t)

    def _forward(self):
        """Return the last pre-activation, in the library's own way."""
        if self.layers[0].recurrent:
            W_x, W_h, b = self.params[:3]
            sequence = self.x.reshape(len(self.x), self.layers[0].positions, -1).transpose(0, 1)
            zero = torch.zeros(1, len(self.x), len(b), dtype=self.x.dtype)
            weights = (W_x, W_h, b, torch.zeros_like(b))
            _, h = torch.rnn_tanh(sequence, zero, weights, True, 1, 0.0, True, False, False)
            return functional.linear(h[0], *self.params[3:])
        return self._traced()[2]

    def _traced(self):
        """Return the inputs of all layers, what autograd differentiates by, and the output."""
        if self.layers[0].recurrent:
            return self._through_time()
        y, xs, a_hats = self.x.reshape(len(self.x), *self.layers[0].wiring.recipe[0][1]), [], []
        for m, layer in enumerate(self.layers):
            W, b = self.params[2 * m : 2 * m + 2]
            for name, *arguments in layer.wiring.recipe if layer.wiring else ():
                if name == "pool":
                    y = functional.avg_pool2d(y, arguments[1])
                elif name == "flatten":
                    y = y.flatten(1)
            xs.append(y)
            if W.ndim == 4:
                a_hats.append(functional.conv2d(y, W, b, padding=layer.wiring.recipe[-1][4]))
            else:
                a_hats.append(functional.linear(y, W, b))
            y = torch.tanh(a_hats[-1]) if m + 1 < len(self.layers) else a_hats[-1]
        return xs, a_hats, y

    def _through_time(self):
        W_x, W_h, b = self.params[:3]
        T = self.layers[0].positions
        sequence = self.x.reshape(len(self.x), T, -1).transpose(0, 1)
        driven = functional.linear(sequence, W_x, b)
        h = torch.zeros_like(driven[0])
        # one leaf for all steps: its gradient is that of every step's pre-activation
        shift = torch.zeros_like(driven, requires_grad=True)
        before, steps = [], []
        for t in range(T):
            before.append(h)
            steps.append(driven[t] + functional.linear(h, W_h) + shift[t])
            h = torch.tanh(steps[-1])
        rows = torch.cat([sequence, torch.stack(before)], dim=2).flatten(0, 1)
        out = functional.linear(h, *self.params[3:])
        return [rows, h], [shift, out], out

    def _rows(self, layer: Layer, x):
        """Return X̃, (R, d̃)."""
        if x.ndim == 4:
            padding = layer.wiring.recipe[-1][4]
            x = (
                functional.unfold(x, layer.wiring.recipe[-1][2], padding=padding)
                .transpose(1, 2)
                .flatten(0, 1)
            )
        return torch.cat([x, torch.ones_like(x[:, :1])], dim=1)

    def _as_rows(self, a):
        return a.flatten(2).transpose(1, 2).flatten(0, 1) if a.ndim == 4 else a.flatten(0, -2)

    def _closed(self, x, g):
        eta, gamma = self.problem.closed_weight_step, self.problem.closed_target_step
        primal = x.shape[0] >= x.shape[1]
        gram = x.T @ x if primal else x @ x.T
        gram.mul_(eta).diagonal().add_(1)
        factor = torch.linalg.cholesky(gram)
        change = torch.cholesky_solve(x.T @ g, factor) if primal else x.T @ torch.cholesky_solve(g, factor)
        return eta * gamma * change

    def _k_steps(self, m, W, x, a_hat, g):
        problem, (v, buffer) = self.problem, self.states[m]
        f = torch.tanh if m + 1 < len(self.layers) else lambda a: torch.softmax(a, dim=1)
        y, W = torch.sub(f(a_hat), g, alpha=problem.target_step), W.clone()
        for k, rate in enumerate(problem.rates):
            gradient = x.T @ (f(x @ W if k else a_hat) - y)
            v.mul_(problem.decay).addcmul_(gradient, gradient, value=1 - problem.decay)
            buffer.mul_(problem.momentum).addcdiv_(gradient, (v + problem.epsilon).sqrt_(), value=rate)
            W.sub_(buffer)
        return W

    def _set(self, m, W) -> None:
        first = _first(self.layers, m)
        parts = _library_form_of(self.layers[m], W)
        for p, values in zip(self.params[first : first + len(parts)], parts, strict=True):
            p.copy_(values)

    def weights(self) -> list[np.ndarray]:
        found = [_stacked(self.params, self.layers, m).detach().numpy() for m in range(len(self.layers))]
        return [part for W in found for part in (W[:-1], W[-1])]


def _first(layers, m: int) -> int:
    """Return where the parameters of layer m begin: three for a recurrent layer, two for any other."""
    return sum(3 if layer.recurrent else 2 for layer in layers[:m])


def _library_form(layer: Layer) -> list[np.ndarray]:
    W = torch.tensor(layer.stacked)
    return [part.numpy() for part in _library_form_of(layer, W)]


def _library_form_of(layer: Layer, W):
    """Return the parameters that PyTorch takes, from W̃."""
    b, W = W[-1], W[:-1]
    if layer.recurrent:
        width = layer.wiring.width
        return [W[:width].T.contiguous(), W[width:].T.contiguous(), b.clone()]
    if layer.positions == 1:
        return [W.T.contiguous(), b.clone()]
    size, channels = layer.wiring.recipe[-1][2], layer.wiring.recipe[-1][1][0]
    return [W.T.reshape(-1, channels, size, size).contiguous(), b.clone()]


def _stacked(params, layers, m: int):
    """Return W̃ of layer m, from the parameters that PyTorch takes."""
    first = _first(layers, m)
    if layers[m].recurrent:
        W_x, W_h, b = params[first : first + 3]
        return torch.cat([W_x.T, W_h.T, b[None, :]])
    W, b = params[first : first + 2]
    return torch.cat([W.flatten(1).T, b[None, :]])


def prepare(problem: WiredProblem, method: str) -> _Run:
    """Return a run."""
    return _Run(problem, method)
