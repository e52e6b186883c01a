r"""First-order optimizers as pairs of pure functions, `init` and `update`.

`init(W) -> state`, `update(gradient, state, rate) -> (change, state)`; the new weights are W − change. The
same code serves the inner steps of LocoProp and BackProp's steps of the whole network. `rate` is the product
of the learning rate and of any schedule. The state is a dict of arrays and numbers.

Libraries use the same name for different formulas. `dialect` chooses the library:

    tf1     TensorFlow 1 (`tf.train`), the authors' library. RMSProp's mean square starts at 1, ε is inside
            the root, and the rate multiplies what enters the momentum buffer. AdaGrad has no ε. Adam adds ε
            to √v.
    torch   PyTorch (`torch.optim`). RMSProp's mean square starts at 0, ε is outside the root, and the rate
            multiplies the momentum buffer. AdaGrad adds ε to the root. Adam adds ε to √v̂, where v̂ is the
            corrected v.

Momentum and Nesterov are the same in both.

>>> import numpy as np
>>> rule = optimizer("momentum", momentum=0.5)
>>> W, state = np.zeros(2), rule.init(np.zeros(2))
>>> for _ in range(2):
...     change, state = rule.update(np.array([1.0, 2.0]), state, 0.1)
...     W = W - change
>>> W
array([-0.25, -0.5 ])
"""

from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args, runtime_checkable

from locoprop_ref import checks
from locoprop_ref.backend import array_namespace

Dialect = Literal["tf1", "torch"]
DIALECTS: tuple[str, ...] = get_args(Dialect)
State = dict[str, Any]


@runtime_checkable
class Optimizer(Protocol):
    """The interface of a first-order optimizer."""

    def init(self, W: Any) -> State:
        """Return the state before the first step, for parameters of the shape and dtype of `W`."""

    def update(self, gradient: Any, state: State, rate: float) -> tuple[Any, State]:
        """Return (change, new state); the new parameters are W − change."""


@dataclass(frozen=True)
class SGD:
    """Gradient descent: change = s·g."""

    def init(self, W: Any) -> State:
        """Return the empty state."""
        return {}

    def update(self, gradient: Any, state: State, rate: float) -> tuple[Any, State]:
        """Return (s·g, {})."""
        return rate * gradient, state


@dataclass(frozen=True)
class Momentum:
    r"""Heavy ball (Polyak 1964), or Nesterov's variant in the form of both libraries (Sutskever et al. 2013).

    v ← μv + g;  change = s·v, or with `nesterov` s·(g + μv).

    Args:
        momentum: μ, 0 ≤ μ < 1; default 0.9, the usual value.
        nesterov: whether the change looks one step ahead.
    """

    momentum: float = 0.9
    nesterov: bool = False

    def __post_init__(self) -> None:
        checks.keep(self, checks.fraction, "momentum")
        checks.keep(self, checks.boolean, "nesterov")

    def init(self, W: Any) -> State:
        """Return v = 0."""
        return {"velocity": array_namespace(W).zeros_like(W)}

    def update(self, gradient: Any, state: State, rate: float) -> tuple[Any, State]:
        """Return (s·v, v), or (s·(g + μv), v)."""
        velocity = self.momentum * state["velocity"] + gradient
        ahead = gradient + self.momentum * velocity if self.nesterov else velocity
        return rate * ahead, {"velocity": velocity}


@dataclass(frozen=True)
class AdaGrad:
    r"""AdaGrad (Duchi, Hazan, Singer 2011): G ← G + g²; change = s·g/√G (tf1), s·g/(√G + ε) (torch).

    Args:
        dialect: "tf1" (default) or "torch".
        initial_accumulator: G before the first step; default 0.1 (tf1; the authors use 1e-5), 0 (torch).
        epsilon: ε of the torch dialect, default 1e-10 as there.
    """

    dialect: Dialect = "tf1"
    initial_accumulator: float | None = None
    epsilon: float = 1e-10

    def __post_init__(self) -> None:
        checks.one_of("dialect", self.dialect, DIALECTS)
        checks.keep(self, checks.not_negative, "epsilon")
        if self.initial_accumulator is not None:
            checks.keep(self, checks.not_negative, "initial_accumulator")

    def init(self, W: Any) -> State:
        """Return G, filled with its initial value."""
        default = 0.1 if self.dialect == "tf1" else 0.0
        start = default if self.initial_accumulator is None else self.initial_accumulator
        return {"sum_of_squares": array_namespace(W).full_like(W, start)}

    def update(self, gradient: Any, state: State, rate: float) -> tuple[Any, State]:
        """Return (s·g/√G, G)."""
        xp = array_namespace(gradient)
        sum_of_squares = state["sum_of_squares"] + gradient * gradient
        root = xp.sqrt(sum_of_squares)
        if self.dialect == "torch":
            root += self.epsilon
        change = rate * gradient
        change /= root
        return change, {"sum_of_squares": sum_of_squares}


@dataclass(frozen=True)
class RMSProp:
    r"""RMSProp (Hinton's lecture 6e, Tieleman and Hinton 2012) with momentum, in the two libraries' versions.

        v ← ρv + (1 − ρ)g²
        tf1:    m ← μm + s·g/√(v + ε);     change = m       (v starts at 1)
        torch:  m ← μm + g/(√v + ε);       change = s·m     (v starts at 0)

    Args:
        dialect: "tf1" (default, the authors' code) or "torch".
        decay: ρ, default 0.9.
        momentum: μ, default 0; the authors' local optimizer uses 0.999.
        epsilon: ε > 0, default 1e-5 (the authors).
    """

    dialect: Dialect = "tf1"
    decay: float = 0.9
    momentum: float = 0.0
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        checks.one_of("dialect", self.dialect, DIALECTS)
        checks.keep(self, checks.fraction, "decay", "momentum")
        checks.keep(self, checks.positive, "epsilon")

    def init(self, W: Any) -> State:
        """Return v (ones for tf1, zeros for torch) and m = 0."""
        xp = array_namespace(W)
        mean_square = xp.ones_like(W) if self.dialect == "tf1" else xp.zeros_like(W)
        return {"mean_square": mean_square, "momentum_buffer": xp.zeros_like(W)}

    def update(self, gradient: Any, state: State, rate: float) -> tuple[Any, State]:
        """Return (change, state) by the formulas above."""
        xp = array_namespace(gradient)
        mean_square = self.decay * state["mean_square"]
        square = (1 - self.decay) * gradient
        square *= gradient
        mean_square += square
        buffer = self.momentum * state["momentum_buffer"]
        if self.dialect == "tf1":
            step = rate * gradient
            step /= xp.sqrt(mean_square + self.epsilon)
            buffer += step
            change = buffer
        else:
            root = xp.sqrt(mean_square)
            root += self.epsilon
            buffer += gradient / root
            change = rate * buffer
        return change, {"mean_square": mean_square, "momentum_buffer": buffer}


# the authors' local optimizer
AUTHORS_RMSPROP = RMSProp(dialect="tf1", decay=0.9, momentum=0.999, epsilon=1e-5)


@dataclass(frozen=True)
class Adam:
    r"""Adam (Kingma and Ba 2015), with bias correction.

        m ← β₁m + (1 − β₁)g;   v ← β₂v + (1 − β₂)g²;   t ← t + 1
        tf1:    change = s·√(1 − β₂ᵗ)/(1 − β₁ᵗ) · m/(√v + ε)       (the paper's section 2, before 2.1)
        torch:  change = s/(1 − β₁ᵗ) · m/(√(v/(1 − β₂ᵗ)) + ε)      (the paper's Algorithm 1)

    Args:
        dialect: "tf1" (default) or "torch"; they differ in the term that ε is added to.
        beta1: β₁, default 0.9.
        beta2: β₂, default 0.999.
        epsilon: ε > 0, default 1e-8; all three defaults are those of the paper.
    """

    dialect: Dialect = "tf1"
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        checks.one_of("dialect", self.dialect, DIALECTS)
        checks.keep(self, checks.fraction, "beta1", "beta2")
        checks.keep(self, checks.positive, "epsilon")

    def init(self, W: Any) -> State:
        """Return t = 0, m = 0, v = 0."""
        xp = array_namespace(W)
        return {"count": 0, "mean": xp.zeros_like(W), "mean_square": xp.zeros_like(W)}

    def update(self, gradient: Any, state: State, rate: float) -> tuple[Any, State]:
        """Return (change, state) by the formulas above."""
        xp = array_namespace(gradient)
        t = state["count"] + 1
        mean = self.beta1 * state["mean"]
        mean += (1 - self.beta1) * gradient
        mean_square = self.beta2 * state["mean_square"]
        square = (1 - self.beta2) * gradient
        square *= gradient
        mean_square += square
        correction1, correction2 = 1 - self.beta1**t, (1 - self.beta2**t) ** 0.5
        if self.dialect == "tf1":
            change = rate * correction2 / correction1 * mean / (xp.sqrt(mean_square) + self.epsilon)
        else:
            change = rate / correction1 * mean / (xp.sqrt(mean_square) / correction2 + self.epsilon)
        return change, {"count": t, "mean": mean, "mean_square": mean_square}


OPTIMIZERS = ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam")
_RULES: dict[str, type[Any]] = {
    "sgd": SGD, "momentum": Momentum, "nesterov": Momentum,
    "adagrad": AdaGrad, "rmsprop": RMSProp, "adam": Adam,
}  # fmt: skip


def optimizer(name: str, **hyper: Any) -> Optimizer:
    """Return the optimizer with this name and these hyper-parameters.

    Args:
        name: one of `OPTIMIZERS`.
        **hyper: hyper-parameters of its class, such as `decay` of `RMSProp`.

    Raises:
        ValueError: unknown name (the nearest is suggested), or a hyper-parameter out of its range.
        TypeError: a hyper-parameter that this optimizer does not have.

    >>> optimizer("rmsprop", decay=0.99).decay
    0.99
    """
    rule = _RULES[checks.one_of("optimizer", name, OPTIMIZERS)]
    allowed = [key for key in rule.__dataclass_fields__ if key != "nesterov"]
    for key in hyper:
        if key not in allowed:
            raise TypeError(
                f"optimizer {name!r} takes {', '.join(allowed) or 'no hyper-parameter'}, got {key!r}"
            )
    return rule(**hyper, nesterov=True) if name == "nesterov" else rule(**hyper)
