r"""LocoProp, written by hand: every layer of a network gets its own convex problem.

One forward and one backward pass set a local target for each layer, y* = f(â₀) − γg with g = ∂L/∂â; then each
layer, by itself, moves its weights towards

    min_W̃  Σ_rows D_F(x̃W̃, a*)  +  (1/2η)‖W̃ − W̃₀‖²,        y* = f(a*).

Three parts, each replaceable, and a solver:

    loss          which F: the layer's own (LocoProp-M, the matching loss of its transfer function),
                  or a²/2 (LocoProp-S, the squared loss on pre-activations)
    target        how far γ to step along −g
    regularizer   η, how far the weights may go
    solver        K steps of a first-order rule (S, M), the closed form (S), damped Newton (M)

The first inner step is BackProp; the rest behaves like a second-order method: the K steps are a polynomial
preconditioner, and the closed form is a preconditioned gradient step with a matrix inverse.

Read the modules in this order: transfer, output_loss, network, local, optimizer, solve, method; `verify`
proves them. Examples are rows; g carries the 1/B of the loss' mean over the batch; local losses sum over it.

Source: Amid, Anil, Warmuth, "LocoProp: Enhancing BackProp via Local Loss Optimization", AISTATS 2022.
"""

from locoprop_ref.methods.registry import METHODS, method
from locoprop_ref.methods.base import Method
from locoprop_ref.local import LocalProblem
from locoprop_ref.losses import matching_loss
from locoprop_ref.targets import target
from locoprop_ref.methods.backprop import BackProp, backprop
from locoprop_ref.methods.locoprop import (
    LocoProp,
    locoprop_m,
    locoprop_m_exact,
    locoprop_s,
    locoprop_s_closed,
)
from locoprop_ref.layers import Layer
from locoprop_ref.network import (
    Network,
    Trace,
    backward,
    forward,
    gradients,
    initialize,
    network_loss,
    predict,
)
from locoprop_ref.optimizers import OPTIMIZERS, Optimizer, optimizer
from locoprop_ref.losses import OUTPUT_LOSSES, OutputLoss, output_loss
from locoprop_ref.solvers import ClosedForm, Descend, Newton, closed_form, descend, newton
from locoprop_ref.transfers import TRANSFERS, Transfer, transfer

__version__ = "0.1.0"

__all__ = [
    "TRANSFERS", "Transfer", "transfer",
    "OUTPUT_LOSSES", "OutputLoss", "output_loss",
    "Layer", "Network", "Trace", "initialize", "forward", "backward", "gradients", "network_loss", "predict",
    "LocalProblem", "matching_loss", "target",
    "OPTIMIZERS", "Optimizer", "optimizer",
    "closed_form", "descend", "newton", "ClosedForm", "Descend", "Newton",
    "METHODS", "Method", "method", "BackProp", "LocoProp",
    "backprop", "locoprop_s", "locoprop_m", "locoprop_s_closed", "locoprop_m_exact",
]  # fmt: skip
