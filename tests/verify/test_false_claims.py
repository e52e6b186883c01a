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


# what other targets are, and are not ------------------------------------------------------------------


def square_layers(*, orthogonal, seed=0, width=6, count=3):
    """Weights (width, width) of `count` tanh layers without biases, and outputs of a forward pass, B = 1."""
    rng = np.random.default_rng(seed)
    weights = [rng.normal(size=(width, width)) / np.sqrt(width) for _ in range(count)]
    if orthogonal:
        weights = [np.linalg.qr(W)[0] for W in weights]
    values = [np.tanh(rng.normal(size=width))]
    for W in weights:
        values.append(np.tanh(values[-1] @ W))
    return weights, values, rng.normal(size=width)


def gradients(weights, values, error):
    """∂L/∂ŷ_m of the hidden layers, where it is `error` at the last one: by the chain rule alone."""
    found = [error]
    for W, value in zip(weights[:0:-1], values[:1:-1], strict=True):
        found.append((found[-1] * (1 - value**2)) @ W.T)
    return found[:0:-1]


def propagated(weights, values, error, step, *, gait=False):
    """y*_m − ŷ_m of the hidden layers, targets sent down through exact inverses: ψ(y) = artanh(y) W⁻¹.

    GAIT-prop (Ahmad, van Gerven, Ambrogioni, NeurIPS 2020) moves each output by f′² times the way to its
    target before it is sent down; target propagation sends the target itself.
    """
    target, found = values[-1] - step * error, []
    for W, value, below in zip(weights[:0:-1], values[:1:-1], values[-2:0:-1], strict=True):
        share = (1 - value**2) ** 2 if gait else 1.0
        target = np.arctanh(value + share * (target - value)) @ np.linalg.inv(W)
        found.append(target - below)
    return found[::-1]


def cosine(a, b):
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


# the closer the slopes are to 1, the closer the two: orthogonal weights leave only them
@pytest.mark.parametrize(("orthogonal", "most"), [(True, 0.95), (False, 0.6)])
def test_target_propagation_with_exact_inverses_is_not_backprop(orthogonal, most):
    """Its direction is another one, even for a vanishing step: inverses in the place of transposes."""
    found = []
    for seed in range(100):
        case = square_layers(orthogonal=orthogonal, seed=seed)
        sent, gradient = propagated(*case, 1e-6)[0], gradients(*case)[0]
        found.append(cosine(sent, -gradient))
    assert np.median(found) < most


def test_target_propagation_is_gauss_newton_to_first_order_alone():
    """Its targets are ŷ − step·J⁺r up to an error that is linear in the step: 100 times smaller, 100 less."""
    weights, values, error = square_layers(orthogonal=False)
    J = np.eye(len(error))  # ∂ŷ_3/∂ŷ_1, rows: ŷ_1
    for W, value in zip(weights[1:], values[2:], strict=True):
        J = (J @ W) * (1 - value**2)
    exact = -np.linalg.solve(J.T, error)
    off = [
        np.linalg.norm(propagated(weights, values, error, step)[0] / step - exact) / np.linalg.norm(exact)
        for step in (1e-3, 1e-5)
    ]
    assert_allclose(off[0] / off[1], 100, rtol=0.1)  # what is left is of the second order
    assert off[0] > 1e-4  # far above rounding


@pytest.mark.parametrize(("orthogonal", "least", "most"), [(True, 0.0, 1e-5), (False, 0.3, np.inf)])
def test_gait_prop_is_backprop_with_orthogonal_weights_alone(orthogonal, least, most):
    """To first order in the step of 1e-6; with Gaussian weights another direction, however short the step."""
    case = square_layers(orthogonal=orthogonal)
    for sent, gradient in zip(propagated(*case, 1e-6, gait=True), gradients(*case), strict=True):
        off = np.linalg.norm(sent / 1e-6 + gradient) / np.linalg.norm(gradient)
        assert least <= off < most


@pytest.mark.parametrize("nudge", [1e-1, 1e-3, 1e-5])
def test_converged_predictive_coding_is_not_backprop(nudge):
    """Its errors, with the output held at ŷ − nudge·e, share e among the layers, however small the nudge."""
    weights, values, error = square_layers(orthogonal=False, seed=2)
    inputs, output = values[0], values[-1] - nudge * error
    nodes = [*values[1:-1]]
    for _ in range(6000):  # gradient descent on Σ ½‖ε_m‖² by the nodes; it is stationary after 3000
        predicted = [np.tanh(v @ W) for v, W in zip([inputs, *nodes], weights, strict=True)]
        errors = [v - p for v, p in zip([*nodes, output], predicted, strict=True)]
        pulled = [
            (e * (1 - p**2)) @ W.T for e, p, W in zip(errors[1:], predicted[1:], weights[1:], strict=True)
        ]
        slopes = [own - above for own, above in zip(errors, pulled, strict=False)]
        nodes = [v - 0.2 * d for v, d in zip(nodes, slopes, strict=True)]
    assert max(np.abs(d).max() for d in slopes) < 1e-9 * nudge + 1e-15
    for own, gradient in zip(errors, gradients(weights, values, error), strict=False):
        off = np.linalg.norm(own / nudge + gradient) / np.linalg.norm(gradient)
        assert off > 0.3
