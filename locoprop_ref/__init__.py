r"""LocoProp, written by hand: every layer of a network gets its own convex problem.

One forward and one backward pass set a local target for each layer, y* = f(â₀) − γg with g = ∂L/∂â; then each
layer, by itself, moves its weights towards

    min_W̃  Σ_rows D_F(x̃W̃, a*)  +  (1/2η)‖W̃ − W̃₀‖²,        y* = f(a*).

Four parts, each replaceable:

    local loss    which F: the layer's own (LocoProp-M, the matching loss of its transfer function),
                  a²/2 (LocoProp-S, the squared loss on pre-activations), or 0 (gradient descent)
    targets       where y* comes from: a step γ along −g
    regularizer   how far the weights may go: η of the proximal term, decay, a metric that remembers
    solver        K steps of a first-order rule (S, M), the closed form (S), damped Newton (M), or the sums of
                  all batches so far (S)

The first inner step is BackProp; the rest behaves like a second-order method: the K steps are a polynomial
preconditioner, and the closed form is a preconditioned gradient step with a matrix inverse.

Read the modules in this order: transfers, losses, wirings, architectures, layers, network, microbatches,
optimizers, mirror, regularizers, local, targets, newton_solvers, solvers, majorised_solver, memory,
spectrum, methods; `verify` proves them.
Examples are rows, and a layer whose weights are used at many positions has a row for each; g carries the 1/B
of the loss' mean over the batch; local losses sum over it.

Source: Amid, Anil, Warmuth, "LocoProp: Enhancing BackProp via Local Loss Optimization", AISTATS 2022.
"""

from locoprop_ref.cli import interrupted as _interrupted  # noqa: F401  # first, before all that takes time
from locoprop_ref.transfers import DISCONTINUOUS, TRANSFERS, Transfer, transfer
from locoprop_ref.losses import OUTPUT_LOSSES, OutputLoss, matching_loss, output_loss
from locoprop_ref.layers import Layer
from locoprop_ref.network import (
    Network, Trace, backward, forward, gradients, initialize, network_loss, predict,
)  # fmt: skip
from locoprop_ref.optimizers import OPTIMIZERS, Optimizer, optimizer
from locoprop_ref.mirror import MirrorDescent
from locoprop_ref.regularizers import DecoupledDecay, L2Decay, Proximal, Regularizer, RunningMetric
from locoprop_ref.local import LOCAL_LOSSES, LocalProblem, constant_slope
from locoprop_ref.targets import GradientTargets, LayerTarget, Targets, target
from locoprop_ref.gauss_newton_targets import GaussNewtonTargets
from locoprop_ref.feedback_targets import FeedbackTargets
from locoprop_ref.inverse_targets import InverseTargets
from locoprop_ref.code_targets import CodeTargets
from locoprop_ref.solvers import ClosedForm, Descend, Newton, Solver, closed_form, descend, newton
from locoprop_ref.memory import Memory
from locoprop_ref.methods.base import Method
from locoprop_ref.methods.backprop import BackProp, backprop
from locoprop_ref.methods.locoprop import (
    LocoProp, locoprop_m, locoprop_m_exact, locoprop_s, locoprop_s_closed,
)  # fmt: skip
from locoprop_ref.methods.kronecker_targets import KroneckerTargets
from locoprop_ref.methods.registry import METHODS, method

__version__ = "0.1.0"

__all__ = [
    "TRANSFERS", "DISCONTINUOUS", "Transfer", "transfer",
    "OUTPUT_LOSSES", "OutputLoss", "output_loss",
    "Layer", "Network", "Trace", "initialize", "forward", "backward", "gradients", "network_loss", "predict",
    "OPTIMIZERS", "Optimizer", "optimizer", "MirrorDescent",
    "LOCAL_LOSSES", "LocalProblem", "constant_slope", "matching_loss", "target",
    "LayerTarget", "Targets", "GradientTargets", "KroneckerTargets", "GaussNewtonTargets", "FeedbackTargets",
    "InverseTargets", "CodeTargets",
    "Proximal", "L2Decay", "DecoupledDecay", "RunningMetric", "Regularizer",
    "closed_form", "descend", "newton", "ClosedForm", "Descend", "Newton", "Memory", "Solver",
    "METHODS", "Method", "method", "BackProp", "LocoProp",
    "backprop", "locoprop_s", "locoprop_m", "locoprop_s_closed", "locoprop_m_exact",
]  # fmt: skip
