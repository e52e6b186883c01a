"""The figures of notebook 7 over the grid of their sliders: numbers against second computations."""

from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal, assert_equal
from scipy.integrate import quad

from locoprop_ref import plot, transfer
from locoprop_ref.plot.duality import mirror_step
from locoprop_ref.plot.secant_slopes import START, WANTED, X, between, first_exponent
from locoprop_ref.plot.two_sides import damped_descent_filter
from locoprop_ref.verify import check_transfer

RNG = np.random.default_rng(0)
GAMMAS = np.logspace(-2, 2, 9)

# ------------------------------ slopes


def spelled(value):
    return f"{value:.3g}".replace("-", "−")


def unit(place, gamma):
    """X̃, W̃₀, the local f and F, and γg of the unit, written out."""
    x, share = np.stack([X, np.ones(9)], axis=1), max(place - 1, 0)
    a, labels = x @ START, np.tanh(x @ WANTED)
    step = gamma * (np.tanh(a) - labels) / np.cosh(a) ** 2 / 9
    kappa = min(place, 1) - share
    return (
        x, np.array(START), step, lambda z: kappa * z + share * np.tanh(z),
        lambda z: kappa * z * z / 2 + share * (np.logaddexp(z, -z) - np.log(2)),
    )  # fmt: skip


@pytest.mark.parametrize("place", [0.0, 0.3, 1.0, 1.5, 2.0])
@pytest.mark.parametrize(("gamma", "eta"), [(1.0, 0.01), (100.0, 10.0)])
def test_secant_slopes(place, gamma, eta):
    figure = plot.secant_slopes(place, gamma, eta)
    curve, plane = figure.axes
    x, start, step, f, F = unit(place, gamma)
    arrow = plane.collections[-1]
    change = np.array([arrow.U[0], arrow.V[0]])
    W = start + change
    # the gradient of the local loss vanishes; sums of nine numbers of size γ, solved to 100 eps
    left = x.T @ (f(x @ W) - f(x @ start) + step) + change / eta
    assert_allclose(left, 0, atol=1e-11 * (1 + gamma))
    # the ends of the secants are the old and the new points on the curve; their slopes solve the system
    secants = [line.get_xydata() for line in curve.lines[1:10]]
    assert_allclose([s[0] for s in secants], np.stack([x @ start, f(x @ start)], axis=1), atol=1e-13)
    assert_allclose([s[1] for s in secants], np.stack([x @ W, f(x @ W)], axis=1), atol=1e-13 * gamma)
    D = np.array([(s[1, 1] - s[0, 1]) / (s[1, 0] - s[0, 0]) for s in secants])
    by_slopes = -np.linalg.solve((x.T * D) @ x + np.eye(2) / eta, x.T @ step)
    # a secant of a short run loses digits: 1e-16 over a run of 1e-3
    assert_allclose(change, by_slopes, atol=1e-10 * np.linalg.norm(change))
    title = figure.get_suptitle()
    cosine = -change @ (x.T @ step) / np.linalg.norm(change) / np.linalg.norm(x.T @ step)
    assert title.endswith(f", {np.degrees(np.arccos(min(cosine, 1.0))):.0f}° from the negative gradient")
    assert f"length {spelled(np.linalg.norm(change))}, " in title
    if place <= 1:
        assert title.startswith(f"all secant slopes are {place:.2f};")
    else:
        assert title.startswith(f"secant slopes from {D.min():.2f} to {D.max():.2f};")
    # the contours: the largest excess over the minimum lies on the border of the window
    (window_x, window_y), contours = (plane.get_xlim(), plane.get_ylim()), plane.collections[0]
    border = [
        (w, b) for w, b in product(np.linspace(*window_x, 61), np.linspace(*window_y, 61))
        if w in window_x or b in window_y
    ]  # fmt: skip

    def objective(V):
        a, a0 = x @ V, x @ start
        return np.sum(F(a) - (f(a0) - step) * a) + np.sum((V - start) ** 2) / (2 * eta)

    highest = max(objective(np.array(point)) for point in border) - objective(W)
    assert_allclose(contours.zmax, highest, rtol=1e-9)
    # the marks of SGD, S and M
    marks = {line.get_label(): line.get_xydata()[0] for line in plane.lines if len(line.get_xydata()) == 1}
    assert_allclose(marks["SGD"], start - eta * x.T @ step, rtol=1e-12)
    assert_allclose(marks["S"], start - np.linalg.solve(x.T @ x + np.eye(2) / eta, x.T @ step), rtol=1e-10)
    if place in (0, 1, 2):
        assert_allclose(marks[("SGD", "S", "M")[int(place)]], W, rtol=1e-12)


@pytest.mark.parametrize("place", [1.2, 1.5, 2.0])
def test_between_s_and_m_is_a_transfer_function(place):
    f = between(place)
    result = check_transfer(f)
    assert result.holds, result
    z = np.linspace(-3, 3, 13)
    assert_allclose(f.f(z), (2 - place) * z + (place - 1) * np.tanh(z), atol=1e-15)


# ------------------------------ tangents and secants

TANGENT = {"exact": 0.01 * GAMMAS, "K": 0.003 * GAMMAS**1.5}
SECANT = {"exact, secants": np.full(9, 3e-15), "K, secants": np.zeros(9)}


def test_tangent_errors():
    figure = plot.tangent_errors(GAMMAS, TANGENT, SECANT)
    (panel,) = figure.axes
    expected = [*TANGENT.values(), np.full(9, 1e-12), np.full(9, 1e-12)]
    for line, values in zip(panel.lines, expected, strict=False):
        assert_array_equal(line.get_xydata(), np.stack([GAMMAS, values], axis=1))
    low, high = panel.get_ylim()
    assert low < 1e-12 and high > max(TANGENT["K"].max(), TANGENT["exact"].max())
    assert figure.get_suptitle().endswith("grow as γ^1.00 and γ^1.50; secants: below 1e−14")
    figure = plot.tangent_errors(GAMMAS, TANGENT, {"secants": np.zeros(9)})
    assert figure.get_suptitle().endswith("; secants: none")
    figure = plot.tangent_errors(GAMMAS, TANGENT, SECANT, rounding=1e-16)
    assert_array_equal(figure.axes[0].lines[2].get_ydata(), SECANT["exact, secants"])


def test_the_exponent_is_that_of_the_first_decade():
    x = np.logspace(-3, 3, 13)
    assert_allclose(first_exponent(x, x**1.3 / (1 + (x / 10) ** 4)), 1.3, atol=1e-4)
    assert_allclose(first_exponent(x, 2 * x / (1 + x)), 1.0, atol=0.01)


# ------------------------------ Fisher matrix


def factors(examples):
    """Inputs and positive semidefinite matrices of some examples."""
    x, roots = RNG.normal(size=(examples, 3)), RNG.normal(size=(examples, 4, 4))
    return x, np.einsum("nij,nkj->nik", roots, roots)


@pytest.mark.parametrize("examples", [1, 2, 20])
def test_kronecker_fisher(examples):
    x, G = factors(examples)
    F, A = np.zeros((12, 12)), x.T @ x / examples
    for i, k, j, m in product(range(3), range(4), range(3), range(4)):
        F[4 * i + k, 4 * j + m] = np.mean(x[:, i] * x[:, j] * G[:, k, m])
    figure = plot.kronecker_fisher(F, A, G.mean(axis=0))
    by_loops = np.array(
        [[A[r // 4, c // 4] * G.mean(axis=0)[r % 4, c % 4] for c in range(12)] for r in range(12)]
    )
    most = max(np.abs(F).max(), np.abs(by_loops).max())
    for panel, matrix in zip(figure.axes, (F, by_loops, F - by_loops), strict=False):
        drawn = np.ma.filled(panel.images[0].get_array(), np.nan)
        # the square root of a difference that is zero up to rounding is 1e-8
        assert_allclose(np.sign(drawn) * drawn**2 * most, matrix, atol=1e-14 * most)
        assert_equal(panel.images[0].get_clim(), (-1, 1))
    error = np.sqrt(np.sum((F - by_loops) ** 2) / np.sum(F**2))
    said = (
        "is the Fisher matrix up to rounding"
        if examples == 1
        else f"differs from the Fisher matrix by {spelled(100 * error)} %"
    )
    assert_equal(figure.get_suptitle(), f"A ⊗ G {said}: 6 + 10 numbers in place of 78")


# ------------------------------ two sides

LAM, RHO = np.array([0.5, 20.0, 0.0, 3.0]), np.array([0.02, 0.001, 0.3])


def looped(values, damping, K):
    s = 1 / (max(values) + damping)
    return [s * sum((1 - s * (value + damping)) ** k for k in range(K)) for value in values]


@pytest.mark.parametrize(
    ("eta", "mu", "K"), [(1e-3, 1e-4, 1), (1e-3, 10.0, 101), (1e3, 1e-4, 10), (1e3, 10.0, 2)]
)
def test_two_sided_filters(eta, mu, K):
    figure = plot.two_sided_filters(LAM, RHO, weight_step=eta, coupling=mu, num_steps=K)
    left, right, grid = figure.axes[:3]
    for panel, values, damping in ((left, np.sort(LAM), 1 / eta), (right, np.sort(RHO), mu)):
        exact, exact_marks, steps, marks = panel.lines
        places = np.maximum(values, 1e-4 * values[-1])
        assert_allclose(
            exact_marks.get_xydata(), np.stack([places, 1 / (places + damping)], axis=1), rtol=1e-12
        )
        # 1 − (1 − sλ)^K loses digits where sλ is small, the sum of the loop does not
        assert_allclose(marks.get_ydata(), looped(places, damping, K), rtol=1e-10)
        for line, where in ((exact, None), (steps, K)):
            z, y = line.get_xdata(), line.get_ydata()
            assert_allclose(y, 1 / (z + damping) if where is None else looped(z, damping, K), rtol=1e-10)
            low, high = panel.get_ylim()
            assert np.all((low < y) & (1.4 * y < high))  # and not on the edge of the panel
    factors_of_pairs = [[1 / (lam + 1 / eta) / (rho + mu) for rho in sorted(RHO)] for lam in sorted(LAM)]
    assert_allclose(grid.images[0].get_array(), np.log10(factors_of_pairs), atol=1e-12)
    steps = np.outer(looped(sorted(LAM), 1 / eta, K), looped(sorted(RHO), mu, K))
    apart = 100 * np.max(np.abs(steps / factors_of_pairs - 1))
    low, high = np.min(factors_of_pairs), np.max(factors_of_pairs)
    title = figure.get_suptitle()
    assert title.startswith(
        f"exact: the gradient is multiplied by {spelled(low)} to {spelled(high)}; K = {K} "
    )
    said = title.split(f"; K = {K} {'step' if K == 1 else 'steps'} at most ")[1].replace("−", "-")
    assert float(said.removesuffix(" % off")) == pytest.approx(apart, rel=0.006, abs=1e-9)


def test_many_damped_steps_are_exact():
    assert_allclose(damped_descent_filter(LAM, 1.0, 5000), 1 / (LAM + 1.0), rtol=1e-12)


# ------------------------------ duality

PAIRS = list(product(["sigmoid", "tanh", "softplus", "elu"], [-3.0, 1.5], [-0.6, 0.95]))


def ends(panel):
    """The gap of a panel: its place, its foot and its top."""
    (line,) = [one for one in panel.lines if one.get_label().startswith("D_F")]
    (at, foot), (_, top) = line.get_xydata()
    return at, foot, top


@pytest.mark.parametrize(("name", "a_hat", "step"), PAIRS)
def test_bregman_duality(name, a_hat, step):
    figure = plot.bregman_duality(name, a_hat, step)
    primal, area, dual = figure.axes
    f = transfer(name)
    y_hat = float(f.f(np.array(a_hat)))
    y = y_hat - step
    low, high = {"sigmoid": (0, 1), "tanh": (-1, 1), "softplus": (0, np.inf), "elu": (-1, np.inf)}[name]
    title = figure.get_suptitle()
    assert title.startswith(f"{name}, ŷ = {spelled(y_hat)}: the target y* = {spelled(y)} ")
    if not low < y < high:
        assert title.endswith("is no value of f, and no a* belongs to it")
        assert not any(line.get_label().startswith("D_F") for panel in (primal, dual) for line in panel.lines)
        assert_equal(
            (primal.get_title(), area.get_title()), ("F has no tangent of slope y*", "f does not reach y*")
        )
        assert np.isnan(mirror_step(f, a_hat, step)[1])
        return
    a = float(f.inverse(np.array(y)))
    # the area below f and above y*, in vertical strips, and the same in horizontal ones
    vertical = quad(lambda z: float(f.f(np.array(z))) - y, a, a_hat, points=[0.0], epsabs=1e-11)[0]
    horizontal = quad(lambda u: a_hat - float(f.inverse(np.array(u))), y, y_hat, points=[0.0], epsabs=1e-11)[
        0
    ]
    assert_allclose(horizontal, vertical, atol=1e-8)
    at, foot, top = ends(primal)
    assert_equal(at, a_hat)
    assert_allclose(top - foot, vertical, atol=1e-8)
    at, foot, top = ends(dual)
    assert_allclose(at, y, atol=1e-15)
    assert_allclose(top - foot, vertical, atol=1e-8)
    assert float(title.rsplit(" ", 1)[1].replace("−", "-")) == pytest.approx(vertical, rel=0.006)
    # the tangents have the slopes y* and â, and touch the curves at a* and ŷ
    for panel, slope, touch in ((primal, y, a), (dual, a_hat, y_hat)):
        tangent, dot = panel.lines[1:3]
        (x0, x1), (y0, y1) = tangent.get_xdata()[[0, -1]], tangent.get_ydata()[[0, -1]]
        assert_allclose((y1 - y0) / (x1 - x0), slope, atol=1e-9)
        assert_allclose(dot.get_xdata(), [touch], atol=1e-12)
    low_limit, high_limit = dual.get_ylim()
    assert low_limit < foot and top < high_limit
    # the mirror step: no other a has a lower γg·a + D_F(a, â), and the slope vanishes
    grid = np.linspace(a - 0.5, a + 0.5, 101)
    values = step * grid + f.F(grid) - y_hat * grid
    assert_equal(int(np.argmin(values)), 50)


def test_at_the_end_of_the_range_f_star_is_finite():
    # y* = 0 exactly: the sigmoid does not reach it, but F*(0) = 0
    figure = plot.bregman_duality("sigmoid", 0.0, 0.5)
    assert_equal(figure.axes[2].get_title(), "F*, with its tangent at ŷ")
    assert "is no value of f" in figure.get_suptitle()
    assert_equal(plot.bregman_duality("sigmoid", 0.0, 0.6).axes[2].get_title(), "F* is infinite at y*")


# ------------------------------ all of them


def one_fisher():
    return plot.kronecker_fisher(np.eye(6), np.eye(2), np.eye(3))


EVERY = {
    "slopes": plot.secant_slopes,
    "errors": lambda: plot.tangent_errors(GAMMAS, TANGENT, SECANT),
    "fisher": one_fisher,
    "sides": lambda: plot.two_sided_filters(LAM, RHO),
    "duality": plot.bregman_duality,
}


@pytest.mark.parametrize("draw", EVERY.values(), ids=EVERY)
def test_figures_have_words_and_titles(draw):
    figure = draw()
    assert len(plot.alt_text(figure)) > 60 and figure.get_suptitle()
    assert all(panel.get_xlabel() for panel in figure.axes if panel.get_ylabel() or panel.get_title())


@pytest.mark.full
@pytest.mark.parametrize("draw", EVERY.values(), ids=EVERY)
def test_figures_have_the_same_bytes(draw):
    assert_equal(plot.rendered(draw()) == plot.rendered(draw()), True)


WRONG = {
    "place": (lambda: plot.secant_slopes(2.1), "place must be a number from 0 to 2, got 2.1"),
    "gamma": (lambda: plot.secant_slopes(1.0, 0.0), "target_step must be a positive number, got 0.0"),
    "eta": (lambda: plot.secant_slopes(2.0, 1.0, -1.0), "weight_step must be a positive number"),
    "gammas": (
        lambda: plot.tangent_errors([1.0, 10.0, 99.0], {}, {}),
        "target_steps must be increasing numbers over two decades",
    ),
    "errors": (
        lambda: plot.tangent_errors(GAMMAS, TANGENT, {"few": np.ones(3)}),
        "errors of few must be 9 numbers, got shape (3,)",
    ),
    "no tangent": (
        lambda: plot.tangent_errors(GAMMAS, {}, SECANT),
        "tangent and secant must hold at least one kind of step each, got none",
    ),
    "rounding": (
        lambda: plot.tangent_errors(GAMMAS, TANGENT, SECANT, rounding=0.0),
        "rounding must be a positive number, got 0.0",
    ),
    "fisher": (
        lambda: plot.kronecker_fisher(np.eye(5), np.eye(2), np.eye(3)),
        "fisher must be a matrix of shape (6, 6) that is not zero, got (5, 5)",
    ),
    "eigenvalues": (lambda: plot.two_sided_filters([-1.0], RHO), "below must be eigenvalues of at least 0"),
    "none above": (lambda: plot.two_sided_filters(LAM, [0.0]), "above must be eigenvalues of at least 0"),
    "coupling": (lambda: plot.two_sided_filters(LAM, RHO, coupling=0.0), "coupling must be a positive"),
    "steps": (lambda: plot.two_sided_filters(LAM, RHO, num_steps=0), "num_steps must be an integer of at"),
    "far": (lambda: plot.bregman_duality("tanh", 5.0), "a_hat must be at most 4 in size and step not 0"),
    "no step": (lambda: plot.bregman_duality("tanh", 0.0, 0.0), "and step not 0, got 0.0 and 0.0"),
    "relu": (lambda: plot.bregman_duality("relu"), "transfer must be strictly increasing for an inverse"),
    "softmax": (lambda: plot.bregman_duality("softmax"), "name must be of an elementwise transfer"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "sentence"), WRONG.values(), ids=WRONG)
def test_bad_input_gets_one_sentence(call, sentence):
    with pytest.raises((ValueError, TypeError)) as error:
        call()
    assert sentence in str(error.value) and "\n" not in str(error.value)
