"""Wrong formulas that the identities of the relatives of LocoProp must find: I13, and A1 to MAC."""

import dataclasses
import sys

import numpy as np

from locoprop_ref import (
    code_targets,
    gauss_newton_targets,
    inverse_targets,
    layers,
    local,
    losses,
    memory,
    mirror,
    newton_solvers,
    regularizers,
    solvers,
    targets,
    transfers,
)
from locoprop_ref.methods import admm, kronecker_targets, mac, offline


def in_verify(patch, name, wrong):
    """Replace a function wherever the package verify has imported it by name."""
    holders = [
        module
        for path, module in sys.modules.items()
        if path.startswith("locoprop_ref.verify.") and hasattr(module, name)
    ]
    assert holders, name
    for module in holders:
        patch.setattr(module, name, wrong)


def target_twice_as_far(patch):
    patch.setattr(targets, "_stepped", lambda y_hat, g, gamma: y_hat - 2 * gamma * g)


def gradient_by_the_output_off_the_output(patch):
    """Steepest descent on ŷ: ∂L/∂ŷ = g/f′ in the place of g."""
    right = targets.GradientTargets.of_layer

    def wrong(self, layer, f, x, a_hat, y_hat, g, gamma):
        return right(self, layer, f, x, a_hat, y_hat, g / layer.transfer.derivative(a_hat), gamma)

    patch.setattr(targets.GradientTargets, "of_layer", wrong)


def newton_takes_one_step(patch):
    """The tangent slopes in the place of the secants."""
    right = newton_solvers._newton_block
    patch.setattr(
        newton_solvers,
        "_newton_block",
        lambda problem, units, tolerance, steps, xp: right(problem, units, tolerance, 1, xp),
    )


def steps_of_one_slope(patch):
    """K steps on the squared loss in the place of M: their slope is 1."""

    def wrong(problem, steps, form):
        def gradient(W):
            change = problem.x @ (W - problem.W0)
            return problem.x.T @ (problem.residual(problem.W0) + change)

        return gradient

    patch.setattr(solvers, "gradient_in_form", wrong)


def slope_doubled(patch):
    right = local.constant_slope
    in_verify(patch, "constant_slope", lambda kappa: right(2 * kappa))


def linear_loss_with_a_slope(patch):
    patch.setitem(local.LOCAL_LOSSES, "linear", lambda layer: transfers.transfer("identity"))


def metric_without_its_memory(patch):
    patch.setattr(regularizers.RunningMetric, "update", lambda self, x, state: state)


def memory_of_the_last_batch_alone(patch):
    patch.setattr(regularizers.RunningMetric, "update", lambda self, x, state: {"gram": x.T @ x})


def _ridge(patch, where):
    right = memory.Memory.__call__

    def wrong(self, problem, state, rate):
        return right(dataclasses.replace(self, ridge=where), problem, state, rate)

    patch.setattr(memory.Memory, "__call__", wrong)


def ridge_always_inside(patch):
    _ridge(patch, "inside")


def ridge_always_outside(patch):
    _ridge(patch, "outside")


def decay_with_the_whole_step(patch):
    """η where it must be η/(1 + ηλ)."""
    patch.setattr(regularizers.L2Decay, "metric", lambda self, W, W0, state: 1 / self.weight_step)


def decay_of_the_step_too(patch):
    """Decoupled decay that shrinks the gradient step as L2 decay does."""
    patch.setattr(
        regularizers.DecoupledDecay,
        "metric",
        lambda self, W, W0, state: 1 / (self.weight_step * (1 - self.decay)),
    )


def _link(patch, geometry, primal):
    dual, _ = mirror._LINKS[geometry]
    patch.setitem(mirror._LINKS, geometry, (dual, primal))


def halves_without_their_product(patch):
    _link(patch, "eg+-", lambda m, t, xp: xp.sinh(t))


def norm_with_one_exponent(patch):
    _link(patch, "p-norm", lambda m, t, xp: mirror._norm_link(t, m.p / (m.p - 1), xp))


def winnow_a_little_faster(patch):
    _link(patch, "eg", lambda m, t, xp: 1.01 * xp.exp(t))


def sign_units_of_zero_and_one(patch):
    right = transfers._sign

    def wrong(**parameters):
        sign = right(**parameters)
        return transfers.Transfer(
            "sign",
            low=0,
            f=lambda a, xp: (sign.f(a) + 1) / 2,
            F=lambda a, xp: xp.maximum(a, 0.0),
            derivative=sign._derivative,
            F_star=sign._F_star,
        )

    patch.setitem(transfers._FAMILIES, "sign", wrong)


def divergence_halved(patch):
    right = losses.matching_loss
    in_verify(patch, "matching_loss", lambda f, a_hat, a: right(f, a_hat, a) / 2)


def projection_twice_as_far(patch):
    """η = ∞ with over-relaxation: 2X̃⁺."""
    right = solvers.ClosedForm.__call__

    def wrong(self, problem, state, rate):
        return right(self, problem, state, 2 * rate)

    patch.setattr(solvers.ClosedForm, "__call__", wrong)


def output_factor_without_the_examples(patch):
    """gᵀg, as if g were that of one example's loss and not of the mean."""
    patch.setattr(kronecker_targets, "output_factor", lambda g, num_examples: g.T @ g)


def output_factor_damped_twice(patch):
    right = kronecker_targets.KroneckerTargets.displacement

    def wrong(self, g, G):
        return right(dataclasses.replace(self, damping=2 * self.damping), g, G)

    patch.setattr(kronecker_targets.KroneckerTargets, "displacement", wrong)


def jacobians_without_slopes(patch):
    def wrong(network, trace, g_last):
        g = [g_last]
        for m in range(len(network.layers) - 1, 0, -1):
            g.append(network.layers[m].pull_back(g[-1], trace.y_hat[m - 1]))
        return tuple(reversed(g))

    patch.setattr(gauss_newton_targets, "pull_down", wrong)


def steepest_descent_for_gauss_newton(patch):
    """Jᵀr in the place of J⁺r."""
    right = gauss_newton_targets.GaussNewtonTargets.displacement

    def wrong(self, J, r):
        return right(dataclasses.replace(self, tau=1), J, r)

    patch.setattr(gauss_newton_targets.GaussNewtonTargets, "displacement", wrong)


def gauss_newton_of_the_activations_for_that_of_the_weights(patch):
    """The false claim: X̃⁺ times Gauss–Newton of the activations, whatever the ranks are."""

    def wrong(x, J, errors):
        moved = [np.linalg.pinv(J_b) @ r for J_b, r in zip(J, errors, strict=True)]
        return -np.linalg.pinv(x) @ np.array(moved)

    in_verify(patch, "_weight_step", wrong)


def inverses_without_their_bias(patch):
    """Which the difference correction takes off again."""
    patch.setattr(
        inverse_targets, "_inverse", lambda W, below: layers.Layer(W[:-1, :], 0 * W[-1, :], below.transfer)
    )


def inverses_a_little_off(patch):
    patch.setattr(
        inverse_targets,
        "_inverse",
        lambda W, below: layers.Layer(1.01 * W[:-1, :], W[-1, :], below.transfer),
    )


def schedule_twice_as_steep(patch):
    """γ_m = s^{2(M−m)}."""
    right = targets.GradientTargets.geometric
    patch.setattr(targets.GradientTargets, "geometric", lambda s, layers, top=1.0: right(s * s, layers, top))


def pseudoinverse_from_nowhere(patch):
    """Weights that forget W̃₀: X̃⁺Z at every rank, which is no change of minimum norm."""
    right = offline.fitted

    def wrong(layer, x, z):
        return right(layer.with_stacked(0 * layer.stacked), x, z)

    in_verify(patch, "fitted", wrong)


def least_squares_halfway(patch):
    right = offline.least_squares_change
    patch.setattr(offline, "least_squares_change", lambda x, residual: right(x, residual) / 2)


def activations_with_the_penalties_swapped(patch):
    right = admm.activation_block
    in_verify(
        patch, "activation_block", lambda upper, z, above, gamma, beta: right(upper, z, above, beta, gamma)
    )


def network_loss_times_the_coupling(patch):
    """μL in the place of (1/μ)L, below the top alone."""
    right = code_targets.CodeTargets.gradient_above

    def wrong(self, network, m, code, above, t):
        return right(self, network, m, code, above, t) * (1 if above is not None else self.coupling / 2)

    patch.setattr(code_targets.CodeTargets, "gradient_above", wrong)


def sweep_from_the_bottom_up(patch):
    """Codes that see the old code above them: a Jacobi sweep."""

    def wrong(self, network, codes, x, t, *, rate=1.0):
        return [mac.MAC.code_sweep_of_one(self, network, codes, m, x, t) for m in range(len(codes))]

    def one(self, network, codes, m, x, t):
        rule, code = code_targets.CodeTargets(coupling=self.coupling), codes[m]
        p, above = mac.predictions(network, codes, x)[m], codes[m + 1] if m + 1 < len(codes) else None
        for _ in range(self.code_steps):
            gradient = rule.gradient_above(network, m, code, above, t) + (code - p)
            code = code - self.code_lr * gradient
        return code

    patch.setattr(mac.MAC, "code_sweep_of_one", one, raising=False)
    patch.setattr(mac.MAC, "code_sweep", wrong)


# wrong formula → what must be found wrong: identity, which of its measurements
FOUND_BY = {
    target_twice_as_far: {
        "I13": range(4),
        "A1": range(2),
        "A2": (0,),
        "A5": range(2),
        "B1": (0,),
        "B2": (0,),
        "B4": range(2),
        "C1": (0,),
        "C2": range(3),
        "C6": range(3),
        "D1": (1,),
        "D2": (0,),
        "D5": range(2),
        "F9": range(2),
        "F13": (0,),
        "F15": range(2),
    },
    gradient_by_the_output_off_the_output: {"F15": range(2)},
    newton_takes_one_step: {"I13": (0,), "B1": (0,), "B2": (0,)},
    steps_of_one_slope: {"I13": (1, 3)},
    slope_doubled: {"A1": (1,)},
    linear_loss_with_a_slope: {"A1": (0,), "D1": (1,), "D2": (0,)},
    metric_without_its_memory: {"C6": (0, 1), "B4": (0,)},
    memory_of_the_last_batch_alone: {"C6": (0, 1), "B4": (0,)},
    ridge_always_inside: {"B4": (1,)},
    ridge_always_outside: {"C6": (2,)},
    decay_with_the_whole_step: {"D1": range(2)},
    decay_of_the_step_too: {"D2": (0,)},
    halves_without_their_product: {"D5": (0,)},
    norm_with_one_exponent: {"D5": (1,)},
    winnow_a_little_faster: {"D12": (0,)},
    sign_units_of_zero_and_one: {"D11": range(2), "D12": (0,)},
    divergence_halved: {"D11": (1,), "dual": range(2)},
    projection_twice_as_far: {"C2": range(3), "A2": (0,), "F14": range(2)},
    pseudoinverse_from_nowhere: {"F14": (1,)},
    least_squares_halfway: {"F14": range(2)},
    activations_with_the_penalties_swapped: {"F14": (2,)},
    network_loss_times_the_coupling: {"MAC": range(2)},
    sweep_from_the_bottom_up: {"MAC": (2,)},
    output_factor_without_the_examples: {"E2": (0,)},
    output_factor_damped_twice: {"E2": range(2)},
    jacobians_without_slopes: {"E2": (1,), "E3": range(2)},
    steepest_descent_for_gauss_newton: {"E3": range(2), "F1": (2,)},
    gauss_newton_of_the_activations_for_that_of_the_weights: {"E3": (2,)},
    inverses_without_their_bias: {"F1": (0,)},
    inverses_a_little_off: {"F1": (0, 1, 3)},
    schedule_twice_as_steep: {"F9": (0,), "F13": (0,)},
}
