"""What solvers do along eigenvectors: the polynomial of K steps and the gains of the closed form."""

import numpy as np
import pytest
from high_precision import mp
from numpy.testing import assert_allclose

from locoprop_ref.local import LocalProblem
from locoprop_ref.optimizers import SGD
from locoprop_ref.solvers import closed_form, descend, local_rates
from locoprop_ref.spectrum import descent_filter, exact_filter
from locoprop_ref.transfers import transfer


def squared_problem(backend, weight_step):
    """Six examples, three inputs, three units."""
    rng = np.random.default_rng(0)
    x, y, W0 = (backend.asarray(rng.normal(size=shape), "float64") for shape in ((6, 3), (6, 3), (3, 3)))
    return LocalProblem(x, y, transfer("identity"), W0, weight_step)


@pytest.mark.parametrize("decay", ["authors", "constant"])
@pytest.mark.parametrize("K", [1, 2, 10])
def test_descent_filter_is_the_polynomial(backend, decay, K):
    """I4, in 50 digits. Small eigenvalues keep their digits; beyond sλ = 1 the product has eps of itself."""
    rates = local_rates(0.5, K, decay)
    eigenvalues = np.array([0.0, 1e-30, 1e-17, 1e-9, 0.01, 1.0, 1.9, 2.0, 2.5, 3.7, 4.0, 4.5, 8.0])
    got = backend.numpy(descent_filter(backend.asarray(eigenvalues, "float64"), rates))
    wanted, size = [], []
    for value in eigenvalues:
        left = mp.fprod([1 - mp.mpf(s) * mp.mpf(value) for s in rates])
        exact = (1 - left) / mp.mpf(value) if value else mp.fsum(rates)
        wanted.append(float(exact))
        size.append(float(abs(exact) if value * 0.5 <= 0.95 else (1 + abs(left)) / value))
    assert (np.abs(got - wanted) <= 1e-13 * np.array(size)).all(), (got, wanted)


def test_descent_filter_is_what_descent_does(numpy_backend):
    """K steps on S, seen in the eigenvectors of X̃ᵀX̃."""
    problem = squared_problem(numpy_backend, np.inf)
    eigenvalues, Q = np.linalg.eigh(problem.x.T @ problem.x)
    rates = local_rates(1.5 / eigenvalues[-1], 6)
    W, _ = descend(problem, SGD(), local_lr=rates[0], num_local_steps=6)
    wanted = -(Q * descent_filter(eigenvalues, rates)) @ Q.T @ problem.gradient(problem.W0)
    assert_allclose(W - problem.W0, wanted, rtol=0, atol=1e-13)


def test_exact_filter_is_what_the_closed_form_does(backend):
    problem = squared_problem(backend, 0.7)
    eigenvalues, Q = np.linalg.eigh(backend.numpy(problem.x).T @ backend.numpy(problem.x))
    gains = backend.numpy(exact_filter(backend.asarray(eigenvalues, "float64"), 0.7))
    assert_allclose(gains, [0.7 / (1 + 0.7 * v) for v in eigenvalues], rtol=1e-14)
    wanted = -(Q * gains) @ Q.T @ backend.numpy(problem.gradient(problem.W0))
    assert_allclose(
        backend.numpy(closed_form(problem)) - backend.numpy(problem.W0), wanted, rtol=0, atol=1e-12
    )


def test_a_step_of_zero_is_refused_in_one_sentence():
    with pytest.raises(ValueError, match=r"^weight_step must be a positive number"):
        exact_filter(np.ones(3), 0.0)
