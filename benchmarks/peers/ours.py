"""This package, on NumPy."""

import numpy as np

from benchmarks.problem import RATES, Problem, images, network
from locoprop_ref import BackProp, Descend, Method, locoprop_m, locoprop_s, locoprop_s_closed, optimizer
from locoprop_ref.optimizers import RMSProp


def method_of(
    problem: Problem,
    method: str,
    *,
    parallel_layers: bool | None = None,
    gradient_form: str = "auto",
    dialect: str = "tf1",
    local_reduction: str = "sum",
) -> Method:
    """Return this package's method with the settings of the problem; None means the method's default."""
    parallel = {} if parallel_layers is None else {"parallel_layers": parallel_layers}
    if method in RATES:
        name = method.removeprefix("backprop-")
        hyper = {"decay": problem.decay, "epsilon": problem.epsilon} if name == "rmsprop" else {}
        return BackProp(optimizer(name, **hyper), RATES[method], **parallel)
    if method == "locoprop-s-closed":
        gamma, eta = problem.closed_target_step, problem.closed_weight_step
        return locoprop_s_closed("auto", gamma, eta, **parallel)
    rule = RMSProp(dialect, problem.decay, problem.momentum, problem.epsilon)
    local = Descend(rule, problem.local_lr, problem.num_local_steps, gradient_form=gradient_form)
    build = {"locoprop-m": locoprop_m, "locoprop-s": locoprop_s}[method]
    return build(
        local,
        target_step=problem.target_step,
        local_reduction=local_reduction,
        **parallel,
    )


class Run:
    def __init__(self, problem: Problem, method: Method) -> None:
        self.method, self.network, self.x = method, network(problem), images(problem)
        self.state = self.method.init(self.network)

    def step(self) -> None:
        self.network, self.state, _ = self.method.step(self.network, self.state, self.x, self.x)

    def weights(self) -> list[np.ndarray]:
        return [array for layer in self.network.layers for array in (layer.W, layer.b)]


def prepare(problem: Problem, method: str, **options) -> Run:
    """Return a run with the options of `method_of`."""
    return Run(problem, method_of(problem, method, **options))
