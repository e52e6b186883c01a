"""The solver with a memory against SciPy's least squares on all batches, loops over coordinates, and FOOF."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import lstsq

from locoprop_ref import (
    LocalProblem,
    LocoProp,
    Memory,
    Solver,
    backward,
    closed_form,
    forward,
    initialize,
    transfer,
)
from locoprop_ref.regularizers import L2Decay

ETA = 0.5


def batches(count=4, rows=5, idle=False):
    """(X̃, Y*) of some batches with three inputs and two units; with `idle` the second input is never on."""
    rng = np.random.default_rng(7)
    found = [(rng.normal(size=(rows, 3)), rng.normal(size=(rows, 2))) for _ in range(count)]
    for x, _ in found:
        x[:, 1] *= not idle
    return rng.normal(size=(3, 2)), found


def run(backend, solver, W0, seen, *, eta=ETA, rate=1.0, reduction="sum"):
    W = backend.asarray(W0, "float64")
    state, path = solver.init(W), []
    for x, y in seen:
        how = {"weight_step": eta, "reduction": reduction}
        arrays = [backend.asarray(a, "float64") for a in (x, y)]
        W, state, info = solver(LocalProblem(*arrays, transfer("identity"), W, **how), state, rate)
        assert info == {}
        path.append(backend.numpy(W))
    return path, state


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("decay", [1.0, 0.6])
def test_inside_it_is_the_decayed_least_squares_of_all_batches(backend, decay, reduction):
    """Recursive least squares for ρ = 1; the ridge is as old as the first batch."""
    W0, seen = batches()
    path, _ = run(backend, Memory(decay, ridge="inside"), W0, seen, reduction=reduction)
    c = 1 / 5 if reduction == "mean" else 1.0
    for t, W in enumerate(path):
        weights = [np.sqrt(c * decay ** (t - s)) for s in range(t + 1)]
        rows = [w * x for w, (x, _) in zip(weights, seen, strict=False)]
        right = [w * y for w, (_, y) in zip(weights, seen, strict=False)]
        ridge = np.sqrt(decay**t / ETA)
        wanted = lstsq(np.vstack([*rows, ridge * np.eye(3)]), np.vstack([*right, ridge * W0]))[0]
        # condition number of the normal equations below 100
        assert_allclose(W, wanted, rtol=0, atol=1e-13)


@pytest.mark.parametrize("decay", [1.0, 0.6, 0.0])
def test_outside_it_is_the_least_squares_of_all_batches_near_where_it_stands(backend, decay):
    W0, seen = batches()
    path, state = run(backend, Memory(decay, ridge="outside"), W0, seen)
    for t, W in enumerate(path):
        before = path[t - 1] if t else W0
        weights = [np.sqrt(decay ** (t - s)) for s in range(t + 1)]
        rows = [w * x for w, (x, _) in zip(weights, seen, strict=False)]
        right = [w * y for w, (_, y) in zip(weights, seen, strict=False)]
        ridge = 1 / np.sqrt(ETA)
        wanted = lstsq(np.vstack([*rows, ridge * np.eye(3)]), np.vstack([*right, ridge * before]))[0]
        assert_allclose(W, wanted, rtol=0, atol=1e-13)
    assert state["count"] == 4
    assert_allclose(
        backend.numpy(state["gram"]), sum(decay ** (3 - s) * x.T @ x for s, (x, _) in enumerate(seen))
    )
    assert_allclose(
        backend.numpy(state["moment"]), sum(decay ** (3 - s) * x.T @ y for s, (x, y) in enumerate(seen))
    )


def test_where_the_ridge_stands_by_default(numpy_backend):
    W0, seen = batches()
    for decay, ridge in ((1.0, "inside"), (0.6, "outside")):
        one, other = (run(numpy_backend, Memory(decay, ridge=r), W0, seen)[0] for r in ("auto", ridge))
        assert_array_equal(one, other)


@pytest.mark.parametrize("ridge", ["inside", "outside"])
def test_the_first_batch_is_the_closed_form(backend, ridge):
    W0, [(x, y), *_] = batches()
    (W, *_), _ = run(backend, Memory(0.6, ridge=ridge), W0, [(x, y)])
    wanted = closed_form(LocalProblem(x, y, transfer("identity"), W0, ETA))
    assert_allclose(W, wanted, rtol=0, atol=1e-14)


@pytest.mark.parametrize("idle", [False, True])
@pytest.mark.parametrize("sweeps", [1, 3])
@pytest.mark.parametrize("ridge", ["inside", "outside", "none"])
def test_sweeps_are_those_of_a_loop_over_the_coordinates(backend, ridge, sweeps, idle):
    """w_i ← w_i + (C_i − A_i W)/A_ii, row by row; an input that was never on keeps its weights."""
    W0, seen = batches(idle=idle)
    eta = np.inf if ridge == "none" else ETA
    how = Memory(0.6, sweeps, ridge="inside" if ridge == "none" else ridge)
    path, _ = run(backend, how, W0, seen, eta=eta)
    A, C, before = np.zeros((3, 3)), np.zeros((3, 2)), np.array(W0)
    for t, ((x, y), found) in enumerate(zip(seen, path, strict=True)):
        A, C = 0.6 * A + x.T @ x, 0.6 * C + x.T @ y
        if ridge == "inside" and t == 0:
            A, C = A + np.eye(3) / ETA, C + W0 / ETA
        extra = 1 / ETA if ridge == "outside" else 0.0
        W = before.copy()
        for _ in range(sweeps):
            for i in range(3):
                if A[i, i] + extra > 0:
                    pull = extra * (before[i] - W[i])
                    W[i] += (C[i] - A[i] @ W + pull) / (A[i, i] + extra)
        assert_allclose(found, W, rtol=0, atol=1e-13)
        if idle and ridge == "none":
            assert_array_equal(found[1], W0[1])
        before = W


def test_many_sweeps_reach_the_exact_solution(numpy_backend):
    W0, seen = batches()
    for ridge in ("inside", "outside"):
        exact, swept = (run(numpy_backend, Memory(0.6, n, ridge), W0, seen)[0] for n in (None, 300))
        assert_allclose(swept, exact, rtol=0, atol=1e-11)


def test_with_decay_the_ridge_inside_fades_and_outside_it_does_not(numpy_backend):
    """One example a batch, always the same: A has rank one but for the ridge."""
    W0, [(x, y), *_] = batches(rows=1)
    smallest = []
    for ridge in ("inside", "outside"):
        _, state = run(numpy_backend, Memory(0.5, ridge=ridge), W0, 30 * [(x, y)])
        extra = np.eye(3) / ETA if ridge == "outside" else 0
        smallest.append(np.linalg.eigvalsh(state["gram"] + extra)[0])
    assert smallest[0] < 1e-8 < 1 < smallest[1]


def gradient_run(backend, solver, steps=4, gamma=3.0):
    """Yield X̃, γg, W̃₀ and the change of every step of S on the lower of two layers."""
    rng = np.random.default_rng(6)
    network = initialize(
        (3, 4, 2), transfers=("tanh", "identity"), seed=3, xp=backend.xp, device=backend.device
    )
    method = LocoProp("squared", solver=solver, target_step=gamma, weight_step=ETA)
    state = method.init(network)
    for _ in range(steps):
        x, t = (backend.asarray(rng.normal(size=size), "float64") for size in ((5, 3), (5, 2)))
        g = backend.numpy(backward(network, forward(network, x), t)[0])
        moved, state, _ = method.step(network, state, x, t)
        rows = np.hstack([backend.numpy(x), np.ones((5, 1))])
        before, after = (backend.numpy(n.layers[0].stacked) for n in (network, moved))
        yield rows, gamma * g, after - before
        network = moved


def test_gradient_targets_inside_without_decay_are_foof(backend):
    """Δ = −γ(A_t + I/η)⁻¹X̃ᵀg with the sum of all X̃ᵀX̃: W̃₀ solves the system of the batches before."""
    A = np.eye(4) / ETA
    for x, step, change in gradient_run(backend, Memory(1.0)):
        A = A + x.T @ x
        assert_allclose(change, -np.linalg.inv(A) @ x.T @ step, rtol=0, atol=1e-13)


@pytest.mark.parametrize("decay", [1.0, 0.7])
def test_gradient_targets_outside_are_foof_plus_momentum(backend, decay):
    A, before = np.zeros((4, 4)), np.zeros((4, 4))
    plain = 0.0
    for x, step, change in gradient_run(backend, Memory(decay, ridge="outside")):
        A = decay * A + x.T @ x
        inverse = np.linalg.inv(A + np.eye(4) / ETA)
        wanted = inverse @ (-x.T @ step + decay / ETA * before)
        assert_allclose(change, wanted, rtol=0, atol=1e-13)
        plain, before = max(plain, np.abs(change + inverse @ x.T @ step).max()), change
    assert plain > 1e-3  # and FOOF without momentum it is not


def test_the_rate_multiplies_the_change(numpy_backend):
    W0, seen = batches(1)
    whole, half, none = (run(numpy_backend, Memory(0.6), W0, seen, rate=r)[0][0] for r in (1.0, 0.5, 0.0))
    assert_allclose(half - W0, (whole - W0) / 2, rtol=0, atol=1e-15)
    assert_array_equal(none, W0)


def test_no_array_is_written_into_and_the_contract_holds(backend):
    W0, seen = batches(1)
    arrays = [backend.asarray(a, "float32") for a in (*seen[0], W0)]
    problem = LocalProblem(arrays[0], arrays[1], transfer("identity"), arrays[2], ETA)
    solver = Memory(1.0)
    assert isinstance(solver, Solver)
    first, state, _ = solver(problem, solver.init(arrays[2]), 1.0)
    kept = [backend.numpy(state[name]).copy() for name in ("gram", "moment")]
    solver(problem, state, 1.0)
    assert_array_equal([backend.numpy(state["gram"])], [kept[0]])
    assert_array_equal([backend.numpy(state["moment"])], [kept[1]])
    assert backend.numpy(first).dtype == np.float32
    assert_array_equal(backend.numpy(arrays[2]), W0.astype("float32"))


def test_what_a_memory_does_not_allow_is_refused():
    W0, [(x, y), *_] = batches(1)

    def problem(name="identity", **settings):
        return LocalProblem(x, y, transfer(name), W0, **settings)

    state = Memory().init(W0)
    with pytest.raises(ValueError, match=r"^transfer must be 'identity' for a memory, got 'tanh'$"):
        Memory()(problem("tanh", weight_step=1.0), state, 1.0)
    with pytest.raises(ValueError, match=r"^weight_step must be finite for an exact memory, got inf$"):
        Memory()(problem(), state, 1.0)
    with pytest.raises(TypeError, match=r"^regularizer must be the proximal term for a memory, got L2Decay"):
        Memory()(problem(regularizer=L2Decay(1.0)), state, 1.0)
    with pytest.raises(ValueError, match=r"^decay must be at least 0 and at most 1, got 1.5$"):
        Memory(1.5)
    with pytest.raises(ValueError, match=r"^num_sweeps must be an integer"):
        Memory(num_sweeps=0)
    with pytest.raises(ValueError, match=r"^ridge must be one of auto, inside, outside, got 'under'"):
        Memory(ridge="under")
