"""This package on NumPy, with convolutions and recurrence."""

import numpy as np

from benchmarks.wired import WiredProblem, batch_of, network
from locoprop_ref import BackProp, Descend, Method, locoprop_m, locoprop_s_closed
from locoprop_ref.optimizers import Adam, RMSProp


def method_of(problem: WiredProblem, method: str) -> Method:
    """Return this package's method with the settings of the problem."""
    if method == "backprop-adam":
        return BackProp(Adam("torch"), problem.learning_rate)
    if method == "locoprop-s-closed":
        return locoprop_s_closed("auto", problem.closed_target_step, problem.closed_weight_step)
    rule = RMSProp("tf1", problem.decay, problem.momentum, problem.epsilon)
    local = Descend(rule, problem.local_lr, problem.num_local_steps)
    return locoprop_m(local, target_step=problem.target_step)


class _Run:
    def __init__(self, problem: WiredProblem, method: str) -> None:
        self.method, self.network = method_of(problem, method), network(problem)
        self.x, self.t = batch_of(problem)
        self.state = self.method.init(self.network)

    def step(self) -> None:
        self.network, self.state, _ = self.method.step(self.network, self.state, self.x, self.t)

    def weights(self) -> list[np.ndarray]:
        return [array for layer in self.network.layers for array in (layer.W, layer.b)]


def prepare(problem: WiredProblem, method: str) -> _Run:
    """Return a run."""
    return _Run(problem, method)
