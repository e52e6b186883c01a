"""The same algorithm in eager PyTorch: autograd for the network's gradients, tensors changed in place.

RMSProp is written out because `torch.optim.RMSprop` uses another formula (epsilon outside the root, rate
outside the momentum buffer); the number of passes over memory is the same.
"""

from itertools import chain

import numpy as np
import torch

from benchmarks.problem import RATES, Problem, images, network

_F_IN_PLACE = {"tanh": torch.Tensor.tanh_, "sigmoid": torch.Tensor.sigmoid_, "identity": lambda a: a}
_F = {"tanh": torch.tanh, "identity": lambda a: a}


def _flat(layers):
    return list(chain.from_iterable(layers))


def _rmsprop(p, gradient, state, rate, decay, momentum, epsilon):
    v, buffer = state
    v.mul_(decay).addcmul_(gradient, gradient, value=1 - decay)
    root = (v + epsilon).sqrt_()
    if momentum == 0:
        p.addcdiv_(gradient, root, value=-rate)
    else:
        buffer.mul_(momentum).addcdiv_(gradient, root, value=rate)
        p.sub_(buffer)


class _Run:
    def __init__(self, problem: Problem, method: str) -> None:
        self.problem, self.method, self.rmsprop = problem, method, _rmsprop
        self.params = [[torch.tensor(p) for p in (layer.W, layer.b)] for layer in network(problem).layers]
        for p in _flat(self.params):
            p.requires_grad_(True)
        self.states = [[(torch.ones_like(p), torch.zeros_like(p)) for p in layer] for layer in self.params]
        self.x = torch.tensor(images(problem))

    def _forward(self):
        xs, a_hats = [self.x], []
        for (W, b), name in zip(self.params, self.problem.transfers, strict=True):
            a_hats.append(torch.addmm(b, xs[-1], W))
            xs.append(_F[name](a_hats[-1]) if name != "sigmoid" else None)
        entropy = torch.nn.functional.binary_cross_entropy_with_logits
        return xs, a_hats, entropy(a_hats[-1], self.x, reduction="sum") / len(self.x)

    def step(self) -> None:
        if self.method.startswith("backprop"):
            self._backprop()
        else:
            self._locoprop()

    def _backprop(self) -> None:
        params = _flat(self.params)
        gradients = torch.autograd.grad(self._forward()[2], params)
        rate, problem = RATES[self.method], self.problem
        with torch.no_grad():
            if self.method == "backprop-sgd":
                for p, gradient in zip(params, gradients, strict=True):
                    p.sub_(gradient, alpha=rate)
                return
            for p, gradient, state in zip(params, gradients, _flat(self.states), strict=True):
                self.rmsprop(p, gradient, state, rate, problem.decay, 0.0, problem.epsilon)

    def _locoprop(self) -> None:
        xs, a_hats, loss = self._forward()
        g = torch.autograd.grad(loss, a_hats)
        with torch.no_grad():
            for m, name in enumerate(self.problem.transfers):
                if self.method == "locoprop-s-closed":
                    self._closed(m, xs[m], g[m])
                elif self.method == "locoprop-s":
                    self._k_steps(m, xs[m], a_hats[m], a_hats[m], g[m], "identity")
                else:
                    y_hat = torch.sigmoid(a_hats[m]) if name == "sigmoid" else xs[m + 1]
                    self._k_steps(m, xs[m], a_hats[m], y_hat, g[m], name)

    def _k_steps(self, m, x, a_hat, y_hat, g, name) -> None:
        problem, (W, b), (W_state, b_state) = self.problem, self.params[m], self.states[m]
        hyper = (problem.decay, problem.momentum, problem.epsilon)
        y = torch.sub(y_hat, g, alpha=problem.target_step)
        a, gradient = a_hat.clone(), torch.empty_like(W)
        for k, rate in enumerate(problem.rates):
            if k:
                torch.addmm(b, x, W, out=a)
            residual = _F_IN_PLACE[name](a).sub_(y)
            torch.mm(x.T, residual, out=gradient)
            self.rmsprop(W, gradient, W_state, rate, *hyper)
            self.rmsprop(b, residual.sum(0), b_state, rate, *hyper)

    def _closed(self, m, x, g) -> None:
        eta, gamma = self.problem.closed_weight_step, self.problem.closed_target_step
        W, b = self.params[m]
        x = torch.cat([x, torch.ones_like(x[:, :1])], dim=1)
        gram = x.T @ x if x.shape[0] >= x.shape[1] else x @ x.T
        gram.mul_(eta).diagonal().add_(1)
        factor = torch.linalg.cholesky(gram)
        if x.shape[0] >= x.shape[1]:
            change = torch.cholesky_solve(x.T @ g, factor)
        else:
            change = x.T @ torch.cholesky_solve(g, factor)
        W.sub_(change[:-1], alpha=eta * gamma)
        b.sub_(change[-1], alpha=eta * gamma)

    def weights(self) -> list[np.ndarray]:
        return [p.detach().cpu().numpy() for p in _flat(self.params)]


def prepare(problem: Problem, method: str) -> _Run:
    """Return a run."""
    return _Run(problem, method)
