r"""Relatives of LocoProp by name: the same step, with another target rule, other inputs or another solver.

    name      local loss    targets                         solver                    see
    am        squared       codes, network loss on top      one step of an optimizer  `code_targets`
    am-mem    squared       codes, gradient on top          memory                    `memory`
    tp        matching      learned inverses                one step                  `inverse_targets`
    dtp       matching      learned inverses, difference    one step                  `inverse_targets`
    fa        squared       feedback                        one step                  `feedback_targets`
    dfa       squared       direct feedback                 one step                  `feedback_targets`

`ste` is BackProp: what it trains are networks with sign units, whose derivative the straight-through
estimator replaces, see `transfers`.

`family` has the same algorithms, and others, as rows of a table; here they have the settings of a training
run.
"""

from typing import Any

from locoprop_ref import checks
from locoprop_ref.code_targets import CodeTargets
from locoprop_ref.feedback_targets import FeedbackTargets
from locoprop_ref.inverse_targets import InverseTargets
from locoprop_ref.memory import Memory
from locoprop_ref.methods.backprop import LEARNING_RATES, BackProp, backprop
from locoprop_ref.methods.locoprop import LocoProp
from locoprop_ref.optimizers import OPTIMIZERS, optimizer
from locoprop_ref.regularizers import Proximal
from locoprop_ref.solvers import Descend, Solver


def one_step(optimizer_name: str) -> Descend:
    """Return one step of an optimizer by name as a solver, with BackProp's rate for it as its s.

    The rate is BackProp's because the first inner gradient of these methods is of the size of ∂L/∂W̃.

    Args:
        optimizer_name: one of `OPTIMIZERS`.

    Raises:
        ValueError: an unknown name (the nearest is suggested).

    >>> one_step("sgd").local_lr
    0.01
    """
    rule = optimizer(checks.one_of("optimizer", optimizer_name, OPTIMIZERS))
    return Descend(rule, LEARNING_RATES[optimizer_name], 1, local_decay="constant")


def am(
    optimizer_name: str = "adam",
    targets: CodeTargets | None = None,
    solver: Solver | None = None,
    **settings: Any,
) -> LocoProp:
    """Return online alternating minimization: a step on the codes, then one on the weights.

    With Adam it is AM-Adam, with SGD AM-SGD.

    Args:
        optimizer_name: of the weights' step, default "adam"; its state is kept from batch to batch, and its
            rate is that of `LEARNING_RATES`: a first guess.
        targets: the codes, default `CodeTargets()`: K = 1, s = 1, μ = 1, where the last layer learns on the
            network loss itself.
        solver: instead of the one step of that optimizer.
        **settings: of `LocoProp`.

    Raises:
        ValueError, TypeError: a setting out of its range, or one that `LocoProp` does not have.

    >>> am("sgd", CodeTargets(code_steps=5)).targets.code_steps
    5
    """
    rule = CodeTargets() if targets is None else targets
    return _relative("squared", rule, optimizer_name, solver, settings)


def am_mem(
    targets: CodeTargets | None = None,
    solver: Memory | None = None,
    weight_step: float = 0.1,
    **settings: Any,
) -> LocoProp:
    """Return AM-mem: alternating minimization whose weights solve the least squares of all batches so far.

    The decay, η and the step 500 are those with which an independent program trained a classifier on MNIST,
    with batches of 200; μ = 1/500 gives the codes the same step as the last layer's target. They are not
    tuned.

    Args:
        targets: the codes, default `CodeTargets(coupling=1/500, last_layer="gradient", last_step=500)`: the
            memory takes squared problems alone, so that the last layer needs a target as well.
        solver: default `Memory()`, with a decay of 0.9 and the ridge outside the memory.
        weight_step: η > 0, default 0.1: the ridge is 1/η.
        **settings: the others of `LocoProp`.

    Raises:
        ValueError, TypeError: a setting out of its range, or one that `LocoProp` does not have.
    """
    codes = (
        targets
        if targets is not None
        else CodeTargets(coupling=1 / 500, last_layer="gradient", last_step=500.0)
    )
    parts = {"regularizer": Proximal(weight_step)} | settings
    return LocoProp("squared", codes, solver=Memory() if solver is None else solver, **parts)


def tp(
    optimizer_name: str = "adam",
    targets: InverseTargets | None = None,
    solver: Solver | None = None,
    **settings: Any,
) -> LocoProp:
    """Return target propagation: targets through learned inverses, and a step towards them.

    Args:
        optimizer_name: of the weights' step, default "adam", with the rate of `LEARNING_RATES`, a guess.
        targets: default `InverseTargets(correction="plain", forward_loss="squared_outputs")`, γ = 10.
        solver: instead of the one step of that optimizer.
        **settings: of `LocoProp`.

    Raises:
        ValueError, TypeError: a setting out of its range, or one that `LocoProp` does not have.

    >>> tp().targets.correction
    'plain'
    """
    rule = (
        targets if targets is not None else InverseTargets(correction="plain", forward_loss="squared_outputs")
    )
    return _relative("matching", rule, optimizer_name, solver, settings)


def dtp(
    optimizer_name: str = "adam",
    targets: InverseTargets | None = None,
    solver: Solver | None = None,
    **settings: Any,
) -> LocoProp:
    """Return difference target propagation: target propagation less its reconstruction error.

    Args:
        optimizer_name: of the weights' step, default "adam", with the rate of `LEARNING_RATES`, a guess.
        targets: default `InverseTargets(forward_loss="squared_outputs")`, γ = 10: the weights' gradient is
            that of ½‖f(â) − y*‖², as in the original; "matching" is that of LocoProp-M.
        solver: instead of the one step of that optimizer.
        **settings: of `LocoProp`.

    Raises:
        ValueError, TypeError: a setting out of its range, or one that `LocoProp` does not have.

    >>> dtp().targets.correction
    'difference'
    """
    rule = targets if targets is not None else InverseTargets(forward_loss="squared_outputs")
    return _relative("matching", rule, optimizer_name, solver, settings)


def fa(
    optimizer_name: str = "adam",
    targets: FeedbackTargets | None = None,
    solver: Solver | None = None,
    **settings: Any,
) -> LocoProp:
    """Return feedback alignment: BackProp through fixed random weights.

    Args:
        optimizer_name: of the weights' step, default "adam", with the rate of `LEARNING_RATES`, a guess.
        targets: default `FeedbackTargets(step=1)`: with γ = 1 the optimizer's gradient is the one of
            BackProp, with the random weights in it.
        solver: instead of the one step of that optimizer.
        **settings: of `LocoProp`.

    Raises:
        ValueError, TypeError: a setting out of its range, or one that `LocoProp` does not have.
    """
    rule = targets if targets is not None else FeedbackTargets(1.0)
    return _relative("squared", rule, optimizer_name, solver, settings)


def dfa(
    optimizer_name: str = "adam",
    targets: FeedbackTargets | None = None,
    solver: Solver | None = None,
    **settings: Any,
) -> LocoProp:
    """Return direct feedback alignment: every layer gets the error of the output through one random matrix.

    Args:
        optimizer_name: of the weights' step, default "adam", with the rate of `LEARNING_RATES`, a guess.
        targets: default `FeedbackTargets(step=1, path="direct")`.
        solver: instead of the one step of that optimizer.
        **settings: of `LocoProp`.

    Raises:
        ValueError, TypeError: a setting out of its range, or one that `LocoProp` does not have.
    """
    rule = targets if targets is not None else FeedbackTargets(1.0, path="direct")
    return _relative("squared", rule, optimizer_name, solver, settings)


def ste(optimizer_name: str = "rmsprop", learning_rate: float | None = None, **hyper: Any) -> BackProp:
    """Return BackProp, under the name that it has on networks with sign units: straight-through estimator.

    sign has the derivative 0, and BackProp no gradient through it; the straight-through estimator takes
    another function for the derivative, which belongs to the transfer function: see `straight_through` of
    `transfer`. A training run under this name is refused for a network without a sign unit.

    Args:
        optimizer_name: one of `OPTIMIZERS`, default "rmsprop".
        learning_rate: default that of `backprop`.
        **hyper: the optimizer's own hyper-parameters, see `backprop`.

    Raises:
        ValueError, TypeError: as of `backprop`.

    >>> ste("adam") == backprop("adam")
    True
    """
    return backprop(optimizer_name, learning_rate, **hyper)


def _relative(
    local_loss: str, targets: Any, optimizer_name: str, solver: Solver | None, settings: dict[str, Any]
) -> LocoProp:
    steps = one_step(optimizer_name) if solver is None else solver
    return LocoProp(local_loss, targets, solver=steps, **settings)
