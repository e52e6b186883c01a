"""BackProp: gradient descent on the network loss with a first-order optimizer."""

from dataclasses import dataclass, field
from math import inf
from typing import Any

from locoprop_ref import checks
from locoprop_ref.methods.gradient import GradientMethod, Preconditioner
from locoprop_ref.optimizers import OPTIMIZERS, Optimizer, RMSProp, optimizer

# RMSProp's rate is the one of the known numbers on the deep autoencoder; the others are first guesses
LEARNING_RATES = {
    "sgd": 1e-2, "momentum": 1e-3, "nesterov": 1e-3, "adagrad": 1e-2, "rmsprop": 3e-4, "adam": 1e-3,
}  # fmt: skip

# BackProp's RMSProp has momentum, as in the known numbers; the class itself has none
RMSPROP_MOMENTUM = 0.9


@dataclass(frozen=True)
class BackProp(GradientMethod):
    """Gradient descent on the network loss with a first-order optimizer.

    Args:
        optimizer: first-order rule, default RMSProp (tf1) with momentum 0.9.
        learning_rate: default 3e-4, the rate of the known numbers with RMSProp on the deep autoencoder.
        parallel_layers: update the layers side by side (default False: a layer has one product here, which
            threads inside BLAS do better; on two cores the step is 4 % slower side by side).
        preconditioner: one of your own, see `gradient.Preconditioner`; default None.
        clip: κ > 0 for a preconditioner of your own, see `gradient`; default inf: none.

    Raises:
        ValueError, TypeError: a setting out of its range.
    """

    optimizer: Optimizer = field(default_factory=lambda: RMSProp(momentum=RMSPROP_MOMENTUM))
    learning_rate: float = LEARNING_RATES["rmsprop"]
    parallel_layers: bool = False
    preconditioner: Preconditioner | None = None
    clip: float = inf

    def __post_init__(self) -> None:
        checks.conforms("optimizer", self.optimizer, Optimizer, "an Optimizer, as optimizer('sgd') makes")
        checks.keep(self, checks.positive, "learning_rate")
        checks.keep(self, checks.positive, "clip", infinite=True)
        checks.keep(self, checks.boolean, "parallel_layers")
        if self.preconditioner is not None:
            checks.conforms("preconditioner", self.preconditioner, Preconditioner, "a Preconditioner")


def backprop(optimizer_name: str = "rmsprop", learning_rate: float | None = None, **hyper: Any) -> BackProp:
    """Return BackProp with an optimizer by name.

    Args:
        optimizer_name: one of `OPTIMIZERS`, default "rmsprop" (tf1, here with momentum 0.9).
        learning_rate: default that of the optimizer in `LEARNING_RATES`: 3e-4 for RMSProp, otherwise a first
            guess.
        **hyper: the optimizer's own hyper-parameters, see `optimizer`.

    Raises:
        ValueError, TypeError: unknown name, learning rate ≤ 0, or a hyper-parameter that does not fit.

    >>> backprop("sgd", 0.1).learning_rate
    0.1
    """
    checks.one_of("optimizer", optimizer_name, OPTIMIZERS)
    if optimizer_name == "rmsprop":
        hyper = {"momentum": RMSPROP_MOMENTUM} | hyper
    rate = LEARNING_RATES[optimizer_name] if learning_rate is None else learning_rate
    return BackProp(optimizer(optimizer_name, **hyper), rate)
