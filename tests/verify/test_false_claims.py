"""Claims that students meet and that do not hold: each with how far it is from the truth."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from locoprop_ref import (
    ClosedForm,
    DecoupledDecay,
    Descend,
    L2Decay,
    LocalProblem,
    LocoProp,
    Memory,
    RunningMetric,
    initialize,
    newton,
    optimizer,
    transfer,
)
from locoprop_ref.verify.cases import local_problems, random_case


def natural_gradient(problem, gradient):
    """−(Fisher + I/η)⁻¹ times the gradient, unit by unit, with f′ at the old weights."""
    slopes = problem.transfer.derivative(problem.x @ problem.W0)
    columns = []
    for j in range(gradient.shape[1]):
        fisher = sum(s * np.outer(row, row) for s, row in zip(slopes[:, j], problem.x, strict=True))
        fisher = fisher + np.eye(len(gradient)) / problem.weight_step
        columns.append(-np.linalg.solve(fisher, gradient[:, j]))
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
def test_m_for_many_steps_is_not_the_natural_gradient(name):
    """'M for K → ∞ is the natural gradient' is true for small γ alone: the slopes are secants."""
    case = random_case(name, "sigmoid", "sigmoid_cross_entropy", seed=0, xp=np, batch=8)
    off = []
    for gamma in (0.1, 1.0, 10.0, 100.0):
        problem = local_problems(case, "matching", target_step=gamma, weight_step=1.0)[1]
        wanted = natural_gradient(problem, gamma * problem.x.T @ case.g[1])
        change = newton(problem)[0] - problem.W0
        off.append(np.linalg.norm(change - wanted) / np.linalg.norm(wanted))
    assert off == sorted(off)
    assert 1e-5 < off[0] < 1e-2  # a step of a tenth looks like it
    assert off[-1] > 0.05  # and a large one does not


def test_l2_decay_is_not_decoupled_decay():
    """Not with the linear loss, and in closed form they are farther apart still."""
    rng = np.random.default_rng(0)
    x, y, W0 = rng.normal(size=(6, 4)), rng.normal(size=(6, 2)), rng.normal(size=(4, 2))
    eta, lam = 2.0, 1.0
    kappa = eta * lam / (1 + eta * lam)  # the anchors are the same
    for loss in ("linear", "squared"):
        f = LocoProp(loss).local_transfer(None)
        one, other = (
            ClosedForm()(LocalProblem(x, y, f, W0, regularizer=rule), {}, 1.0)[0]
            for rule in (L2Decay(eta, lam), DecoupledDecay(eta, kappa))
        )
        assert np.linalg.norm(one - other) > 0.1 * np.linalg.norm(one), loss


def test_a_tie_is_a_mistake_of_the_perceptron_and_none_of_a_sign_unit():
    """The Perceptron updates when yâ ≤ 0; at â = 0 the unit says 1, so that y = 1 leaves it where it is."""
    x, W = np.array([[1.0, 2.0]]), np.zeros((2, 1))
    for label, moved in ((1.0, 0.0), (-1.0, -1.0)):
        problem = LocalProblem(x, np.array([[label]]), transfer("sign"), W)
        new, _, _ = Descend(optimizer("sgd"), 0.5, 1)(problem, {}, 1.0)
        assert_array_equal(new, moved * x.T)


def test_a_memory_of_the_targets_is_not_a_memory_of_the_inputs():
    """AM-mem with its ridge outside is not FOOF: the second step has momentum."""
    rng = np.random.default_rng(1)
    start = initialize((3, 2), transfers="identity", seed=0)
    batches = [(rng.normal(size=(5, 3)), rng.normal(size=(5, 2))) for _ in range(2)]
    paths = []
    for how in (
        {"solver": ClosedForm(), "regularizer": RunningMetric(0.5, 0.9)},
        {"solver": Memory(0.9), "weight_step": 0.5},
    ):
        network, method = start, LocoProp("squared", target_step=3.0, **how)
        state, path = method.init(network), []
        for x, t in batches:
            network, state, _ = method.step(network, state, x, t)
            path.append(network.layers[0].stacked)
        paths.append(path)
    (first, second), (also, another) = paths
    assert_allclose(first, also, rtol=0, atol=1e-14)  # the first batch is the closed form in both
    assert np.abs(second - another).max() > 0.01
