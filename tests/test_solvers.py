"""Solvers: closed form against elimination, K steps against loops, Newton against convexity."""

from dataclasses import replace

import naive
import numpy as np
import pytest
from bridge import ELEMENTWISE, assert_close, every_dtype, lists, naive_transfer
from high_precision import mp
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from locoprop_ref.local import LocalProblem, constant_slope
from locoprop_ref.optimizers import SGD, optimizer
from locoprop_ref.regularizers import L2Decay
from locoprop_ref.solvers import (
    ClosedForm,
    Descend,
    Newton,
    closed_form,
    descend,
    local_rates,
    local_steps,
    newton,
    newton_cost,
)
from locoprop_ref.transfers import transfer

every_elementwise = pytest.mark.parametrize("name", ELEMENTWISE)
SHAPES = [(7, 3), (4, 4), (3, 6), (1, 4), (5, 1)]  # (B, d̃): above, at and below the switch to the dual


def draw_problem(
    backend, name, shape=(6, 3), *, eta=2.0, reduction="sum", dtype="float64", seed=0, units=3, size=1.0
):
    rng = np.random.default_rng(seed)
    f = transfer(name)
    x, W0 = rng.normal(size=shape), size * rng.normal(size=(shape[1], units))
    y = size * np.asarray(f.f(rng.normal(size=(shape[0], units))))
    x, y, W0 = (backend.asarray(v, dtype) for v in (x, y, W0))
    return LocalProblem(x, y, f, W0, eta, reduction)


def precise(backend, array):
    return [[mp.mpf(v) for v in row] for row in lists(backend, array)]


def numbers(rows):
    return np.array([[float(v) for v in row] for row in rows])


# closed form --------------------------------------------------------------------------------------


def conditioned(problem, dtype, backend):
    """I3: 10 roundings times the condition 1 + ηλ_max of the system."""
    largest = np.linalg.norm(backend.numpy(problem.x).astype(float), 2) ** 2
    return 10 * np.finfo(dtype).eps * (1 + problem.weight_step * problem.scale * largest)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("eta", [1e-3, 1.0, 100.0])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
@every_dtype
def test_every_closed_form_agrees_with_elimination_in_50_digits(backend, shape, eta, reduction, dtype):
    problem = draw_problem(backend, "identity", shape, eta=eta, reduction=reduction, dtype=dtype)
    x, y, V0 = (precise(backend, v) for v in (problem.x, problem.y_target, problem.W0))
    share = mp.mpf(eta) / (shape[0] if reduction == "mean" else 1)
    wanted = numbers(naive.closed_form(x, y, V0, share))
    for form in ("auto", "primal", "dual", "inverse"):
        W = closed_form(problem, form=form)
        out = backend.numpy(W)
        assert out.dtype == np.dtype(dtype)
        size = np.abs(wanted).max() + np.abs(backend.numpy(problem.W0)).max()
        assert_allclose(out, wanted, rtol=0, atol=conditioned(problem, dtype, backend) * size, err_msg=form)


@given(
    rows=st.integers(1, 6), d=st.integers(1, 6), units=st.integers(1, 3),
    exponent=st.floats(-4, 4), seed=st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_closed_form_makes_the_gradient_vanish_and_the_forms_agree(rows, d, units, exponent, seed):
    """Gradient by loops, relative to its terms; the explicit inverse may lose the condition once more."""
    from backends import OPEN

    backend = OPEN["numpy"]()
    problem = draw_problem(backend, "identity", (rows, d), eta=10.0**exponent, seed=seed, units=units)
    condition = conditioned(problem, "float64", backend)
    solutions = [closed_form(problem, form=form) for form in ("primal", "dual", "inverse")]
    size = 1 + max(np.abs(W).max() for W in solutions)
    assert_allclose(solutions[1], solutions[0], rtol=0, atol=10 * condition * size)
    assert_allclose(solutions[2], solutions[0], rtol=0, atol=10 * condition * size)
    arguments = (problem.x.tolist(), problem.y_target.tolist(), naive.LINEAR, solutions[0].tolist())
    gradient = np.array(naive.local_gradient(*arguments, problem.W0.tolist(), problem.weight_step))
    # an error δ of W̃ shows as (X̃ᵀX̃ + I/η)δ: the condition is in size already
    steep = np.linalg.norm(problem.x, 2) ** 2 + 1 / problem.weight_step
    assert np.abs(gradient).max() <= 10 * condition * size * steep


@pytest.mark.parametrize("shape", [(3, 6), (1, 4), (2, 3)], ids=str)
@every_dtype
def test_without_regularizer_the_change_has_minimum_norm(backend, shape, dtype):
    """η = ∞ with more inputs than examples: targets are met exactly, by the smallest change."""
    problem = draw_problem(backend, "identity", shape, eta=np.inf, dtype=dtype)
    x, y, V0 = (precise(backend, v) for v in (problem.x, problem.y_target, problem.W0))
    wanted = numbers(naive.minimum_norm(x, y, V0))
    singular = np.linalg.svd(numbers(x), compute_uv=False)
    # the pseudo-inverse is right to eps times the condition number
    units = 100 * singular[0] / singular[-1]
    for form in ("auto", "primal", "dual"):
        assert_close(backend, closed_form(problem, form=form), wanted, dtype=dtype, units=units, scale=1)


@every_dtype
def test_without_regularizer_least_squares(backend, dtype):
    """η = ∞ with more examples than inputs: the normal equations, in 50 digits."""
    problem = draw_problem(backend, "identity", (8, 3), eta=np.inf, dtype=dtype)
    x, y, V0 = (precise(backend, v) for v in (problem.x, problem.y_target, problem.W0))
    wanted = numbers(naive.closed_form(x, y, V0, mp.inf))
    assert_close(backend, closed_form(problem), wanted, dtype=dtype, units=300, scale=1)


@every_dtype
def test_without_regularizer_and_without_full_rank(backend, dtype):
    """Two equal columns: the residual is orthogonal to the inputs, and the change treats the twins alike."""
    base = draw_problem(backend, "identity", (6, 3), eta=np.inf, dtype=dtype)
    x = backend.numpy(base.x).copy()
    x[:, 2] = x[:, 1]
    problem = replace(base, x=backend.asarray(x, dtype))
    W, W0 = backend.numpy(closed_form(problem)), backend.numpy(problem.W0)
    eps = np.finfo(dtype).eps
    assert_allclose((W - W0)[1], (W - W0)[2], rtol=0, atol=100 * eps * np.abs(W).max())
    residual = x.astype(float) @ W - backend.numpy(problem.y_target)
    assert_allclose(x.astype(float).T @ residual, 0, atol=300 * eps * np.abs(x).sum() * np.abs(W).max())


def test_one_example_is_normalised_least_mean_squares(backend):
    """I10: the change is W̃₀ − x̃ᵀr/‖x̃‖² less a share of exactly 1/(1 + η‖x̃‖²)."""
    problem = draw_problem(backend, "identity", (1, 4), eta=1e6)
    x, W0 = backend.numpy(problem.x), backend.numpy(problem.W0)
    square = float(np.sum(x * x))
    lms = -x.T @ (x @ W0 - backend.numpy(problem.y_target)) / square
    got = backend.numpy(closed_form(problem)) - W0
    assert_allclose(got, lms * (1 - 1 / (1 + 1e6 * square)), rtol=0, atol=1e-14 * np.abs(lms).max())


def test_huge_steps_approach_the_change_of_minimum_norm():
    """η → ∞ is continuous: at η = 10⁸, 1/(ηλ_min) away."""
    from backends import OPEN

    problem = draw_problem(OPEN["numpy"](), "identity", (3, 6), eta=1e8)
    smallest = np.linalg.svd(problem.x, compute_uv=False)[-1] ** 2
    far = np.abs(closed_form(problem) - closed_form(replace(problem, weight_step=np.inf))).max()
    assert far <= 100 / (1e8 * smallest)


LOST = [1e8, 1e16, 1e20, 1e38, 1e39, 1e300]  # η tr X̃ᵀX̃ beyond 1/eps, in float64 from the second on


def twin_columns(backend, shape, *, eta, dtype, **settings):
    """A problem whose inputs have two equal columns, so that X̃ᵀX̃ is singular to the last digit."""
    base = draw_problem(backend, "identity", shape, dtype=dtype, **settings)
    x = backend.numpy(base.x).copy()
    x[:, -1] = x[:, 0]
    return replace(base, x=backend.asarray(x, dtype), weight_step=eta)


@pytest.mark.parametrize("shape", [(8, 4), (4, 8), (6, 6)], ids=str)
@every_dtype
def test_steps_of_any_size_find_the_change_of_minimum_norm(backend, shape, dtype):
    """Inputs of lower rank and huge η: every form finds the limit, which is apart by 1/(ηλ) and rounding."""
    for eta in LOST if dtype == "float32" else LOST[1:]:
        problem = twin_columns(backend, shape, eta=eta, dtype=dtype)
        x, y, W0 = (backend.numpy(v).astype(float) for v in (problem.x, problem.y_target, problem.W0))
        limit = W0 + np.linalg.lstsq(x, y - x @ W0, rcond=1e-6)[0]
        singular = np.linalg.svd(x, compute_uv=False)
        singular = singular[singular > 1e-6 * singular[0]]
        # the singular vectors are right to eps times the condition of X̃
        bound = 100 * np.finfo(dtype).eps * singular[0] / singular[-1] * np.abs(limit).max()
        for form in ("auto", "primal", "dual", "inverse"):
            got = backend.numpy(closed_form(problem, form=form))
            bound += 1 / (eta * singular[-1] ** 2)
            assert_allclose(got, limit, rtol=0, atol=bound, err_msg=f"{form}, η = {eta}")


@every_dtype
def test_steps_below_the_smallest_number_move_nothing(backend, dtype):
    """η ≤ 1e-46 is 0 in float32, and 1/η infinite: no nan, also not in a metric of one's own."""
    for eta in (1e-46, 1e-320):
        problem = draw_problem(backend, "identity", (6, 3), eta=eta, dtype=dtype)
        decayed = replace(problem, weight_step=np.inf, regularizer=L2Decay(eta, decay=0.1))
        slower = replace(problem, transfer=constant_slope(0.5))
        for part in (problem, decayed, slower):
            assert_array_equal(backend.numpy(closed_form(part)), backend.numpy(problem.W0))


@pytest.mark.parametrize("shape", [(8, 4), (4, 8)], ids=str)
@pytest.mark.parametrize("decay, kappa", [(1e-30, 1.0), (0.0, 0.5), (1e-30, 2.0)])
def test_a_metric_of_ones_own_below_the_rounding_of_the_inputs(backend, shape, decay, kappa):
    """κX̃ᵀX̃ + (1/η + λ)I with a sum of 1e-30 keeps its limit: the least change that solves the problem."""
    problem = twin_columns(backend, shape, eta=np.inf, dtype="float64")
    own = L2Decay(1e30, decay=decay)
    problem = replace(problem, transfer=constant_slope(kappa), regularizer=own)
    x, y, W0 = (backend.numpy(v) for v in (problem.x, problem.y_target, problem.W0))
    anchor = W0 * 1e-30 / (1e-30 + decay)
    wanted = anchor + np.linalg.lstsq(x, y / kappa - x @ anchor, rcond=1e-6)[0]
    # as above; 1e3 for the condition of X̃, which is below 100 here
    bound = 1e3 * np.finfo(float).eps * np.abs(wanted).max()
    assert_allclose(backend.numpy(closed_form(problem)), wanted, rtol=0, atol=bound)


@pytest.mark.parametrize("wrong", [np.inf, np.nan])
@pytest.mark.parametrize("place", [np.s_[:], np.s_[0, 0]], ids=["all", "one"])
def test_inputs_beyond_all_numbers_are_named(place, wrong):
    """Not LAPACK's words for it."""
    x = np.arange(6.0).reshape(3, 2)
    x[place] = wrong
    problem = LocalProblem(x, np.ones((3, 1)), transfer("identity"), np.ones((2, 1)), 0.1)
    with (
        np.errstate(all="ignore"),
        pytest.raises(np.linalg.LinAlgError, match=r"^a layer's inputs or weights"),
    ):
        closed_form(problem)


# K steps ------------------------------------------------------------------------------------------

LOCAL = [
    ("sgd", "tf1", {}, {}),
    ("nesterov", "tf1", {"momentum": 0.5}, {"momentum": 0.5}),
    (
        "rmsprop",
        "tf1",
        {"momentum": 0.999, "decay": 0.9, "epsilon": 1e-5},
        {"momentum": 0.999, "decay": 0.9, "epsilon": 1e-5},
    ),
    ("adam", "torch", {"epsilon": 1e-4}, {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-4}),
]


@pytest.mark.parametrize("name", [*ELEMENTWISE, "softmax"])
@pytest.mark.parametrize("rule, dialect, settings, h", LOCAL, ids=[r[0] for r in LOCAL])
@pytest.mark.parametrize("decay", ["authors", "constant"])
def test_local_steps_agree_with_loops_over_two_batches(backend, name, rule, dialect, settings, h, decay):
    """The second batch starts from the state that the first left; errors grow over 2K steps: 1e4 eps."""
    plain = rule in ("sgd", "nesterov")
    ours = optimizer(rule, **settings, **({} if plain else {"dialect": dialect}))
    state = states = None
    for seed, eta, reduction in ((0, 2.0, "sum"), (1, np.inf, "mean")):
        problem = draw_problem(backend, name, eta=eta, reduction=reduction, seed=seed)
        W, state = descend(problem, ours, state, local_lr=0.01, num_local_steps=5, local_decay=decay)
        parts = (
            lists(backend, problem.x),
            lists(backend, problem.y_target),
            naive_transfer(problem.transfer),
        )
        wanted, states = naive.descend(
            *parts, lists(backend, problem.W0), (rule, dialect, h), local_lr=0.01, K=5, decay=decay,
            states=states, weight_step=eta, mean=reduction == "mean",
        )  # fmt: skip
        assert_close(backend, W, wanted, dtype="float64", units=1e4)


@pytest.mark.parametrize("form", ["plain", "gram", "auto"])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("eta", [0.7, np.inf])
@pytest.mark.parametrize("shape", [(9, 2), (2, 5)], ids=str)  # "auto" takes one each
def test_every_form_of_the_squared_gradient_agrees_with_loops(backend, form, reduction, eta, shape):
    """Six steps of S with the authors' optimizer, the state of the first three kept for the next."""
    problem = draw_problem(backend, "identity", shape, eta=eta, reduction=reduction)
    h = {"momentum": 0.999, "decay": 0.9, "epsilon": 1e-5}
    solver = Descend(optimizer("rmsprop", **h), local_lr=0.01, num_local_steps=3, gradient_form=form)
    state, states = solver.init(problem.W0), None
    for _ in range(2):
        W, state, info = solver(problem, state, 1.0)
        assert info == {}
        wanted, states = naive.descend(
            lists(backend, problem.x), lists(backend, problem.y_target), naive.LINEAR,
            lists(backend, problem.W0), ("rmsprop", "tf1", h), local_lr=0.01, K=3, states=states,
            weight_step=eta, mean=reduction == "mean",
        )  # fmt: skip
        assert_close(backend, W, wanted, dtype="float64", units=1e4)


@every_dtype
def test_local_steps_keep_the_dtype(backend, dtype):
    problem = draw_problem(backend, "tanh", dtype=dtype)
    for rule, dialect, settings, h in LOCAL:
        plain = rule in ("sgd", "nesterov")
        ours = optimizer(rule, **settings, **({} if plain else {"dialect": dialect}))
        W, _ = descend(problem, ours, local_lr=0.01, num_local_steps=4)
        wanted, _ = naive.descend(
            lists(backend, problem.x), lists(backend, problem.y_target), ("tanh", None),
            lists(backend, problem.W0), (rule, dialect, h), local_lr=0.01, K=4, weight_step=2.0,
        )  # fmt: skip
        # RMSProp and Adam divide a gradient by its own size: a rounding of a small one counts in full
        assert_close(backend, W, wanted, dtype=dtype, units=1e4)


def test_every_step_is_seen_and_the_last_is_the_result(backend):
    problem, rates = draw_problem(backend, "tanh"), local_rates(0.1, 4)
    path = [W for W, _ in local_steps(problem, SGD(), {}, rates)]
    W, _ = descend(problem, SGD(), local_lr=0.1, num_local_steps=4)
    assert len(path) == 4
    assert_array_equal(backend.numpy(path[-1]), backend.numpy(W))
    first = backend.numpy(problem.W0) - 0.1 * backend.numpy(problem.gradient(problem.W0))
    assert_allclose(backend.numpy(path[0]), first, rtol=1e-14, atol=1e-14)


def test_local_rates_by_hand():
    assert_allclose(local_rates(2.0, 10), [2, 1.8, 1.6, 1.4, 1.2, 1, 0.8, 0.6, 0.5, 0.5], rtol=1e-15)
    assert_allclose(local_rates(2.0, 1), [2.0], rtol=0)
    assert_allclose(local_rates(2.0, 3, "constant"), [2.0] * 3, rtol=0)
    for K in (1, 2, 7, 100):
        assert_allclose(
            local_rates(1e-5, K), [naive.local_rate(1e-5, k, K, "authors") for k in range(K)], rtol=1e-15
        )


def test_many_steps_reach_the_closed_form(backend):
    """s = 1/(λ_max + 1/η) contracts by 1 − 1/(1 + ηλ_max) a step: e⁻⁴⁰ is left after 40(1 + ηλ_max) steps."""
    problem = draw_problem(backend, "identity", (6, 3), eta=0.5)
    largest = np.linalg.norm(backend.numpy(problem.x), 2) ** 2
    K = int(40 * (1 + 0.5 * largest))
    W, _ = descend(problem, SGD(), local_lr=1 / (largest + 2), num_local_steps=K, local_decay="constant")
    assert_allclose(backend.numpy(W), backend.numpy(closed_form(problem)), rtol=0, atol=1e-12)


# newton -------------------------------------------------------------------------------------------


def assert_solves(problem, W, *, relative=1e-11):
    """The gradient, by loops, vanishes relative to its terms.

    The objective is 1/η-strongly convex, so that the only minimum lies within η‖gradient‖ of W̃: there is
    nothing more to compare with. Newton's own tolerance is 100 eps = 2e-14; loops add their rounding. W̃ and
    W̃₀ are rounded each by itself, so that it is their sizes that count in (W̃ − W̃₀)/η.
    """
    arguments = (problem.x.tolist(), problem.y_target.tolist(), naive_transfer(problem.transfer))
    gradient = naive.local_gradient(
        *arguments, W.tolist(), problem.W0.tolist(), problem.weight_step, problem.reduction == "mean"
    )
    x, y = np.abs(problem.x), np.abs(problem.y_target)
    prediction = np.abs(problem.transfer.f(problem.x @ W))
    terms = problem.scale * (x.T @ (prediction + y)) + (np.abs(W) + np.abs(problem.W0)) / problem.weight_step
    assert np.linalg.norm(gradient) <= relative * np.linalg.norm(terms) + 1e-300


@every_elementwise
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("eta", [1e-2, 1.0, 1e3])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_newton_makes_the_gradient_vanish(backend, name, shape, eta, reduction):
    problem = draw_problem(backend, name, shape, eta=eta, reduction=reduction)
    W, info = newton(problem)
    assert info["converged"] is True
    assert info["newton_steps"] <= 50
    assert info["relative_gradient"] <= 100 * np.finfo(float).eps
    host = LocalProblem(
        *(backend.numpy(v) for v in (problem.x, problem.y_target)),
        problem.transfer,
        backend.numpy(problem.W0),
        eta,
        reduction,
    )
    assert_solves(host, backend.numpy(W))


@every_elementwise
@given(
    rows=st.integers(1, 5), d=st.integers(1, 5), exponent=st.floats(-3, 3),
    size=st.sampled_from([0.1, 1.0, 10.0]), seed=st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_newton_converges_from_anywhere_to_any_target(name, rows, d, exponent, size, seed):
    """Weights and targets ten times too large: targets out of range, saturated and dead units included."""
    from backends import OPEN

    problem = draw_problem(OPEN["numpy"](), name, (rows, d), eta=10.0**exponent, seed=seed, size=size)
    W, info = newton(problem)
    assert info["converged"] is True
    assert_solves(problem, W)


@every_elementwise
@pytest.mark.parametrize("shape", [(6, 3), (3, 6)], ids=str)
def test_newton_in_single_precision(backend, name, shape):
    problem = draw_problem(backend, name, shape, dtype="float32")
    W, info = newton(problem)
    assert info["converged"] is True
    exact = draw_problem(backend, name, shape, dtype="float64")
    exact = replace(
        exact,
        **{
            k: backend.asarray(backend.numpy(getattr(problem, k)), "float64") for k in ("x", "y_target", "W0")
        },
    )
    # within η‖gradient‖, the gradient at 100 eps of terms of size about 20
    assert_close(backend, W, backend.numpy(newton(exact)[0]), dtype="float32", units=100 * 2 * 20)


def undamped(problem, steps):
    """Plain Newton on one unit, NumPy only: the gradient's size after each step."""
    w, f, eta, sizes = problem.W0[:, 0], problem.transfer, problem.weight_step, []
    for _ in range(steps):
        a = problem.x @ w
        gradient = problem.x.T @ (f.f(a) - problem.y_target[:, 0]) + (w - problem.W0[:, 0]) / eta
        sizes.append(np.linalg.norm(gradient))
        hessian = (problem.x.T * f.derivative(a)) @ problem.x + np.eye(len(w)) / eta
        w = w - np.linalg.solve(hessian, gradient)
    return sizes


CYCLES = {
    "tanh": ([[1.0]], [0.0], [3.0], 100.0),  # w goes 3, −47, 103, −97, 103, ...
    "relu": (
        [[3.0, 3.0, 3.0], [3.0, 1.0, 2.0], [-2.0, -3.0, -3.0]],
        [-5.0, 5.0, -1.0],
        [-3.0, 3.0, -2.0],
        1000.0,
    ),
}


@pytest.mark.parametrize("name", CYCLES)
def test_damping_ends_the_cycles_of_plain_newton(name):
    x, y, w0, eta = CYCLES[name]
    problem = LocalProblem(np.array(x), np.array(y)[:, None], transfer(name), np.array(w0)[:, None], eta)
    assert min(undamped(problem, 200)) > 0.1  # it does cycle
    W, info = newton(problem)
    assert info["converged"] is True
    assert_solves(problem, W)


def test_newton_in_one_dimension_finds_the_root_of_bisection(backend):
    """One weight, one example: tanh(w) − y + (w − w₀)/η increases, so that bisection cannot miss its zero."""
    w0, y, eta = 2.0, -0.7, 5.0
    low, high = -100.0, 100.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if np.tanh(middle) - y + (middle - w0) / eta < 0 else (low, middle)
    arrays = (backend.asarray([[v]], "float64") for v in (1.0, y, w0))
    x, target, W0 = arrays
    W, _ = newton(LocalProblem(x, target, transfer("tanh"), W0, eta))
    assert_allclose(backend.numpy(W), [[low]], rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", ["tanh", "relu", "softplus"])
@pytest.mark.parametrize("shape", [(6, 3), (3, 6)], ids=str)
def test_blocks_of_units_change_nothing_but_memory(backend, name, shape):
    """One unit at a time, two, or all: each is solved to the tolerance, so η times that apart at most."""
    problem = draw_problem(backend, name, shape, units=5)
    m = min(shape)
    two = 2 * 8 * (m**2 + shape[0] * m)
    whole, _ = newton(problem)
    for limit in (1, two, 2**40):
        W, info = newton(problem, memory_limit=limit)
        assert info["converged"] is True
        assert_allclose(backend.numpy(W), backend.numpy(whole), rtol=0, atol=1e-11)


def test_newton_says_when_it_has_not_arrived(backend):
    problem = draw_problem(backend, "softplus", eta=100.0, size=5.0)
    W, info = newton(problem, max_newton_steps=1)
    assert info["converged"] is False
    assert info["newton_steps"] == 1
    assert info["relative_gradient"] > 100 * np.finfo(float).eps
    assert np.abs(backend.numpy(W) - backend.numpy(problem.W0)).max() > 0
    W, info = newton(problem, tolerance=0.1)
    assert info["converged"] is True
    assert info["relative_gradient"] <= 0.1


def test_newton_has_nothing_to_do_at_the_minimum(backend):
    problem = draw_problem(backend, "tanh")
    solved, _ = newton(problem)
    there = replace(problem, W0=solved, y_target=problem.transfer.f(problem.x @ solved))
    W, info = newton(there)
    assert info["newton_steps"] == 0
    assert_array_equal(backend.numpy(W), backend.numpy(solved))


def test_newton_on_all_zero_inputs_stays_where_it_is(backend):
    zero = backend.asarray(np.zeros((4, 2)), "float64")
    W0 = backend.asarray(np.zeros((2, 3)), "float64")
    y = backend.asarray(np.zeros((4, 3)), "float64")
    W, info = newton(LocalProblem(zero, y, transfer("relu"), W0, 1.0))
    assert info["converged"] is True
    assert_array_equal(backend.numpy(W), 0)


def test_newton_on_the_squared_loss_is_the_closed_form_in_one_step(backend):
    for shape in SHAPES:
        problem = draw_problem(backend, "identity", shape, eta=0.7)
        W, info = newton(problem)
        assert (
            info["newton_steps"] <= 2
        )  # one, and one more where rounding leaves the gradient above tolerance
        assert_allclose(backend.numpy(W), backend.numpy(closed_form(problem)), rtol=0, atol=1e-12)


def test_many_steps_reach_newton(backend):
    """I7: s = 1/(sup f′ λ_max + 1/η), e⁻⁴⁰ left."""
    for name in ("tanh", "relu", "sigmoid"):
        problem = draw_problem(backend, name, eta=0.5)
        largest = np.linalg.norm(backend.numpy(problem.x), 2) ** 2
        K = int(40 * (1 + 0.5 * largest))
        W, _ = descend(problem, SGD(), local_lr=1 / (largest + 2), num_local_steps=K, local_decay="constant")
        assert_allclose(backend.numpy(W), backend.numpy(newton(problem)[0]), rtol=0, atol=1e-11)


def test_newton_cost_by_hand():
    # d̃ = 4 ≤ B = 5: 2 units · (2·5·16 + ⅔·64); d̃ = 3 > B = 2: 4 units · ⅔·8
    assert_allclose(newton_cost((3, 2), 5), 2 * (160 + 128 / 3), rtol=1e-15)
    assert_allclose(newton_cost((2, 4), 2), 4 * 16 / 3, rtol=1e-15)
    assert_allclose(newton_cost((3, 2), 5, bias=False), 2 * (90 + 18), rtol=1e-15)
    assert_allclose(newton_cost((3, 2, 2), 5), newton_cost((3, 2), 5) + newton_cost((2, 2), 5), rtol=1e-15)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (((3,), 5), ValueError, r"layer_sizes must have at least two widths, got \(3,\)$"),
        (((-3, 4), 5), ValueError, "layer_sizes must be an integer of at least 1, got -3$"),
        (((3, 4), 0), ValueError, "batch_size must be an integer of at least 1, got 0$"),
        (((3, 4), 1.5), TypeError, "batch_size must be an integer, got 1.5$"),
    ],
)
def test_a_newton_cost_of_no_network_is_refused(arguments, error, words):
    with pytest.raises(error, match=f"^{words}"):
        newton_cost(*arguments)


# the solver objects -------------------------------------------------------------------------------


def test_the_rate_multiplies_the_step_size(backend):
    linear, curved = draw_problem(backend, "identity", eta=2.0), draw_problem(backend, "tanh", eta=2.0)
    W, _, _ = ClosedForm()(linear, {}, 0.25)
    assert_array_equal(backend.numpy(W), backend.numpy(closed_form(replace(linear, weight_step=0.5))))
    W, _, _ = Newton()(curved, {}, 0.25)
    assert_array_equal(backend.numpy(W), backend.numpy(newton(replace(curved, weight_step=0.5))[0]))
    W, _, _ = Descend(SGD(), local_lr=0.4, num_local_steps=3)(curved, {}, 0.25)
    wanted, _ = descend(curved, SGD(), local_lr=0.1, num_local_steps=3)
    assert_allclose(backend.numpy(W), backend.numpy(wanted), rtol=1e-14)


def test_rate_zero_moves_nothing_but_warms_the_state(backend):
    linear, curved = draw_problem(backend, "identity"), draw_problem(backend, "tanh")
    for solver, problem in ((ClosedForm(), linear), (Newton(), curved)):
        W, state, info = solver(problem, solver.init(problem.W0), 0.0)
        assert info == {}
        assert_array_equal(backend.numpy(W), backend.numpy(problem.W0))
        assert state == {}
    solver = Descend(optimizer("rmsprop"), local_lr=0.1, num_local_steps=2)
    start = solver.init(curved.W0)
    W, state, _ = solver(curved, start, 0.0)
    assert_array_equal(backend.numpy(W), backend.numpy(curved.W0))
    assert np.abs(backend.numpy(state["mean_square"]) - backend.numpy(start["mean_square"])).max() > 0


def test_state_is_kept_or_reset(backend):
    problem = draw_problem(backend, "tanh")
    keep = Descend(optimizer("rmsprop", momentum=0.9), local_lr=0.1, num_local_steps=2)
    reset = replace(keep, local_state="reset")
    fresh, state, _ = keep(problem, keep.init(problem.W0), 1.0)
    kept, again = keep(problem, state, 1.0)[0], reset(problem, state, 1.0)[0]
    assert_array_equal(backend.numpy(again), backend.numpy(fresh))
    assert np.abs(backend.numpy(kept) - backend.numpy(fresh)).max() > 1e-3


def test_nothing_is_written_into(backend):
    linear, curved = draw_problem(backend, "identity"), draw_problem(backend, "tanh")
    arrays = [v for p in (linear, curved) for v in (p.x, p.y_target, p.W0)]
    before = [lists(backend, a) for a in arrays]
    for form in ("primal", "dual", "inverse"):
        closed_form(linear, form=form)
    closed_form(replace(linear, weight_step=np.inf))
    newton(curved)
    descend(curved, optimizer("rmsprop", momentum=0.9), local_lr=0.1, num_local_steps=3)
    assert [lists(backend, a) for a in arrays] == before


# bad inputs ---------------------------------------------------------------------------------------

X, Y, V = np.ones((4, 3)), np.ones((4, 2)), np.zeros((3, 2))
linear = LocalProblem(X, Y, transfer("identity"), V, 1.0)
curved = LocalProblem(X, Y, transfer("tanh"), V, 1.0)
rows = LocalProblem(X, Y, transfer("softmax"), V, 1.0)
free = replace(curved, weight_step=np.inf)
steps = {"local_lr": 0.1, "num_local_steps": 2}

BAD = {
    "form": (
        lambda: closed_form(linear, form="primla"),
        ValueError,
        r"form must be one of auto, primal, dual, inverse, got 'primla' \(did you mean 'primal'\?\)",
    ),
    "transfer": (
        lambda: closed_form(curved),
        ValueError,
        "transfer must be 'identity' for a closed form, got 'tanh'",
    ),
    "inverse": (
        lambda: closed_form(replace(linear, weight_step=np.inf), form="inverse"),
        ValueError,
        "weight_step must be finite for form 'inverse', got inf",
    ),
    "local_lr": (lambda: local_rates(0.0, 3), ValueError, "local_lr must be a positive number, got 0.0"),
    "local_lr inf": (
        lambda: local_rates(np.inf, 3),
        ValueError,
        "local_lr must be a positive number, got inf",
    ),
    "K 0": (
        lambda: local_rates(1.0, 0),
        ValueError,
        "num_local_steps must be an integer of at least 1, got 0",
    ),
    "K float": (lambda: local_rates(1.0, 2.0), TypeError, "num_local_steps must be an integer, got 2.0"),
    "decay": (
        lambda: local_rates(1.0, 2, "author"),
        ValueError,
        r"local_decay must be one of .* \(did you mean 'authors'\?\)",
    ),
    "descend K": (
        lambda: descend(curved, SGD(), local_lr=0.1, num_local_steps=-1),
        ValueError,
        "num_local_steps must be",
    ),
    "descend lr": (
        lambda: descend(curved, SGD(), local_lr=-1, num_local_steps=1),
        ValueError,
        "local_lr must be",
    ),
    "descend decay": (
        lambda: descend(curved, SGD(), **steps, local_decay="x"),
        ValueError,
        "local_decay must be",
    ),
    "descend optimizer": (lambda: descend(curved, "sgd", **steps), TypeError, "optimizer must be"),
    "softmax": (lambda: newton(rows), ValueError, "transfer must be elementwise for newton, got 'softmax'"),
    "η inf": (lambda: newton(free), ValueError, "weight_step must be finite for newton, got inf"),
    "tolerance": (
        lambda: newton(curved, tolerance=0.0),
        ValueError,
        "tolerance must be a positive number, got 0.0",
    ),
    "max steps": (
        lambda: newton(curved, max_newton_steps=0),
        ValueError,
        "max_newton_steps must be an integer of at least 1",
    ),
    "memory": (
        lambda: newton(curved, memory_limit=0),
        ValueError,
        "memory_limit must be an integer of at least 1",
    ),
    "solver form": (lambda: ClosedForm("prime"), ValueError, r"form must be .* \(did you mean 'primal'\?\)"),
    "solver lr": (lambda: Descend(local_lr=0), ValueError, "local_lr must be a positive number, got 0"),
    "solver K": (lambda: Descend(num_local_steps=0), ValueError, "num_local_steps must be"),
    "solver decay": (
        lambda: Descend(local_decay="constnat"),
        ValueError,
        r".* \(did you mean 'constant'\?\)",
    ),
    "solver state": (
        lambda: Descend(local_state="rest"),
        ValueError,
        r"local_state must be .* \(did you mean 'reset'\?\)",
    ),
    "solver optimizer": (lambda: Descend("sgd"), TypeError, "optimizer must be"),
    "solver tolerance": (
        lambda: Newton(tolerance=-1),
        ValueError,
        "tolerance must be a positive number, got -1",
    ),
    "solver steps": (lambda: Newton(max_newton_steps=0), ValueError, "max_newton_steps must be"),
    "solver memory": (lambda: Newton(memory_limit=0), ValueError, "memory_limit must be"),
    "problem": (lambda: closed_form(X), TypeError, "problem must be a LocalProblem"),
    "problem newton": (lambda: newton(X), TypeError, "problem must be a LocalProblem"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_told_in_one_sentence(case):
    call, error, sentence = BAD[case]
    with pytest.raises(error, match="^" + sentence):
        call()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_not_a_number_in_the_problem_never_passes_as_solved(bad):
    """Either a clear error, or nan in the answer and converged = False: never a finite wrong answer."""
    problem = replace(curved, y_target=np.full((4, 2), bad))
    with np.errstate(all="ignore"):
        try:
            W, info = newton(problem)
        except ValueError as error:
            assert "finite" in str(error)
            return
    assert info["converged"] is False
    assert not np.isfinite(W).all()


@pytest.mark.parametrize("form", ["grams", "", None, True])
def test_a_bad_gradient_form_is_refused_when_the_solver_is_made(form):
    with pytest.raises(ValueError, match=r"^gradient_form must be one of auto, plain, gram, got "):
        Descend(SGD(), gradient_form=form)
