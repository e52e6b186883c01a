"""`verify`: every identity holds, on every array library; and a wrong formula makes the right one fail."""

import copy
import dataclasses
import functools
import json
import sys
from math import inf, nan
from types import SimpleNamespace

import family_mistakes
import numpy as np
import pytest

from locoprop_ref import divergences, layers, local, losses, network, solvers, targets, transfers, wirings
from locoprop_ref.cli import main as cli
from locoprop_ref.methods import foof, kfac, kronecker, locoprop
from locoprop_ref.verify import (
    IDENTITIES,
    Identity,
    Measurement,
    as_json,
    closed,
    derivative,
    duality,
    exact,
    geometry,
    propagation,
    second_order,
    slopes,
    table,
    verify,
)

IDS = [f"I{number}" for number in range(1, 14)] + [f"L{number}" for number in range(1, 6)]
IDS += "A1 A2 A5 B1 B2 B4 C1 C2 C6 D1 D2 D5 D11 D12 E2 E3 F1 F9 F13 F15 dual F14 MAC".split()
BY_ID = dict(zip(IDS, IDENTITIES, strict=True))


def failing(results):
    """What does not hold, spelled out for the message of an assertion."""
    return [(r.id, p.claim, p.error, p.bound) for r in results for p in r.parts if not p.holds]


# ------------------------------ every identity holds


@functools.cache
def measured(seed):
    """`verify` of the package as it is; only for tests that change nothing in it."""
    return verify(seed)


@pytest.mark.parametrize("seed", [0, 1])
def test_every_identity_holds(seed):
    results = measured(seed)
    assert [r.id for r in results] == IDS
    assert failing(results) == []
    assert all(r.holds for r in results)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(2, 23))
def test_every_identity_holds_for_many_seeds(seed):
    assert failing(verify(seed)) == []


@pytest.fixture
def few_transfers(monkeypatch):
    """The identities that take most of the time, on three transfer functions instead of all."""
    for module in (closed, derivative, exact, geometry, second_order, slopes):
        monkeypatch.setattr(module, "TRANSFERS", ("tanh", "relu", "softmax"))


@pytest.mark.full
def test_every_identity_holds_for_every_transfer_function_on_every_array_library(backend, monkeypatch):
    if backend.name == "jax":  # it compiles every operation for every shape: five minutes for all of them
        for module in (closed, exact, geometry, second_order):  # which are about solutions, not about f
            monkeypatch.setattr(module, "TRANSFERS", ("tanh", "relu", "softmax"))
    assert failing(verify(4, backend.xp)) == []


def test_every_number_is_a_measurement():
    """Errors are finite, somewhere above zero in each identity, and the bounds are those of the design."""
    results = measured(1)
    bounds = {r.id: {p.bound for p in r.parts} for r in results}
    fixed = {
        "I1": {1e-14}, "I2": {1e-12}, "I4": {1e-10}, "I5": {1e-12, 0.0}, "I6": {1e-12}, "I7": {1e-8},
        "I8": {1e-14}, "I9": {1e-10}, "I10": {1e-6, 1e-12, 1e-14}, "I11": {1e-12, 0.0}, "I12": {1e-10},
        "I13": {1e-10, 0.05}, "A1": {1e-14, 1e-10}, "A2": {1e-10}, "A5": {1e-10}, "B1": {1e-10},
        "B2": {1e-10}, "B4": {1e-10}, "C1": {1e-10}, "C2": {1e-10}, "C6": {1e-10}, "D1": {1e-10, 1e-14},
        "D2": {1e-14}, "D5": {1e-13}, "D11": {1e-14, 1e-15}, "D12": {1e-12}, "E2": {1e-10},
        "E3": {1e-10, 1.0}, "F1": {1e-12}, "F9": {1e-12}, "F13": {1e-13}, "F15": {1e-12}, "dual": {1e-13},
        "F14": {1e-10}, "MAC": {1e-12, 1e-4, 0.0},
        "L1": {1e-14}, "L2": {1e-14, 1e-12, 0.0}, "L3": {1e-10}, "L4": {1e-14, 0.0}, "L5": {1e-14, 1e-10},
    }  # fmt: skip
    assert {name: bounds[name] for name in fixed} == fixed
    assert max(bounds["I3"]) <= 1e-9  # max(1e-10, 10 eps (1 + ηλ_max)), with ηλ_max of these cases below 1e5
    for result in results:
        assert all(np.isfinite(p.error) and p.error >= 0 and p.reason for p in result.parts)
        # Rounding is seen: the two sides are two computations. Those of L2 add the same products, and on some
        # processors BLAS adds them in the same order.
        assert result.id == "L2" or max(p.error for p in result.parts) > 0


def test_the_networks_depend_on_the_seed():
    """That the same seed gives the same numbers is seen in `test_command_line`."""
    first, second = ([p.error for r in measured(seed) for p in r.parts] for seed in (0, 1))
    assert first != second


# ------------------------------ a wrong formula is found


def _in_verify(patch, name, wrong):
    """Replace a function wherever the package verify has imported it by name."""
    holders = [
        module
        for path, module in sys.modules.items()
        if path.startswith("locoprop_ref.verify.") and hasattr(module, name)
    ]
    assert holders, name
    for module in holders:
        patch.setattr(module, name, wrong)


def wrong_target_sign(patch):
    patch.setattr(targets, "_stepped", lambda y_hat, g, gamma: y_hat + gamma * g)


def target_without_gamma(patch):
    patch.setattr(targets, "_stepped", lambda y_hat, g, gamma: y_hat - g)


def m_with_the_target_of_s(patch):
    """The matching loss, but â − γg as its target."""
    right = locoprop.LocoProp.local_problem

    def wrong(self, layer, x, a_hat, y_hat, g):
        return right(self, layer, x, a_hat, a_hat if self.local_loss == "matching" else y_hat, g)

    patch.setattr(locoprop.LocoProp, "local_problem", wrong)


def backward_without_slopes(patch):
    """The chain rule with f′ left out of the hidden layers."""

    def wrong(net, trace, t):
        g = [net.loss.g(trace.a_hat[-1], t, net.layers[-1].transfer)]
        for layer, said in zip(reversed(net.layers), reversed(trace.y_hat[:-1]), strict=False):
            g.append(layer.pull_back(g[-1], said))
        return tuple(reversed(g))

    patch.setattr(network, "backward", wrong)
    _in_verify(patch, "backward", wrong)


def loss_summed_over_the_batch(patch):
    patch.setattr(losses.OutputLoss, "g", lambda self, a, t, f: self._g(a, t, f, self._checked(a, t, f)))


def softmax_slope_is_diagonal(patch):
    """uᵀf′ of softmax as if it acted elementwise: p(1 − p)u."""
    right = transfers.Transfer.vjp

    def wrong(self, a, u):
        return right(self, a, u) if self.elementwise else u * self.f(a) * (1 - self.f(a))

    patch.setattr(transfers.Transfer, "vjp", wrong)


def bias_is_no_input(patch):
    """W̃ has its bias row, X̃ a column of zeros for it."""
    right = layers.Layer.augment

    def wrong(self, x, *, copy=True):
        x = right(self, x)
        return x * np.r_[np.ones(x.shape[1] - 1), 0.0] if self.b is not None else x

    patch.setattr(layers.Layer, "augment", wrong)


def _forms(patch, **wrong):
    patch.setattr(solvers, "_CLOSED_FORMS", {**solvers._CLOSED_FORMS, **wrong})


def primal_without_eta(patch):
    """(I + ηX̃ᵀX̃)⁻¹X̃ᵀr without the η in front, in primal form alone."""
    _forms(patch, primal=lambda x, r, eta, xp: solvers._primal(x, r, eta, xp) / eta)


def dual_without_identity(patch):
    """The matrix of the dual form without its I."""
    _forms(patch, dual=lambda x, r, eta, xp: x.T @ np.linalg.lstsq(eta * x @ x.T, r, rcond=None)[0])


def dual_with_eta_a_little_off(patch):
    right = solvers._dual
    _forms(patch, dual=lambda x, r, eta, xp: right(x, r, eta * 1.001, xp))


def closed_form_is_a_gradient_step(patch):
    _in_verify(patch, "closed_form", lambda p, form="auto": p.W0 - min(p.weight_step, 1) * p.gradient(p.W0))


def pseudo_inverse_is_a_transpose(patch):
    right = solvers.closed_form

    def wrong(problem, *, form="auto"):
        if problem.weight_step == inf:
            return problem.W0 - problem.gradient(problem.W0)
        return right(problem, form=form)

    _in_verify(patch, "closed_form", wrong)


def gradient_without_regularizer(patch):
    patch.setattr(
        local.LocalProblem, "unchecked_gradient", lambda self, W: self.scale * (self.x.T @ self.residual(W))
    )


def gradient_averaged(patch):
    right = local.LocalProblem.unchecked_gradient
    patch.setattr(local.LocalProblem, "unchecked_gradient", lambda self, W: right(self, W) / self.x.shape[0])


def frozen_gradient(patch):
    """K steps along the first gradient, which is BackProp K times as fast, not LocoProp."""
    patch.setattr(solvers, "gradient_in_form", lambda p, steps, form: lambda W: p.gradient(p.W0))


def gram_form_with_a_wrong_first_gradient(patch):
    right = solvers.gram_gradient

    def wrong(problem):
        gradient, first = right(problem), problem.gradient(problem.W0)
        return lambda W: gradient(W) + (0 if W is problem.W0 else first)

    patch.setattr(solvers, "gram_gradient", wrong)


def one_inner_step_too_few(patch):
    right = solvers.local_rates
    patch.setattr(solvers, "local_rates", lambda s, K, decay="authors": right(s, K, decay)[:-1])


def filter_of_frozen_gradient(patch):
    _in_verify(patch, "descent_filter", lambda lam, rates: np.full(lam.shape, sum(rates)))


def divergence_without_linear_term(patch):
    _in_verify(patch, "matching_loss", lambda f, a_hat, a: f.F(a_hat) - f.F(a))


def divergence_with_wrong_sign(patch):
    right = losses.matching_loss
    _in_verify(patch, "matching_loss", lambda f, a_hat, a: -right(f, a_hat, a))


def divergence_without_its_anchor(patch):
    """D_F without − F(a*)."""
    right = losses.matching_loss
    _in_verify(patch, "matching_loss", lambda f, a_hat, a: right(f, a_hat, a) + f.F(a))


def relu_integral_on_both_sides(patch):
    """F(a) = a²/2 also for negative a: the integral of |a|, not of ReLU."""
    _transfers(patch, relu={"_F": lambda a, xp: a * a / 2})


def relu_divergence_on_both_sides(patch):
    """½(â − a)² also for negative arguments: the matching loss of the identity."""
    _transfers(patch, relu={"_D": divergences.squared})


def _transfers(patch, **wrong):
    right = transfers.transfer

    def changed(name):
        function = copy.copy(right(name))
        for formula, other in wrong.get(name, {}).items():
            object.__setattr__(function, formula, other)
        return function

    _in_verify(patch, "transfer", changed)


def tanh_integral_shifted(patch):
    right = transfers.transfer("tanh")._F
    _transfers(patch, tanh={"_F": lambda a, xp: right(a, xp) + 1e-9})


def sigmoid_a_little_steep(patch):
    right = transfers.transfer("sigmoid")._f
    _transfers(patch, sigmoid={"_f": lambda a, xp: right(a * (1 + 1e-9), xp)})


def softplus_conjugate_halved(patch):
    right = transfers.transfer("softplus")._F_star
    _transfers(patch, softplus={"_F_star": lambda y, xp: right(y, xp) / 2})


def arctan_inverse_is_cosine(patch):
    _transfers(patch, arctan={"_inverse": lambda y, xp: xp.cos(y)})


def newton_stops_early(patch):
    right = solvers.newton
    _in_verify(patch, "newton", lambda problem: right(problem, max_newton_steps=1))


def newton_with_another_eta(patch):
    right = solvers.newton
    _in_verify(patch, "newton", lambda p: right(dataclasses.replace(p, weight_step=p.weight_step * 1.001)))


def output_factor_without_the_batch(patch):
    """gᵀg, as if g were that of one example's loss and not of the mean."""
    patch.setattr(kfac, "output_factor", lambda g, num_examples: g.T @ g)


def factored_damping_unsplit(patch):
    """√λ on both factors, whatever their traces."""
    patch.setattr(kronecker, "damping_shares", lambda A, G, damping: (damping**0.5, damping**0.5))


def kfac_without_its_output_factor(patch):
    right = kronecker.damped_inverses
    patch.setattr(kfac, "damped_inverses", lambda A, G, s: (right(A, G, s)[0], np.eye(len(G))))


def damping_a_little_off(patch):
    right = kronecker.damped_inverse
    for module in (kronecker, foof):
        patch.setattr(module, "damped_inverse", lambda factor, shift: right(factor, shift * (1 + 1e-6)))


def input_factor_summed(patch):
    """X̃ᵀX̃ where its mean over the batch belongs."""
    for module in (foof, kfac):
        patch.setattr(module, "input_factor", lambda x, num_examples: x.T @ x)


def codes_see_the_old_code_above(patch):
    """Every code but the topmost rests: its loss is zero where the code above has not moved."""

    def wrong(net, trace, t, step):
        *below, _ = trace.a_hat[:-1]
        return (*below, targets.code_update(net, trace, t, step)[-1])

    _in_verify(patch, "code_update", wrong)


def codes_step_twice_as_far(patch):
    right = targets.code_update
    _in_verify(patch, "code_update", lambda net, trace, t, step: right(net, trace, t, 2 * step))


def targets_of_another_schedule(patch):
    """γ_m = s^{2(M−m)} instead of s^{M−m}."""
    right = targets.target
    _in_verify(patch, "target", lambda a_hat, g, gamma: right(a_hat, g, gamma**2))


def codes_of_a_recurrent_network(patch):
    """Codes as if every layer had one path to the loss."""
    right = targets.code_update

    def wrong(net, trace, t, step):
        return trace.a_hat if any(layer.recurrent for layer in net.layers) else right(net, trace, t, step)

    _in_verify(patch, "code_update", wrong)


def way_back_through_time_without_W_h(patch):
    """Every step as if the next one did not read it."""
    patch.setattr(layers.Layer, "total", lambda self, a_hat, above: self.transfer.vjp(a_hat, above))


def initial_state_forgotten(patch):
    right = layers.Layer._initial
    patch.setattr(layers.Layer, "_initial", lambda self, batch, xp: 0 * right(self, batch, xp))


def recurrence_starts_from_ones(patch):
    right = layers.Layer._initial
    patch.setattr(layers.Layer, "_initial", lambda self, batch, xp: 0 * right(self, batch, xp) + 1)


def positions_have_weights_of_their_own(patch):
    """A bias that grows from row to row."""
    right = layers.Layer.pre_activation

    def wrong(self, x):
        a_hat = right(self, x)
        return a_hat + 1e-9 * np.arange(len(a_hat))[:, None]

    patch.setattr(layers.Layer, "pre_activation", wrong)


def maximum_to_the_last_of_the_largest(patch):
    right = wirings.Pool.turn

    def wrong(self, u, z):
        if self.kind == "mean":
            return right(self, u, z)
        values = np.reshape(self.windows.read(z), (self.count, *u.shape))
        last = self.count - 1 - np.argmax(values[::-1], axis=0)
        spread = np.where(np.arange(self.count)[:, None, None] == last, u, 0)
        return self.windows.turn(np.reshape(spread, (-1, u.shape[1])))

    patch.setattr(wirings.Pool, "turn", wrong)


def windows_that_overlap_count_once(patch):
    """Only the first place at which a number stands in the rows."""

    def wrong(self, u):
        with_zero = np.concatenate([u, np.zeros((1, u.shape[1]))])
        return with_zero[self.turned[0]]

    patch.setattr(wirings.Gather, "turn", wrong)


def height_and_width_swapped_in_the_windows(patch):
    right = wirings._windows
    patch.setattr(wirings, "_windows", lambda H, W, *rest: right(W, H, *rest))


def height_and_width_swapped_in_the_shape(patch):
    right = wirings._image
    patch.setattr(wirings, "_image", lambda shape: tuple(right(shape)[i] for i in (0, 2, 1)))


def kernel_transposed(patch):
    """The rows run (channel, kernel column, kernel row)."""
    right = wirings._windows

    def wrong(H, W, size, *rest):
        windows = right(H, W, size, *rest)
        return windows.reshape(size, size, -1).swapaxes(0, 1).reshape(windows.shape)

    patch.setattr(wirings, "_windows", wrong)


def padding_repeats_a_pixel(patch):
    right = wirings._windows

    def wrong(H, W, *rest):
        windows = right(H, W, *rest)
        return np.where(windows == H * W, 0, windows)

    patch.setattr(wirings, "_windows", wrong)


def mean_of_a_window_is_its_sum(patch):
    right = wirings.Pool.read
    patch.setattr(
        wirings.Pool, "read", lambda self, z: right(self, z) * (self.count if self.kind == "mean" else 1)
    )


def input_factor_over_the_rows(patch):
    """X̃ᵀX̃/R, which is right for dense layers alone."""
    for module in (foof, kfac):
        patch.setattr(module, "input_factor", lambda x, num_examples: x.T @ x / x.shape[0])


def output_factor_over_the_examples(patch):
    """B gᵀg, which is right for dense layers alone."""
    patch.setattr(kfac, "output_factor", lambda g, num_examples: num_examples * g.T @ g)


def mean_over_the_rows(patch):
    def wrong(self):
        return 1.0 if self.reduction == "sum" else 1.0 / self.x.shape[0]

    patch.setattr(local.LocalProblem, "scale", property(wrong))


def objective_over_the_examples(patch):
    """The objective of a layer divided by the rows of an example, as if its rows were averaged."""
    right = local.LocalProblem.value

    def wrong(self, W):
        return right(self, W) * (3 / self.x.shape[0])  # 3 examples

    patch.setattr(local.LocalProblem, "value", wrong)


# wrong formula → what must be found wrong: identity, which of its measurements (dense networks come first,
# then convolutional and recurrent ones)
FOUND_BY = {
    wrong_target_sign: {
        "I1": range(6),
        "I3": (3, 7, 11),
        "I4": range(6),
        "I8": range(6),
        "I10": range(6),
        "I12": range(3),
        "L3": (0, 2, 3, 5),
    },
    target_without_gamma: {
        "I1": range(6),
        "I3": (3, 7, 11),
        "I4": range(6),
        "I8": range(6),
        "I10": range(6),
        "I12": range(3),
    },
    m_with_the_target_of_s: {"I1": (1, 3, 5), "I8": range(6)},
    backward_without_slopes: {"I1": range(6), "I2": (0, 1, 2), "I11": (0, 1)},
    loss_summed_over_the_batch: {"I1": range(6), "I2": (0, 1, 2), "I8": range(6), "I12": range(3)},
    softmax_slope_is_diagonal: {"I1": range(6), "I2": (0, 1, 2)},
    bias_is_no_input: {"I1": range(6), "I2": (0, 1, 2)},
    primal_without_eta: {
        "I3": (0, 1, 2, 4, 5, 6, 8, 9, 10),
        "I9": range(9),
        "I12": range(3),
        "L3": (0, 3),
    },
    dual_without_identity: {"I3": (0, 4, 8), "I10": (1, 3, 5), "I12": (0,)},
    dual_with_eta_a_little_off: {
        "I3": (0, 4, 8),
        "I9": (0, 1, 2, 3, 4, 6, 7),
        "I10": (1, 3, 5),
        "I12": (0,),
        "L3": (0, 3),
    },
    closed_form_is_a_gradient_step: {"I3": (1, 2, 3, 5, 6, 7, 9, 10, 11), "I10": range(6), "I12": range(3)},
    pseudo_inverse_is_a_transpose: {"I3": (3, 7, 11)},
    gradient_without_regularizer: {"I3": (2, 6, 10), "I7": (1, 3, 5), "L3": (2,)},
    gradient_averaged: {"I1": range(6), "I4": range(6)},
    frozen_gradient: {"I3": (2, 3, 6, 7, 10, 11), "I4": range(6), "I7": (1, 3, 5), "L3": (2, 5)},
    gram_form_with_a_wrong_first_gradient: {"I4": range(6)},
    one_inner_step_too_few: {"I4": range(6)},
    filter_of_frozen_gradient: {"I4": (1, 3, 5)},
    divergence_without_linear_term: {"I5": (0, 1)},
    divergence_with_wrong_sign: {"I5": (0, 1)},
    divergence_without_its_anchor: {"I5": (0, 2)},
    relu_integral_on_both_sides: {"I5": (6,), "I6": (0, 2)},
    relu_divergence_on_both_sides: {"I5": (0, 3, 6)},
    tanh_integral_shifted: {"I6": (0, 2)},
    sigmoid_a_little_steep: {"I6": (1,)},
    softplus_conjugate_halved: {"I6": (2,)},
    arctan_inverse_is_cosine: {"I6": (3,)},
    newton_stops_early: {"I7": range(6)},
    newton_with_another_eta: {"I7": range(6)},
    output_factor_without_the_batch: {"I9": (1, 4, 7)},
    factored_damping_unsplit: {"I9": (1, 4, 7)},
    kfac_without_its_output_factor: {"I9": (1, 4, 7)},
    damping_a_little_off: {"I9": (1, 2, 4, 5, 7, 8), "L3": (1, 4)},
    input_factor_summed: {"I9": (1, 2, 4, 5, 7, 8), "L3": (1, 4)},
    codes_see_the_old_code_above: {"I11": (0, 1)},
    codes_step_twice_as_far: {"I11": (0, 1)},
    targets_of_another_schedule: {"I11": (0, 1)},
    codes_of_a_recurrent_network: {"I11": (2,)},
    way_back_through_time_without_W_h: {"I1": (4, 5), "I2": (2,), "L3": (3, 4, 5), "L5": (2,)},
    initial_state_forgotten: {"I1": (4, 5), "I2": (2,), "I5": (5,), "I6": (5,), "L3": (3, 4, 5)},
    recurrence_starts_from_ones: {"I2": (2,), "L2": (2, 3, 4)},
    positions_have_weights_of_their_own: {"I5": (4,), "I6": (4,), "L4": (1, 2, 3)},
    maximum_to_the_last_of_the_largest: {"L1": (2,)},
    windows_that_overlap_count_once: {"I1": (2, 3), "I2": (1,), "L1": (1, 2)},
    height_and_width_swapped_in_the_windows: {"I1": (2, 3), "I2": (1,), "I6": (4,), "L1": (0, 2)},
    height_and_width_swapped_in_the_shape: {"L4": (0, 1)},
    kernel_transposed: {"I2": (1,), "L1": (0, 2), "L2": (0, 1), "L3": (0, 1, 2)},
    padding_repeats_a_pixel: {"I2": (1,), "L1": (0, 2)},
    mean_of_a_window_is_its_sum: {"I2": (1,), "L1": (0, 1)},
    input_factor_over_the_rows: {"I9": (4, 5, 7, 8), "L3": (1, 4)},
    output_factor_over_the_examples: {"I9": (4, 7)},
    mean_over_the_rows: {"L5": range(4)},
    objective_over_the_examples: {"I5": (4, 5)},
    **family_mistakes.FOUND_BY,
}


@pytest.mark.parametrize("wrong", FOUND_BY, ids=lambda wrong: wrong.__name__)
def test_a_wrong_formula_is_found(wrong, monkeypatch, few_transfers):
    wrong(monkeypatch)
    for name, wanted in FOUND_BY[wrong].items():
        with np.errstate(over="ignore"):  # a distance over a scale of 0 is infinite, and does not hold
            result = BY_ID[name](0)
        assert not result.holds
        found = tuple(index for index, part in enumerate(result.parts) if not part.holds)
        assert set(wanted) <= set(found), f"{name}: {wanted} must fail, {found} did"


def test_every_measurement_is_seen_to_fail():
    """No bound is one that nothing could break: the table above breaks each of them."""
    broken = {
        (name, index) for found in FOUND_BY.values() for name, parts in found.items() for index in parts
    }
    assert broken == {(r.id, index) for r in measured(0) for index in range(len(r.parts))}


# ------------------------------ what is reported


def identity(*errors, bound=1e-9):
    return Identity("I0", "a claim", tuple(Measurement(f"part {e}", e, bound, "a reason") for e in errors))


@pytest.mark.parametrize(
    ("errors", "holds"), [((0.0, 1e-9), True), ((0.0, 2e-9), False), ((nan,), False), ((inf,), False)]
)
def test_an_identity_holds_when_every_part_does(errors, holds):
    assert identity(*errors).holds is holds


def test_the_table_has_a_line_for_every_measurement():
    lines = table([identity(0.0, 2e-9, nan)]).splitlines()
    assert len(lines) == 2 + 3
    assert "I0" in lines[1] and "a claim" in lines[1]
    assert [line.split()[0] for line in lines[2:]] == ["ok", "FAILS", "FAILS"]
    assert all("1.0e-09" in line and "a reason" in line for line in lines[2:])


def test_json_has_no_nan():
    report = as_json([identity(nan, inf, 0.5)], seed=3, backend="numpy")
    text = json.dumps(report, allow_nan=False)
    parts = json.loads(text)["identities"][0]["parts"]
    assert [(part["error"], part["holds"]) for part in parts] == [(None, False), (None, False), (0.5, False)]


def test_command_line(tmp_path, capsys):
    file = tmp_path / "new" / "report.json"
    assert cli.main(["verify", "--seed", "1", "--json", str(file)]) == 0
    out, err = capsys.readouterr()
    results = measured(1)
    assert err == ""
    assert out.startswith(table(results))
    count = len(IDS)
    assert out.splitlines()[-1] == f"{count} of {count} identities hold (seed 1, numpy, float64)"
    report = json.loads(file.read_bytes())
    assert report == json.loads(json.dumps(as_json(results, seed=1, backend="numpy")))
    assert {key: report[key] for key in ("schema", "seed", "backend", "dtype")} == {
        "schema": 1, "seed": 1, "backend": "numpy", "dtype": "float64",
    }  # fmt: skip
    assert [row["id"] for row in report["identities"]] == IDS
    assert all(row["holds"] for row in report["identities"])


def test_command_line_says_when_an_identity_fails(tmp_path, capsys, monkeypatch, few_transfers):
    wrong_target_sign(monkeypatch)
    assert cli.main(["verify", "--json", str(tmp_path / "r.json")]) == 1
    out, err = capsys.readouterr()
    assert err == ""
    assert "FAILS" in out
    held = [row["id"] for row in json.loads((tmp_path / "r.json").read_bytes())["identities"] if row["holds"]]
    assert set(held).isdisjoint(FOUND_BY[wrong_target_sign])
    assert out.splitlines()[-1].startswith(f"{len(held)} of {len(IDS)} identities hold")


@pytest.mark.parametrize(("seed", "error"), [(-1, ValueError), (1.5, TypeError), (True, TypeError)])
def test_bad_seeds(seed, error):
    with pytest.raises(error, match=r"^seed must be an integer"):
        verify(seed)


# ------------------------------ an error is held against the size of what is compared


def test_the_mirror_step_is_held_against_its_pre_activations(monkeypatch):
    """A scale that is too large makes every error smaller: near a = 0 it is nearly 1."""
    least = []

    def far(got, wanted, scale):
        least.append(np.min(scale))
        return 0.0

    monkeypatch.setattr(duality, "far", far)
    duality.target_is_a_natural_gradient_step()
    assert 1 <= min(least[1::2]) < 1.5


def test_a_displacement_is_held_against_the_largest_pre_activation():
    a_hat, d = np.array([[3.0, -1.0]]), np.array([[1.0, 0.5]])

    class Rule:
        def init(self, network):
            return None

        def __call__(self, network, trace, t, local, state):
            return [SimpleNamespace(y_target=a_hat - d + np.array([[0.0, 0.004]]))], state

    case = SimpleNamespace(network=None, trace=SimpleNamespace(a_hat=[a_hat]), t=None)
    error = propagation._displacement_error(Rule(), case, [d], np)
    np.testing.assert_allclose(error, 0.004 / (3 + 1), rtol=1e-9)
