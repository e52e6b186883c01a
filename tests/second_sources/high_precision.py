"""Every transfer function in 50 digits, from its definition: the second source of `locoprop_ref.transfers`.

F is here an antiderivative in closed form (checked against quadrature of f in `test_transfers.py`), f⁻¹ the
textbook inverse, and F* is built from them by the conjugate formula F*(y) = y f⁻¹(y) − F(f⁻¹(y)), with the
limits at the ends of the range written out. Nothing of the package is imported.
"""

from dataclasses import dataclass
from typing import Any

from mpmath.ctx_mp import MPContext

mp = MPContext()  # a context of our own: the precision of everybody else stays as it is
mp.dps = 50
mpf = mp.mpf


@dataclass(frozen=True)
class Exact:
    """One elementwise transfer. `ends` are F* at the finite ends of [low, high]."""

    f: Any
    F: Any
    derivative: Any
    inverse: Any  # None where f is not strictly increasing
    low: Any = -mp.inf
    high: Any = mp.inf
    ends: tuple = (None, None)
    kinks: tuple = ()

    def F_star(self, y):
        """The conjugate: ∞ outside [low, high]."""
        y = mpf(y)
        if y < self.low or y > self.high:
            return mp.inf
        if y == self.low or y == self.high:
            return self.ends[0] if y == self.low else self.ends[1]
        if self.inverse is None:  # relu: any a with f(a) = y will do, and a = y is one
            return y * y - self.F(y)
        a = self.inverse(y)
        return y * a - self.F(a)

    def divergence(self, a, b):
        """D_F(a, b), the matching loss."""
        return self.F(a) - self.F(b) - self.f(b) * (mpf(a) - mpf(b))

    def conjugate_by_search(self, y, lower=-60, upper=60):
        """sup_a (a y − F(a)) from its definition: the concave function is climbed by golden section."""
        ratio = (mp.sqrt(5) - 1) / 2
        left, right = mpf(lower), mpf(upper)
        for _ in range(
            170
        ):  # 120 · 0.618^170 < 1e-33, and the value at a flat maximum has twice as many digits
            p, q = right - ratio * (right - left), left + ratio * (right - left)
            if p * y - self.F(p) < q * y - self.F(q):
                left = p
            else:
                right = q
        return left * y - self.F(left)


def _sigmoid(a):
    return 1 / (1 + mp.exp(-a))


def _log1p_exp(a):
    # log1p keeps the digits of e^a where it is tiny; a + ... keeps them where it is huge
    return mp.log1p(mp.exp(a)) if a < 0 else a + mp.log1p(mp.exp(-a))


def _softplus_integral(a):
    # ∫_{−∞}^a log(1 + e^z) dz = −Li₂(−e^a); inversion formula where e^a > 1
    if a <= 0:
        return -mp.polylog(2, -mp.exp(a)).real if a > -100 else mp.exp(a) - mp.exp(2 * a) / 4
    return mpf(a) ** 2 / 2 + mp.pi**2 / 6 - _softplus_integral(-mpf(a))


def _piecewise(positive, other):
    return lambda a: positive(mpf(a)) if a > 0 else other(mpf(a))


def _half_square(a):
    return mpf(a) ** 2 / 2


def leaky_relu(slope):
    s = mpf(slope)
    inverse = None if s == 0 else _piecewise(lambda y: y, lambda y: y / s)
    return Exact(
        _piecewise(lambda a: a, lambda a: s * a),
        _piecewise(_half_square, lambda a: s * a * a / 2),
        _piecewise(lambda a: mpf(1), lambda a: s),
        inverse,
        low=mpf(0) if s == 0 else -mp.inf,
        ends=(mpf(0), None),
        kinks=(0,),
    )


def elu(alpha):
    c = mpf(alpha)
    return Exact(
        _piecewise(lambda a: a, lambda a: c * mp.expm1(a)),
        _piecewise(_half_square, lambda a: c * (mp.expm1(a) - a)),
        _piecewise(lambda a: mpf(1), lambda a: c * mp.exp(a)),
        None if c == 0 else _piecewise(lambda y: y, lambda y: mp.log1p(y / c)),
        low=-c,
        ends=(c, None),  # a → −∞ in −α a − α(e^a − 1 − a): the limit is α
        kinks=(0,),
    )


ELEMENTWISE = {
    "identity": Exact(mpf, _half_square, lambda a: mpf(1), mpf),
    "relu": leaky_relu(0),
    "leaky_relu": leaky_relu(0.01),
    "tanh": Exact(
        mp.tanh,
        lambda a: mp.log(mp.cosh(a)),
        lambda a: 1 / mp.cosh(a) ** 2,
        mp.atanh,
        low=mpf(-1),
        high=mpf(1),
        ends=(mp.log(2), mp.log(2)),
    ),
    "sigmoid": Exact(
        _sigmoid,
        _log1p_exp,
        lambda a: _sigmoid(a) * _sigmoid(-a),
        lambda y: mp.log(mpf(y)) - mp.log1p(-mpf(y)),
        low=mpf(0),
        high=mpf(1),
        ends=(mpf(0), mpf(0)),
    ),
    "softplus": Exact(
        _log1p_exp,
        _softplus_integral,
        _sigmoid,
        lambda y: mp.log(mp.expm1(mpf(y))),
        low=mpf(0),
        ends=(mpf(0), None),
    ),
    "elu": elu(1),
    "arctan": Exact(
        mp.atan,
        lambda a: a * mp.atan(a) - mp.log1p(mpf(a) ** 2) / 2,
        lambda a: 1 / (1 + mpf(a) ** 2),
        mp.tan,
        low=-mp.pi / 2,
        high=mp.pi / 2,
        ends=(mp.inf, mp.inf),
    ),
}


def softmax(row):
    """exp(a_i) / Σ exp(a_j), without any shift: mpmath's exponents do not overflow."""
    powers = [mp.exp(a) for a in row]
    total = mp.fsum(powers)
    return [p / total for p in powers]


def log_sum_exp(row):
    return mp.log(mp.fsum([mp.exp(a) for a in row]))


def negative_entropy(row):
    """Σ p log p, 0 log 0 = 0: the conjugate of log-sum-exp on the simplex."""
    return mp.fsum([mpf(p) * mp.log(p) for p in row if p > 0])


def softmax_vjp(row, u):
    """uᵀ J with the full Jacobian J_ij = p_i (δ_ij − p_j)."""
    p = softmax(row)
    n = range(len(p))
    return [mp.fsum([mpf(u[i]) * p[i] * ((i == j) - p[j]) for i in n]) for j in n]


def simplex_by_search(row):
    """Nearest point of the simplex to `row`: try every support, keep the nearest feasible candidate."""
    best, distance = None, mp.inf
    n = len(row)
    for mask in range(1, 2**n):
        support = [i for i in range(n) if mask >> i & 1]
        shift = (mp.fsum([mpf(row[i]) for i in support]) - 1) / len(support)
        point = [mpf(row[i]) - shift if i in support else mpf(0) for i in range(n)]
        gap = mp.fsum([(p - mpf(a)) ** 2 for p, a in zip(point, row, strict=True)])
        if min(point) >= 0 and gap < distance:
            best, distance = point, gap
    return best
