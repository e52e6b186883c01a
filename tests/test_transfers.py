"""Transfer functions against 50 digits, and the identities that tie f, f′, F, f⁻¹ and F* together.

Bounds: an elementary function of a library is taken to be right to a few units in the last place (ulp = eps
relative); the formulas string a few of them together: C = 16 eps. Where a formula subtracts numbers of order
1 (log cosh, log-sum-exp, x log x), the bound is C relative to 1 + abs(result), not to the result.
"""

import functools

import high_precision
import hypothesis
import numpy as np
import pytest
from bridge import every_dtype
from high_precision import ELEMENTWISE, elu, leaky_relu, mp
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal, assert_array_less

from locoprop_ref.transfers import TRANSFERS, Transfer, transfer

C = 16  # units in the last place, see above

# name, parameters, the same function in 50 digits
EXACT = [
    *((name, {}, ELEMENTWISE[name]) for name in ELEMENTWISE),
    ("leaky_relu", {"slope": 0.0}, leaky_relu(0)),
    ("leaky_relu", {"slope": 0.25}, leaky_relu(0.25)),
    ("leaky_relu", {"slope": 1.0}, leaky_relu(1)),
    ("elu", {"alpha": 0.0}, elu(0)),
    ("elu", {"alpha": 0.5}, elu(0.5)),
    ("elu", {"alpha": 2.0}, elu(2)),
]
every_transfer = pytest.mark.parametrize(
    "name, parameters, exact", EXACT, ids=[f"{n}{p or ''}" for n, p, _ in EXACT]
)

MAGNITUDES = {
    "float64": [1e-300, 1e-8, 0.5, 1.0, 3.0, 30.0, 700.0, 1e4],
    "float32": [1e-30, 1e-8, 0.5, 1.0, 3.0, 30.0, 80.0, 1e4],
}
finite = st.floats(-1e4, 1e4)


@pytest.fixture(autouse=True)
def every_floating_point_warning_is_an_error():
    """Underflow to zero is how e^(−10⁴) is meant to end."""
    with np.errstate(all="raise", under="ignore"):
        yield


def grid(dtype):
    positive = np.array(MAGNITUDES[dtype], dtype=dtype)
    return np.concatenate([-positive[::-1], np.zeros(1, dtype), positive])


def in_doubles(function, values):
    """A function of 50 digits at floating-point numbers (taken as they are), rounded to doubles."""
    return np.array([float(function(mp.mpf(float(v)))) for v in values])


@functools.cache
def expected(index, what, dtype):
    return in_doubles(getattr(EXACT[index][2], what), grid(dtype))


def on(backend, function, values, dtype):
    """Apply a function of arrays on a backend; it must answer in kind: library, dtype."""
    result = function(backend.asarray(values, dtype))
    assert type(result) is type(backend.asarray(values, dtype))
    out = backend.numpy(result)
    assert out.dtype == np.dtype(dtype)
    return out


def replaced(name, **ends):
    """A transfer function of this package with another range."""
    other = transfer(name)
    return Transfer("own", f=other.f, F=other.F, derivative=other.derivative, **ends)


# the second source itself -------------------------------------------------------------------------


@pytest.mark.parametrize("a", [-3.0, -0.75, 0.5, 4.0])
@every_transfer
def test_the_50_digits_are_what_they_claim_to_be(name, parameters, exact, a):
    """F is the integral of f, f′ its derivative, f⁻¹ its inverse, F* a supremum: by quadrature and search."""
    corners = [0, *sorted({k for k in exact.kinks if min(0, a) < k < max(0, a)}), a]
    assert_allclose(float(mp.quad(exact.f, corners) - exact.F(a) + exact.F(0)), 0, atol=1e-30)
    assert_allclose(float(mp.diff(exact.f, a) - exact.derivative(a)), 0, atol=1e-20)
    if exact.inverse is not None:
        assert_allclose(float(exact.inverse(exact.f(a)) - a), 0, atol=1e-40)
    y = exact.f(a)
    assert_allclose(float(exact.conjugate_by_search(y) - exact.F_star(y)), 0, atol=1e-30)


def test_integrals_start_where_the_formulas_say():
    """F is fixed up to a constant; these are the constants: log cosh 0, log 2, −Li₂(−1) = π²/12."""
    zero = np.zeros(1)
    starts = {name: float(transfer(name).F(zero)[0]) for name in ELEMENTWISE}
    wanted = dict.fromkeys(ELEMENTWISE, 0.0) | {"sigmoid": np.log(2), "softplus": np.pi**2 / 12}
    assert_allclose([starts[n] for n in ELEMENTWISE], [wanted[n] for n in ELEMENTWISE], atol=1e-15)


# values -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", range(len(EXACT)), ids=[f"{n}{p or ''}" for n, p, _ in EXACT])
@pytest.mark.each("index")
@every_dtype
def test_values_agree_with_50_digits(backend, index, dtype):
    name, parameters, _ = EXACT[index]
    function, a, eps = transfer(name, **parameters), grid(dtype), np.finfo(dtype).eps
    tiny = np.finfo(dtype).tiny  # below it a library may flush to zero
    f = on(backend, function.f, a, dtype)
    assert_allclose(f, expected(index, "f", dtype), rtol=C * eps, atol=tiny)
    slope = on(backend, function.derivative, a, dtype)
    at_kink = a == 0 if EXACT[index][2].kinks else np.zeros_like(a, dtype=bool)
    assert_allclose(slope[~at_kink], expected(index, "derivative", dtype)[~at_kink], rtol=C * eps, atol=tiny)
    F, wanted = on(backend, function.F, a, dtype), expected(index, "F", dtype)
    assert_array_less(np.abs(F - wanted), C * eps * (1 + np.abs(wanted)))


@pytest.mark.each("exact")
@every_transfer
@every_dtype
def test_inverse_and_conjugate_agree_with_50_digits(backend, name, parameters, exact, dtype):
    """f⁻¹ by its backward error, exact f of computed f⁻¹(y), less y: roundings C·(abs(y) + abs(a f′(a)))."""
    function, eps = transfer(name, **parameters), np.finfo(dtype).eps
    a = grid(dtype)[np.abs(grid(dtype)) <= 30]
    y = np.unique(backend.numpy(function.f(backend.asarray(a, dtype))))
    y = y[(y > float(exact.low)) & (y < float(exact.high))]
    if name == "arctan":  # at y(30) and beyond, one ulp of y moves a = tan y by 2⁻⁵³·a²
        y = y[np.abs(y) < 1.55]
    conjugate, wanted = on(backend, function.F_star, y, dtype), in_doubles(exact.F_star, y)
    assert_array_less(np.abs(conjugate - wanted), C * eps * (1 + np.abs(wanted)))
    if exact.inverse is None:
        with pytest.raises(ValueError, match=r"^transfer must be strictly increasing for an inverse, got "):
            function.inverse(backend.asarray(y, dtype))
        return
    back = on(backend, function.inverse, y, dtype)
    scale = np.abs(y) + np.abs(back) * in_doubles(exact.derivative, back)
    assert_array_less(np.abs(in_doubles(exact.f, back) - y), C * eps * scale + np.finfo(dtype).tiny)


@every_transfer
@every_dtype
def test_conjugate_at_and_beyond_the_ends_of_the_range(backend, name, parameters, exact, dtype):
    """Finite at the ends where 50 digits are finite, ∞ one percent further out; never nan."""
    function, eps = transfer(name, **parameters), np.finfo(dtype).eps
    for end, limit, outward in ((function.low, exact.ends[0], -1), (function.high, exact.ends[1], 1)):
        if np.isinf(end):
            continue
        at_end = on(backend, function.F_star, [end], dtype)[0]
        outside = on(backend, function.F_star, [end + outward * 0.01, outward * 1e4], dtype)
        assert_array_equal(outside, [np.inf, np.inf])
        if np.isinf(
            float(limit)
        ):  # arctan: the double nearest to π/2 lies inside, its F* is large and finite
            assert at_end > 10
        else:
            assert_allclose(at_end, float(limit), rtol=C * eps, atol=C * eps)


@every_dtype
def test_ranges_are_those_of_50_digits(dtype):
    for name, parameters, exact in EXACT:
        function = transfer(name, **parameters)
        assert_allclose([function.low, function.high], [float(exact.low), float(exact.high)], rtol=1e-15)


def test_derivative_at_the_kinks():
    zeros = np.array([0.0, -0.0])
    assert_array_equal(transfer("relu").derivative(zeros), 0)
    assert_array_equal(transfer("leaky_relu", slope=0.3).derivative(zeros), 0.3)
    one = transfer("leaky_relu", slope=0.3, derivative_at_zero="one")
    assert_array_equal(one.derivative(np.array([-1.0, 0.0, 1.0])), [0.3, 1, 1])
    assert_array_equal(transfer("elu", alpha=2.0).derivative(zeros), 2)


LIMITS = {  # f(−∞), f(∞), F(−∞), F(∞)
    "identity": (-np.inf, np.inf, np.inf, np.inf),
    "relu": (0, np.inf, 0, np.inf),
    "leaky_relu": (-np.inf, np.inf, np.inf, np.inf),
    "tanh": (-1, 1, np.inf, np.inf),
    "sigmoid": (0, 1, 0, np.inf),
    "softplus": (0, np.inf, 0, np.inf),
    "elu": (-1, np.inf, np.inf, np.inf),
    "arctan": (-np.pi / 2, np.pi / 2, np.inf, np.inf),
}


@pytest.mark.parametrize("name", LIMITS)
@every_dtype
def test_limits_at_infinity_and_nan(backend, name, dtype):
    function = transfer(name)
    ends = [-np.inf, np.inf]
    f, F = on(backend, function.f, ends, dtype), on(backend, function.F, ends, dtype)
    assert_allclose([*f, *F], LIMITS[name], rtol=np.finfo(dtype).eps)
    slope = {"identity": (1, 1), "relu": (0, 1), "leaky_relu": (0.01, 1), "softplus": (0, 1), "elu": (0, 1)}
    assert_allclose(on(backend, function.derivative, ends, dtype), slope.get(name, (0, 0)), rtol=1e-6)
    assert np.isnan(on(backend, function.f, [np.nan], dtype)).all()
    assert np.isnan(on(backend, function.F, [np.nan], dtype)).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_parameters_of_zero_have_the_limits_of_relu(backend, dtype):
    for function in (transfer("leaky_relu", slope=0.0), transfer("elu", alpha=0.0)):
        f = on(backend, function.f, [-np.inf, np.inf], dtype)
        assert_array_equal([*f, *on(backend, function.F, [-np.inf, np.inf], dtype)], [0, np.inf, 0, np.inf])


@every_transfer
@every_dtype
def test_infinite_targets_are_out_of_every_bounded_range(backend, name, parameters, exact, dtype):
    """As a diverging run makes them: the tolerance for rounding must not grow with them. F*(±∞) = ∞."""
    function = transfer(name, **parameters)
    ends = backend.asarray([-np.inf, np.inf], dtype)
    bounded = [function.low > -np.inf, function.high < np.inf]
    assert_array_equal(backend.numpy(function.out_of_range(ends)), bounded)
    assert_array_equal(backend.numpy(function.out_of_range(ends, 0.0)), bounded)
    assert_array_equal(on(backend, function.F_star, [-np.inf, np.inf], dtype), np.inf)


@every_transfer
@every_dtype
def test_nan_goes_through_the_conjugate(backend, name, parameters, exact, dtype):
    assert np.isnan(on(backend, transfer(name, **parameters).F_star, [np.nan], dtype)).all()


def test_infinite_rows_are_off_the_simplex(backend):
    rows = backend.asarray([[np.inf, 0.0], [-np.inf, 1.0], [0.5, 0.5]], "float64")
    assert_array_equal(backend.numpy(transfer("softmax").out_of_range(rows)), [True, True, False])


@pytest.mark.parametrize("name", ["identity", "relu", "leaky_relu", "tanh", "arctan", "elu"])
@every_dtype
def test_integrals_that_vanish_at_zero_keep_their_digits_near_it(backend, name, dtype):
    """F ≈ a²/2 near 0, relative to itself: small losses are no noise. For elu, eᵃ − 1 − a, relative to a."""
    eps, a = np.finfo(dtype).eps, np.array([-0.5, -1e-3, -1e-8, 1e-8, 1e-3, 0.5], dtype=dtype)
    F, wanted = on(backend, transfer(name).F, a, dtype), in_doubles(ELEMENTWISE[name].F, a)
    size = np.abs(wanted) + (np.abs(a) * (a < 0) if name == "elu" else 0)
    assert (np.abs(F - wanted) <= C * eps * size).all()


def test_series_of_the_dilogarithm_is_long_enough():
    """Around 0, where it converges slowest; 4 eps, less than its last term but one. Seen: 1.5 eps."""
    a = np.linspace(-1.5, 1.5, 61)
    F, wanted = transfer("softplus").F(a), in_doubles(ELEMENTWISE["softplus"].F, a)
    assert_allclose(F, wanted, rtol=4 * np.finfo(float).eps)


@pytest.mark.parametrize("name", LIMITS)
@every_dtype
def test_nothing_overflows_before_its_result_does(backend, name, dtype):
    """At a = −10²⁵ (float32) or −10²⁰⁰ a² overflows; functions that stay below that must not notice."""
    function = transfer(name)
    a = -1e25 if dtype == "float32" else -1e200
    assert np.isfinite(on(backend, function.f, [a], dtype)).all()
    assert np.isfinite(on(backend, function.derivative, [a], dtype)).all()
    if name not in ("identity", "leaky_relu"):  # there F = a²/2, s a²/2 is itself too large
        assert np.isfinite(on(backend, function.F, [a], dtype)).all()


# identities ---------------------------------------------------------------------------------------

pairs = hypothesis.strategies.tuples(finite, finite)


@every_transfer
@given(pair=pairs)
def test_f_is_monotone_and_F_convex(name, parameters, exact, pair):
    """a ≤ b: f(a) ≤ f(b); F lies above its tangent: F(b) ≥ F(a) + f(a)(b − a). Slack: roundings."""
    function, eps = transfer(name, **parameters), np.finfo(float).eps
    a, b = np.sort(np.array(pair))
    fs, Fs = function.f(np.array([a, b])), function.F(np.array([a, b]))
    assert fs[1] - fs[0] >= -C * eps * (1 + np.abs(fs).max())
    slack = C * eps * (1 + np.abs(Fs).sum() + np.abs(fs).max() * (abs(a) + abs(b)))
    assert Fs[1] - Fs[0] - fs[0] * (b - a) >= -slack
    assert Fs[0] - Fs[1] - fs[1] * (a - b) >= -slack


@every_transfer
@given(a=finite)
def test_fenchel_young_equality(name, parameters, exact, a):
    """F(a) + F*(f(a)) = a f(a), while f(a) is told apart from the ends of the range."""
    function = transfer(name, **parameters)
    y = function.f(np.array([a]))
    gap = function.F(np.array([a])) + function.F_star(y) - a * y
    # y is rounded by eps·abs(y), which F* − a y sees through its slope f⁻¹(y) − a: 0 at y itself, and at
    # saturation, where y steps by one ulp to the end of the range, at most abs(a)·eps
    assert_array_less(np.abs(gap), 1e-12 * (1 + abs(a * y[0])))


@every_transfer
@given(a=finite, y=finite)
def test_fenchel_young_inequality(name, parameters, exact, a, y):
    """F(a) + F*(y) ≥ a y for every y: ∞ beyond the range."""
    function = transfer(name, **parameters)
    F, F_star = function.F(np.array([a]))[0], function.F_star(np.array([y]))[0]
    assert F + F_star - a * y >= -1e-12 * (1 + abs(a * y) + abs(F))


@every_transfer
@given(a=st.floats(-15, 15))
def test_inverse_of_f_is_a_right_inverse(name, parameters, exact, a):
    function, eps = transfer(name, **parameters), np.finfo(float).eps
    if exact.inverse is None:
        return
    y = function.f(np.array([a]))
    hypothesis.assume(exact.low < y[0] < exact.high)
    back = function.inverse(y)
    # an error of eps in a (relative) is one of eps·abs(a f′(a)) in y; one more eps per operation on y itself
    scale = np.abs(y) + np.abs(back) * function.derivative(back) + function.derivative(back)
    assert_array_less(np.abs(function.f(back) - y), C * eps * scale + 1e-300)


@every_transfer
@every_dtype
def test_vjp_is_the_derivative_times_u(backend, name, parameters, exact, dtype):
    rng = np.random.default_rng(1)
    function = transfer(name, **parameters)
    a, u = rng.normal(0, 3, (4, 5)), rng.normal(size=(4, 5))
    product = on(backend, lambda z: function.vjp(z, backend.asarray(u, dtype)), a, dtype)
    wanted = u * in_doubles(exact.derivative, a.astype(dtype).ravel()).reshape(4, 5)
    assert_allclose(product, wanted, rtol=2 * C * np.finfo(dtype).eps)


@pytest.mark.parametrize("shape", [(), (0,), (1,), (2, 3), (2, 1, 3)])
@every_transfer
def test_elementwise_functions_keep_every_shape(name, parameters, exact, shape):
    function = transfer(name, **parameters)
    a = np.full(shape, 0.25)
    for method in (function.f, function.F, function.derivative, function.F_star, function.project):
        assert np.shape(method(a)) == shape
    assert np.shape(function.vjp(a, a)) == shape
    assert np.shape(function.out_of_range(a)) == shape
    assert function.elementwise


# softmax ------------------------------------------------------------------------------------------

ROWS = [
    [0.0, 0.0, 0.0, 0.0],
    [1.0, -2.0, 0.5, 3.0],
    [700.0, -700.0, 699.0, 0.0],
    [1e4, -1e4, 1e4, 9999.0],
    [-1e-8, 1e-8, 0.0, 30.0],
    [-80.0, -81.0, -82.0, -1e4],
]


@every_dtype
def test_softmax_agrees_with_50_digits(backend, dtype):
    softmax, eps, rows = transfer("softmax"), np.finfo(dtype).eps, np.array(ROWS, dtype=dtype)
    exact = np.array([[float(p) for p in high_precision.softmax(map(mp.mpf, row))] for row in rows.tolist()])
    f, F = on(backend, softmax.f, rows, dtype), on(backend, softmax.F, rows, dtype)
    # a_i − max a is rounded once, which e^(...) turns into a relative error of eps·abs(a_i − max a)
    spread = 1 + np.abs(rows - rows.max(axis=1, keepdims=True))
    assert_array_less(np.abs(f - exact), C * eps * spread * exact + np.finfo(dtype).tiny)
    assert_allclose(f.sum(axis=1), 1, rtol=C * eps)
    wanted = np.array([float(high_precision.log_sum_exp(map(mp.mpf, row))) for row in rows.tolist()])
    assert F.shape == (len(rows),)
    assert_array_less(np.abs(F - wanted), C * eps * (1 + np.abs(wanted)))
    u = np.linspace(-1, 2, rows.size).reshape(rows.shape).astype(dtype)
    product = on(backend, lambda a: softmax.vjp(a, backend.asarray(u, dtype)), rows, dtype)
    full = [
        [float(v) for v in high_precision.softmax_vjp(list(map(mp.mpf, a)), w)]
        for a, w in zip(rows.tolist(), u.tolist(), strict=True)
    ]
    assert_array_less(np.abs(product - full), C * eps * 4 * spread)


@every_dtype
def test_softmax_conjugate_is_negative_entropy_on_the_simplex_and_infinite_off_it(backend, dtype):
    softmax, eps = transfer("softmax"), np.finfo(dtype).eps
    inside = np.array([[0.25, 0.25, 0.5], [1.0, 0.0, 0.0], [0.9375, 0.0625, 0.0]], dtype=dtype)
    exact = [float(high_precision.negative_entropy(row)) for row in inside.tolist()]
    assert_allclose(on(backend, softmax.F_star, inside, dtype), exact, rtol=C * eps, atol=C * eps)
    outside = np.array([[0.5, 0.6, 0.0], [1.25, -0.25, 0.0], [0.0, 0.0, 0.0]], dtype=dtype)
    assert_array_equal(on(backend, softmax.F_star, outside, dtype), np.inf)


rows_of_three = st.lists(st.floats(-50, 50), min_size=3, max_size=3)


@given(row=rows_of_three, shift=st.floats(-50, 50))
def test_softmax_identities(row, shift):
    """Shifts leave f alone and move F along; Fenchel–Young; F lies above its tangent f."""
    softmax, a = transfer("softmax"), np.array([row])
    eps = np.finfo(float).eps
    p, F = softmax.f(a), softmax.F(a)
    assert_allclose(
        softmax.f(a + shift), p, rtol=200 * C * eps
    )  # abs(a + shift) ≤ 100, rounded before the exponential
    assert_allclose(softmax.F(a + shift), F + shift, rtol=C * eps, atol=200 * C * eps)
    assert_allclose(F + softmax.F_star(p), np.sum(a * p, axis=-1), rtol=0, atol=1e-12 * (1 + np.abs(a).max()))
    b = a + np.array([[0.5, -1.0, 0.25]])
    assert softmax.F(b)[0] - F[0] >= np.sum(p * (b - a)) - C * eps * (1 + np.abs(a).max() * 4)


@pytest.mark.parametrize("method", ["derivative", "inverse"])
def test_softmax_has_no_elementwise_derivative_and_no_inverse(method):
    with pytest.raises(ValueError, match=r"^transfer must be .*, got 'softmax'"):
        getattr(transfer("softmax"), method)(np.zeros((1, 3)))
    assert not transfer("softmax").elementwise


# ranges and projection ----------------------------------------------------------------------------


@every_transfer
@every_dtype
def test_out_of_range_with_a_tolerance_for_rounding(backend, name, parameters, exact, dtype):
    """Ends and one ulp beyond count as in; a thousandth beyond as out; tolerance 0 takes no excuse."""
    function, eps = transfer(name, **parameters), np.finfo(dtype).eps
    for end, sign in ((function.low, -1), (function.high, 1)):
        if np.isinf(end):
            continue
        y = np.array([end, end + sign * 2 * eps * max(1, abs(end)), end + sign * 1e-3], dtype=dtype)
        out = backend.numpy(function.out_of_range(backend.asarray(y, dtype)))
        assert_array_equal(out, [False, False, True])
        strict = backend.numpy(function.out_of_range(backend.asarray(y, dtype), 0.0))
        assert_array_equal(strict[1:], [True, True])
    far = np.array([-1e6, 1e6], dtype=dtype)
    out = backend.numpy(function.out_of_range(backend.asarray(far, dtype)))
    assert_array_equal(out, [not np.isinf(function.low), not np.isinf(function.high)])


@pytest.mark.parametrize(
    "function",
    [transfer("elu", alpha=1e6), replaced("tanh", low=-3.0, high=1e6), replaced("tanh", low=-1e6, high=0.5)],
    ids=["elu", "own high", "own low"],
)
@every_dtype
def test_the_tolerance_grows_with_the_ends_of_the_range(backend, function, dtype):
    """A target near ±1e6 is rounded to multiples of 1e6 eps: it is in within 16 of them, and out beyond."""
    eps, largest = np.finfo(dtype).eps, 1e6
    for end, sign in ((function.low, -1), (function.high, 1)):
        if np.isinf(end):
            continue
        y = backend.asarray(end + sign * largest * eps * np.array([0, 4, 12, 24, 1000]), dtype)
        assert_array_equal(backend.numpy(function.out_of_range(y)), [False, False, False, True, True])
        y = backend.asarray(end + sign * largest * np.array([0, 0.5e-3, 2e-3]), dtype)
        assert_array_equal(backend.numpy(function.out_of_range(y, 1e-3)), [False, False, True])


@pytest.mark.parametrize("shape", [(40, 2), (2, 40)], ids=str)
@every_dtype
def test_the_tolerance_of_a_sum_over_classes_grows_with_their_number(backend, shape, dtype):
    """16 eps for each class: half of it too much counts as rounding, twice as much does not."""
    rows, classes = shape
    for share in (0.5, 2.0):
        y = np.full(shape, 1 / classes)
        y[:, 0] += share * 16 * np.finfo(dtype).eps * classes
        out = transfer("softmax").out_of_range(backend.asarray(y, dtype))
        assert_array_equal(backend.numpy(out), [share > 1] * rows)


def test_what_f_returns_is_never_out_of_range():
    for name in TRANSFERS:
        function = transfer(name)
        for dtype in ("float32", "float64"):
            a = grid(dtype)
            y = function.f(a if function.elementwise else np.stack([a, a[::-1]], axis=1))
            assert_array_equal(function.out_of_range(y), False, err_msg=f"{name} {dtype}")


def test_softmax_out_of_range_by_entry_and_by_sum(backend):
    rows = np.array([[0.2, 0.3, 0.5], [0.2, 0.3, 0.6], [-0.1, 0.6, 0.5], [1 + 4e-16, -4e-16, 0.0], [1, 0, 0]])
    out = backend.numpy(transfer("softmax").out_of_range(backend.asarray(rows, "float64")))
    assert_array_equal(out, [False, True, True, False, False])


@every_transfer
@every_dtype
def test_projection_is_the_nearest_point_of_the_range(backend, name, parameters, exact, dtype):
    function, y = transfer(name, **parameters), np.linspace(-3, 3, 25).astype(dtype)
    projected = on(backend, function.project, y, dtype)
    wanted = [min(max(v, float(exact.low)), float(exact.high)) for v in y.tolist()]
    assert_allclose(projected, wanted, rtol=np.finfo(dtype).eps)
    assert_array_equal(on(backend, function.project, projected, dtype), projected)
    assert not backend.numpy(function.out_of_range(backend.asarray(projected, dtype))).any()
    assert not np.isnan(on(backend, function.F_star, projected, dtype)).any()


@given(row=st.lists(st.floats(-5, 5), min_size=1, max_size=5))
def test_projection_onto_the_simplex_is_the_best_of_all_supports(row):
    projected = transfer("softmax").project(np.array([row]))[0]
    wanted = [float(p) for p in high_precision.simplex_by_search(row)]
    # sums of up to five numbers below 5
    assert_allclose(projected, wanted, atol=25 * C * np.finfo(float).eps)
    assert projected.min() >= 0


def test_projection_onto_the_simplex_on_every_backend(backend):
    rows = np.array([[0.2, 0.3, 0.5], [3.0, 1.0, -1.0], [0.5, 0.5, 0.5], [-4.0, -4.0, -5.0]])
    for dtype in ("float32", "float64"):
        projected = on(backend, transfer("softmax").project, rows, dtype)
        wanted = [
            [float(p) for p in high_precision.simplex_by_search(r)] for r in rows.astype(dtype).tolist()
        ]
        assert_allclose(projected, wanted, atol=C * 8 * np.finfo(dtype).eps)


# the table's door ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, parameters, error, sentence",
    [
        (["tnah"], {}, ValueError, r"^transfer must be one of .*, got 'tnah' \(did you mean 'tanh'\?\)$"),
        (["ReLU"], {}, ValueError, r"^transfer must be one of identity, relu, .*, got 'ReLU'"),
        ([""], {}, ValueError, r"^transfer must be one of .*, got ''$"),
        ([None], {}, ValueError, r"^transfer must be one of .*, got None$"),
        ([3], {}, ValueError, r"^transfer must be one of .*, got 3$"),
        (["tanh"], {"slope": 1.0}, TypeError, r"^transfer 'tanh' takes no parameter, got 'slope'$"),
        (["elu"], {"slope": 1.0}, TypeError, r"^transfer 'elu' takes alpha, got 'slope'$"),
        (["elu"], {"alpha": -1.0}, ValueError, r"^alpha must be a finite number of at least 0, got -1.0$"),
        (["elu"], {"alpha": np.nan}, ValueError, r"^alpha must be a number, got nan$"),
        (["elu"], {"alpha": np.inf}, ValueError, r"^alpha must be a finite number"),
        (["elu"], {"alpha": "1"}, TypeError, r"^alpha must be a number, got '1'$"),
        (["leaky_relu"], {"slope": -0.1}, ValueError, r"^slope must be a finite number of at least 0"),
        (["leaky_relu"], {"slope": True}, TypeError, r"^slope must be a number, got True$"),
        (
            ["leaky_relu"],
            {"derivative_at_zero": "zero"},
            ValueError,
            r"^derivative_at_zero must be one of slope, one, got 'zero'",
        ),
    ],
)
def test_bad_names_and_parameters_are_told_in_one_sentence(arguments, parameters, error, sentence):
    with pytest.raises(error, match=sentence):
        transfer(*arguments, **parameters)


def test_every_name_of_the_table_opens():
    assert_array_equal([transfer(name).name for name in TRANSFERS], TRANSFERS)


@pytest.mark.parametrize("name", TRANSFERS)
@pytest.mark.parametrize("bad", [None, "tanh", object()], ids=["None", "string", "object"])
def test_what_is_no_array_is_a_type_error(name, bad):
    for method in ("f", "F", "F_star", "out_of_range", "project"):
        with pytest.raises(TypeError):
            getattr(transfer(name), method)(bad)
