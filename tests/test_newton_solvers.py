"""Newton with every quadratic regularizer: the gradient vanishes, written out anew; what is refused.

Newton with the proximal term is tested with the other solvers, in `test_solvers.py`.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from locoprop_ref import (
    DecoupledDecay,
    L2Decay,
    LocalProblem,
    LocoProp,
    Newton,
    Proximal,
    RunningMetric,
    closed_form,
    initialize,
    newton,
    transfer,
)
from locoprop_ref.regularizers import Regularizer

KINDS = {
    "l2": L2Decay(0.4, 0.3),
    "l2-alone": L2Decay(decay=0.3),
    "decoupled": DecoupledDecay(0.4, 0.2),
    "running": RunningMetric(0.4, 0.9),
}
SHAPES = {"primal": (9, 4, 3), "dual": (3, 5, 2)}  # R ≥ d̃ and R < d̃


def drawn(backend, kind, name, shape, dtype="float64", **settings):
    """A local problem, the number of rows that its metric has seen being 5."""
    rows, d, units = SHAPES[shape]
    rng = np.random.default_rng(3)
    sizes = ((rows, d), (rows, units), (d, units), (5, d))
    x, y, W0, past = (backend.asarray(rng.normal(size=size), dtype) for size in sizes)
    rule = KINDS[kind]
    state = rule.update(past, rule.init(W0)) if kind == "running" else None
    problem = LocalProblem(x, y, transfer(name), W0, regularizer=rule, regularizer_state=state, **settings)
    return problem, backend.numpy(past)


def gradient_of(kind, W, W0, past):
    """∂R/∂W̃ from the formulas of the regularizers, with the numbers of `KINDS`."""
    if kind.startswith("l2"):
        return (W - W0) / (0.4 if kind == "l2" else np.inf) + 0.3 * W
    if kind == "decoupled":
        return (W - 0.8 * W0) / 0.4
    return (np.eye(len(W)) / 0.4 + 0.9 * past.T @ past) @ (W - W0)


SAYS = {"tanh": np.tanh, "relu": lambda a: np.maximum(a, 0.0), "identity": lambda a: a}


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["tanh", "relu"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_of_the_whole_problem_vanishes(numpy_backend, kind, name, shape, reduction):
    """The problem is strictly convex: where its gradient vanishes is its minimum, and there is no other."""
    problem, past = drawn(numpy_backend, kind, name, shape, reduction=reduction)
    x, y, W0 = problem.x, problem.y_target, problem.W0
    W, info = newton(problem)
    assert info["converged"] and info["newton_steps"] <= 50
    data = x.T @ (SAYS[name](x @ W) - y) / (len(x) if reduction == "mean" else 1)
    from_regularizer = gradient_of(kind, W, W0, past)
    # terms below 100 that cancel to 100 eps of their size, in coordinates of a condition below 10
    assert_allclose(data + from_regularizer, np.zeros(W.shape), rtol=0, atol=1e-11)
    assert np.abs(from_regularizer).max() > 1e-3  # which is not zero by itself
    assert np.abs(W - W0).max() > 1e-2


@pytest.mark.each("kind")
@pytest.mark.parametrize("kind", ["l2", "running"])  # a metric that is a number, and a matrix
def test_on_the_squared_loss_it_is_the_closed_form(backend, kind):
    problem, _ = drawn(backend, kind, "identity", "primal")
    found, wanted = (backend.numpy(W) for W in (newton(problem)[0], closed_form(problem)))
    # both solve a system with a condition below 100
    assert_allclose(found, wanted, rtol=0, atol=1e-12 * np.abs(wanted).max())


@pytest.mark.parametrize("kind", KINDS)
def test_in_single_precision(numpy_backend, kind):
    """100 eps of the gradient, times the condition of the Hessian, below 10 here: 1e-4 of the weights."""
    found, exact = (
        newton(drawn(numpy_backend, kind, "tanh", "primal", dtype)[0])[0] for dtype in ("float32", "float64")
    )
    assert found.dtype == np.float32
    assert_allclose(found, exact, rtol=0, atol=1e-4 * np.abs(exact).max())


@pytest.mark.parametrize("kind", ["l2", "decoupled", "running"])
def test_the_rate_scales_the_regularizer(numpy_backend, kind):
    problem, _ = drawn(numpy_backend, kind, "tanh", "primal")
    wanted = newton(problem.scaled(0.25))[0]
    assert_allclose(Newton()(problem, {}, 0.25)[0], wanted, rtol=0, atol=1e-14)
    assert np.abs(wanted - newton(problem)[0]).max() > 1e-2
    assert Newton()(problem, {}, 0)[0] is problem.W0


def test_without_decay_it_is_the_proximal_term(numpy_backend):
    """To the tolerance of Newton; the metric that has seen nothing is solved in its own coordinates."""
    rng = np.random.default_rng(0)
    parts = rng.normal(size=(8, 4)), rng.normal(size=(8, 3)), transfer("tanh"), rng.normal(size=(4, 3))
    wanted = newton(LocalProblem(*parts, weight_step=0.4))[0]
    for rule in (L2Decay(0.4, 0.0), DecoupledDecay(0.4, 0.0), RunningMetric(0.4)):
        found, _ = newton(LocalProblem(*parts, regularizer=rule))
        assert_allclose(found, wanted, rtol=0, atol=1e-12)


def test_l2_decay_trains_the_exact_method(numpy_backend):
    """A network, three steps: the weights with decay are the smaller ones, and every layer converges."""
    network = initialize((4, 6, 2), transfers="tanh", seed=1)
    rng = np.random.default_rng(2)
    x, t = rng.normal(size=(10, 4)), rng.uniform(-0.5, 0.5, size=(10, 2))
    sizes = []
    for decay in (0.0, 5.0):
        method = LocoProp("matching", solver=Newton(), target_step=5.0, regularizer=L2Decay(0.1, decay))
        net, state = network, method.init(network)
        for _ in range(3):
            net, state, info = method.step(net, state, x, t)
            assert all(row["converged"] for row in info["layers"])
        sizes.append(np.linalg.norm(net.layers[0].stacked))
    assert sizes[1] < 0.5 * sizes[0]


@dataclass(frozen=True)
class Own:
    """A regularizer by the functions that a test gives."""

    own_gradient: object
    own_metric: object

    def init(self, W0):
        return {}

    def value(self, W, W0, state):
        return 0.0

    def gradient(self, W, W0, state):
        return self.own_gradient(W, W0)

    def metric(self, W, W0, state):
        return self.own_metric(W0)

    def scaled(self, rate):
        return self

    def update(self, x, state):
        return state


def with_own(gradient, metric):
    rng = np.random.default_rng(0)
    rule = Own(gradient, metric)
    assert isinstance(rule, Regularizer)
    x, y, W0 = rng.normal(size=(6, 3)), rng.normal(size=(6, 2)), rng.uniform(0.5, 1.5, size=(3, 2))
    return LocalProblem(x, y, transfer("tanh"), W0, regularizer=rule)


def test_an_own_quadratic_regularizer_with_a_matrix_and_a_slope(numpy_backend):
    P, C = np.array([[2.0, 0.5, 0], [0.5, 1.0, 0.2], [0, 0.2, 3.0]]), np.arange(6.0).reshape(3, 2)
    problem = with_own(lambda W, W0: P @ (W - W0) + C, lambda W0: P)
    W, _ = newton(problem)
    gradient = problem.x.T @ (np.tanh(problem.x @ W) - problem.y_target) + P @ (W - problem.W0) + C
    assert_allclose(gradient, np.zeros((3, 2)), rtol=0, atol=1e-12)


def test_the_geometry_of_exponentiated_gradient_is_refused():
    """Its metric 1/w differs from weight to weight, and changes on the way."""
    eg = with_own(lambda W, W0: np.log(np.abs(W) / W0), lambda W0: 1.0)
    wanted = r"^regularizer must be quadratic for newton, got Own, whose metric changes with W̃$"
    with pytest.raises(ValueError, match=wanted):
        newton(eg)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (Proximal(), "weight_step must be finite for newton, got inf"),
        (L2Decay(decay=0.0), "weight_step must be finite for newton, got inf"),
        (
            Own(lambda W, W0: np.zeros_like(W), lambda W0: np.diag([1.0, 0.0, 1.0])),
            "regularizer must have a positive definite metric for newton, got a singular one",
        ),
        (  # the least eigenvalue is below the rounding of the largest one, and of no other
            Own(lambda W, W0: np.zeros_like(W), lambda W0: np.diag([1.0, 2.0, 1e17])),
            "regularizer must have a positive definite metric for newton, got a singular one",
        ),
    ],
)
def test_without_a_regularizer_there_may_be_no_minimum(rule, words):
    parts = np.ones((6, 3)), np.zeros((6, 2)), transfer("tanh"), np.ones((3, 2))
    with pytest.raises(ValueError, match=f"^{words}$"):
        newton(LocalProblem(*parts, regularizer=rule))


def of_low_rank(name, dtype, eta, shape, *, in_range=True):
    """Two columns of the inputs agree; targets that f can say, or some that it cannot."""
    rng = np.random.default_rng(8)
    f = transfer(name)
    x, W0 = rng.normal(size=shape), rng.normal(size=(shape[1], 3))
    x[:, -1] = x[:, 0]
    y = f.f(rng.normal(size=(shape[0], 3))) if in_range else np.full((shape[0], 3), -2.0)
    return LocalProblem(*(v.astype(dtype) for v in (x, y)), f, W0.astype(dtype), eta)


@pytest.mark.parametrize("eta", [1e8, 1e10, 1e20, 1e38, 1e300])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["tanh", "relu", "softplus"])
def test_newton_with_huge_steps_converges_or_says_so(name, dtype, eta):
    """Never "Singular matrix", never a warning of NumPy's, never nan."""
    for shape in SHAPES.values():
        W, info = newton(of_low_rank(name, dtype, eta, shape[:2]))
        # a saturated unit beyond 1e20, and dead ones of ReLU from 1e8 on, can take more than 50 steps
        assert info["converged"] or eta > 1e20 or name == "relu"
        assert info["converged"] == (info["relative_gradient"] <= 100 * np.finfo(dtype).eps)
        assert np.all(np.isfinite(W))
        # with no targets in the range the objective falls for ever, or until η says stop
        W, info = newton(of_low_rank(name, dtype, eta, shape[:2], in_range=False))
        assert np.all(np.isfinite(W)) and isinstance(info["converged"], bool)


@pytest.mark.parametrize("size", [1.0, 1e-6, 1e6])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_newton_with_huge_steps_finds_the_change_of_minimum_norm(shape, size):
    """For the identity the limit is known: least squares by another library function."""
    problem = of_low_rank("identity", "float64", 1e20 / min(size, 1.0) ** 2, shape[:2])
    y, W0 = problem.y_target, problem.W0
    # mixed, so that the inputs are of low rank after rounding alone
    x = size * problem.x @ (np.eye(shape[1]) + np.ones((shape[1], shape[1])) / 3)
    problem = replace(problem, x=x)
    limit = W0 + np.linalg.lstsq(x, y - x @ W0, rcond=1e-9)[0]
    # the condition of X̃ᵀX̃ is below 1e4 here
    assert_allclose(newton(problem)[0], limit, rtol=0, atol=1e4 * np.finfo(float).eps * np.abs(limit).max())


@pytest.mark.parametrize("eta", [1e-20, 1e-30, 1e-46, 1e-320])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_newton_with_tiny_steps_is_a_gradient_step(dtype, eta):
    """Where the curvature is below rounding the solution is W̃₀ − η∇."""
    problem = of_low_rank("tanh", dtype, eta, (9, 4))
    W, info = newton(problem)
    wanted = problem.W0 - eta * (problem.x.T @ (np.tanh(problem.x @ problem.W0) - problem.y_target))
    assert_allclose(W, wanted, rtol=np.finfo(dtype).eps)
    assert info["converged"]


def test_a_target_that_huge_steps_cannot_reach_is_one_warning():
    """In training: info says which layer, and nothing is raised."""
    method = LocoProp("matching", solver=Newton(), target_step=50.0, weight_step=1e30)
    network = initialize((3, 4, 2), transfers="tanh", dtype="float32")
    rng = np.random.default_rng(0)
    x, t = (rng.normal(size=(6, width)).astype("float32") for width in (3, 2))
    with pytest.warns(RuntimeWarning, match="^the solver did not converge in layer") as seen:
        moved, _, info = method.step(network, method.init(network), x, t)
    assert len(seen) == 1
    assert not all(row["converged"] for row in info["layers"])
    assert all(np.all(np.isfinite(layer.W)) for layer in moved.layers)


@pytest.mark.parametrize("hard", [[1], [0], [0, 1], []], ids=str)
def test_it_has_converged_where_every_block_of_units_has(hard):
    """One unit a block: the largest number of steps and the largest gradient are those of the whole layer."""
    rng = np.random.default_rng(1)
    x, W0 = rng.normal(size=(6, 3)), rng.normal(size=(3, 2))
    y = np.tanh(x @ W0)  # solved before the first step
    y[:, hard] = rng.uniform(-1, 1, size=(6, len(hard)))
    problem = LocalProblem(x, y, transfer("tanh"), W0, 1.0)
    W, info = newton(problem, max_newton_steps=1, memory_limit=1)
    each = [newton(replace(problem, y_target=y[:, [j]], W0=W0[:, [j]]), max_newton_steps=1) for j in range(2)]
    assert [one["converged"] for _, one in each] == [j not in hard for j in range(2)]
    assert info["converged"] is (not hard)
    assert info["newton_steps"] == max(one["newton_steps"] for _, one in each) == bool(hard)
    assert info["relative_gradient"] == max(one["relative_gradient"] for _, one in each)
    assert_allclose(W, np.concatenate([one for one, _ in each], axis=1), rtol=1e-14)
    assert newton(problem, max_newton_steps=1)[1]["converged"] is info["converged"]


def one_damped_step(w0, y, eta):
    """(w after one Newton step, the step's length): one unit, one example x = 1, halved by Armijo's rule."""

    def objective(w):
        return math.log(math.cosh(w)) - y * w + (w - w0) ** 2 / (2 * eta)

    slope = math.tanh(w0) - y
    step, t = -slope / (1 - math.tanh(w0) ** 2 + 1 / eta), 1.0
    while objective(w0 + t * step) - objective(w0) > 1e-4 * t * slope * step:
        t /= 2
    return w0 + t * step, t


@pytest.mark.parametrize(("w0", "y", "halvings"), [(0.5, 0.2, 0), (1.5, -0.5, 1), (2.5, -0.9, 2)])
def test_a_step_that_is_too_long_is_halved(w0, y, halvings):
    problem = LocalProblem(np.ones((1, 1)), np.full((1, 1), y), transfer("tanh"), np.full((1, 1), w0), 100.0)
    wanted, t = one_damped_step(w0, y, 100.0)
    assert t == 0.5**halvings
    assert_allclose(newton(problem, max_newton_steps=1)[0], wanted, rtol=1e-12)
