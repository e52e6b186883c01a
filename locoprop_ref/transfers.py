r"""Transfer functions f, their convex integrals F, and the functions that follow from them.

A transfer function is the gradient of a convex function, f = ∇F, so f is nondecreasing. F defines the
matching loss (`losses.py`), f′ is needed in the backward pass, and the conjugate F* determines for which
targets a local problem is bounded below.

    f        transfer function                       F*    convex conjugate, sup_a (a·y − F(a)); may be ∞
    F        convex integral, ∇F = f                 f⁻¹   inverse, where f is strictly increasing
    f′       derivative                              [low, high]   closed range of f, where F* is finite
                                                     (arctan: on the open range; F*(±π/2) = ∞)
    vjp      uᵀf′: elementwise u·f′(a); for softmax p⊙(u − ⟨p, u⟩)

Floating point: the formulas are arranged so that no intermediate result overflows before the final result
does (log cosh and softplus are finite up to the largest float). At ±inf the functions return their limits,
except for softmax, where ∞ − ∞ gives nan. f and F return nan for nan. Outside the open range, f⁻¹ returns
what the library's logarithm gives: ±inf or nan.

>>> import numpy as np
>>> tanh = transfer("tanh")
>>> tanh.F(np.array([0.0, 700.0]))  # log cosh
array([  0.        , 699.30685282])
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from math import pi
from types import MappingProxyType
from typing import Any

from locoprop_ref import checks, divergences, formulas
from locoprop_ref.backend import array_namespace

Formula = Callable[[Any, Any], Any]  # (a, xp) -> array


def _table() -> "tuple[Transfer, ...]":
    """Return the transfer functions without a parameter: a row a function, a line a fact."""
    # fmt: off
    return (
        Transfer("identity",
            f          = lambda a, xp: a,
            F          = lambda a, xp: a * a / 2,
            derivative = lambda a, xp: xp.ones_like(a),
            inverse    = lambda y, xp: y,
            F_star     = lambda y, xp: y * y / 2,
            D          = divergences.squared),
        Transfer("relu", low=0.0,
            f          = lambda a, xp: xp.maximum(a, 0.0),
            F          = lambda a, xp: xp.maximum(a, 0.0) ** 2 / 2,
            derivative = lambda a, xp: xp.astype(a > 0, a.dtype),
            F_star     = lambda y, xp: y * y / 2,
            D          = divergences.leaky_relu),
        Transfer("tanh", low=-1.0, high=1.0,
            f          = lambda a, xp: xp.tanh(a),
            F          = formulas.log_cosh,
            derivative = formulas.sech2,
            inverse    = lambda y, xp: xp.atanh(y),
            F_star     = lambda y, xp: (formulas.xlogx(1 + y, xp) + formulas.xlogx(1 - y, xp)) / 2,
            D          = divergences.tanh),
        Transfer("sigmoid", low=0.0, high=1.0,
            f          = formulas.sigmoid,
            F          = formulas.softplus,
            derivative = formulas.sigmoid_derivative,
            inverse    = lambda y, xp: xp.log(y) - xp.log1p(-y),
            F_star     = lambda y, xp: formulas.xlogx(y, xp) + formulas.xlogx(1 - y, xp),
            D          = divergences.sigmoid),
        Transfer("softplus", low=0.0,
            f          = formulas.softplus,
            F          = formulas.softplus_integral,
            derivative = formulas.sigmoid,
            inverse    = formulas.softplus_inverse,
            F_star     = formulas.softplus_conjugate,
            D          = divergences.softplus),
        Transfer("arctan", low=-pi / 2, high=pi / 2,
            f          = lambda a, xp: xp.atan(a),
            F          = formulas.arctan_integral,
            derivative = lambda a, xp: (1 / xp.hypot(a, 1.0)) ** 2,
            inverse    = lambda y, xp: xp.tan(y),
            F_star     = formulas.arctan_conjugate,
            D          = divergences.arctan),
        Transfer("softmax", low=0.0, high=1.0,
            f          = formulas.softmax,
            F          = formulas.log_sum_exp,
            vjp        = lambda a, u, xp: formulas.softmax_vjp(formulas.softmax(a, xp), u, xp),
            F_star     = lambda y, xp: xp.sum(formulas.xlogx(y, xp), axis=-1),
            D          = divergences.softmax),
    )
    # fmt: on


@dataclass(frozen=True, init=False)
class Transfer:
    r"""A transfer function with its integral, derivative, inverse and conjugate.

    The functions of this package are made by `transfer(name)`. One of your own is given by its formulas; each
    takes the array and its namespace `xp`, and `verify.check_transfer` tells whether they fit each other.
    Elementwise transfers act on arrays of any shape; softmax acts on the last axis, and its F and F* drop
    that axis.

    Args:
        name: a short name, for messages; the package's own are in `TRANSFERS`.
        f: the transfer function, nondecreasing.
        F: its convex integral, ∇F = f.
        derivative: f′, as a new array, which may be written into; required for an elementwise transfer.
        inverse: f⁻¹, where f is strictly increasing; default None.
        F_star: the convex conjugate of F, inside the range of f; default None: not known.
        D: the matching loss F(â) − F(a) − f(a)·(â − a) as a function of (â, a, xp), in a form that loses no
            digits where â is near a; default None: by the definition.
        vjp: uᵀf′ as a function of (a, u, xp), for a transfer that is not elementwise; default None: it is.
        low: lower end of the closed range of f, or −inf (default).
        high: upper end, or inf (default).
        parameters: those of its family, such as {"slope": 0.01}; default none.

    Raises:
        TypeError, ValueError: a formula that is no function, both or neither of `derivative` and `vjp`, or a
            range whose ends are not in order.

    >>> import numpy as np
    >>> softsign = Transfer(
    ...     "softsign", low=-1, high=1,
    ...     f=lambda a, xp: a / (1 + xp.abs(a)),
    ...     F=lambda a, xp: xp.abs(a) - xp.log1p(xp.abs(a)),
    ...     derivative=lambda a, xp: 1 / (1 + xp.abs(a)) ** 2,
    ... )
    >>> softsign.f(np.array([-1.0, 0.0, 3.0]))
    array([-0.5 ,  0.  ,  0.75])
    """

    name: str
    low: float
    high: float
    parameters: Mapping[str, Any]
    _f: Formula
    _F: Formula
    _derivative: Formula | None
    _inverse: Formula | None
    _F_star: Formula | None
    _D: Callable[[Any, Any, Any], Any] | None
    _vjp: Callable[[Any, Any, Any], Any] | None

    def __init__(
        self,
        name: str,
        *,
        f: Formula,
        F: Formula,
        derivative: Formula | None = None,
        inverse: Formula | None = None,
        F_star: Formula | None = None,
        D: Callable[[Any, Any, Any], Any] | None = None,
        vjp: Callable[[Any, Any, Any], Any] | None = None,
        low: float = -math.inf,
        high: float = math.inf,
        parameters: Mapping[str, Any] | None = None,
    ) -> None:
        given: dict[str, Any] = {"f": f, "F": F, "derivative": derivative, "inverse": inverse}
        given |= {"F_star": F_star, "D": D, "vjp": vjp}
        for key, formula in given.items():
            if not (callable(formula) or (formula is None and key not in ("f", "F"))):
                arrays = (
                    "two arrays and their namespace" if key in ("D", "vjp") else "an array and its namespace"
                )
                raise TypeError(f"{key} must be a function of {arrays}, got {checks.shown(formula)}")
        if (derivative is None) == (vjp is None):
            raise ValueError(
                "derivative must be given for an elementwise transfer and vjp for any other, "
                f"got {'neither' if vjp is None else 'both'}"
            )
        low, high = checks.number("low", low), checks.number("high", high)
        if not low < high:
            raise ValueError(f"low must be below high, {high}, got {low}")
        fields = {"name": str(name), "low": low, "high": high}
        fields |= {"parameters": MappingProxyType(dict(parameters or {}))}
        fields |= {f"_{key}": formula for key, formula in given.items()}
        for key, value in fields.items():
            object.__setattr__(self, key, value)

    @property
    def elementwise(self) -> bool:
        """Whether f acts on each number by itself; of the package's own only softmax does not."""
        return self._vjp is None

    def f(self, a: Any) -> Any:
        """Return f(a), the post-activation, in the shape of `a`.

        Args:
            a: (..., d) pre-activations.
        """
        xp = array_namespace(a)
        if getattr(a.dtype, "kind", "f") in "biuOSU":
            _refuse_integers("a", a)
        return self._f(a, xp)

    def F(self, a: Any) -> Any:
        """Return the convex integral F(a), elementwise, without reduction.

        Args:
            a: (..., d) pre-activations.

        Returns:
            one number for each element, (..., d); for softmax one for each row, (...).
        """
        xp = array_namespace(a)
        if getattr(a.dtype, "kind", "f") in "biuOSU":
            _refuse_integers("a", a)
        return self._F(a, xp)

    def derivative(self, a: Any) -> Any:
        """Return f′(a) of an elementwise transfer; `transfer` states the convention at a kink.

        Raises:
            ValueError: for softmax, whose derivative is a matrix (use `vjp`).
        """
        if self._derivative is None:
            raise ValueError(f"transfer must be elementwise for a derivative, got {self.name!r} (use vjp)")
        xp = array_namespace(a)
        if getattr(a.dtype, "kind", "f") in "biuOSU":
            _refuse_integers("a", a)
        return self._derivative(a, xp)

    def vjp(self, a: Any, u: Any) -> Any:
        """Return the vector–Jacobian product uᵀf′(a), in the shape of `a`.

        Args:
            a: (..., d) pre-activations.
            u: the vector from the layer above, in the shape of `a`.

        Raises:
            ValueError: u has another shape.
        """
        xp = array_namespace(a, u)
        if getattr(u, "shape", None) != getattr(a, "shape", ()):  # which would be broadcast
            checks.array("u", u, shape=tuple(checks.array("a", a).shape))  # which raises the error
        if getattr(a.dtype, "kind", "f") in "biuOSU":
            _refuse_integers("a", a)
        if self._vjp is not None:
            return self._vjp(a, u, xp)
        product = self.derivative(a)
        product *= u
        return product

    def inverse(self, y: Any) -> Any:
        """Return f⁻¹(y), in the shape of `y`.

        Args:
            y: (..., d) post-activations, in the open range of f.

        Raises:
            ValueError: f is not strictly increasing (relu, softmax, or a slope or alpha of 0).
        """
        if self._inverse is None:
            raise ValueError(f"transfer must be strictly increasing for an inverse, got {self.name!r}")
        xp = array_namespace(y)
        if getattr(y.dtype, "kind", "f") in "biuOSU":
            _refuse_integers("y", y)
        return self._inverse(y, xp)

    def F_star(self, y: Any) -> Any:
        """Return the convex conjugate F*(y), ∞ outside the closed range of f, elementwise, without reduction.

        For arctan F*(±π/2) = ∞ at the ends of its range. No float equals π/2: float64 rounds it down, so F*
        is near 37 there; float32 rounds it up, and the value is bounded near 87.

        Args:
            y: (..., d) post-activations.

        Returns:
            one number for each element, (..., d); for softmax one for each row, (...).

        Raises:
            ValueError: the transfer was made without `F_star`.
        """
        if self._F_star is None:
            raise ValueError(f"transfer must have a conjugate F_star, got {self.name!r}, made without one")
        xp = array_namespace(y)
        if getattr(y.dtype, "kind", "f") in "biuOSU":
            _refuse_integers("y", y)
        inside = ~self.out_of_range(y, tolerance=0.0 if self.elementwise else None)
        if self.elementwise:
            inside = inside & ~xp.isinf(y)  # F*(∞) = ∞, without a formula
        # outside the range the formula receives a value from the inside, and its result is not used
        stand_in = xp.where(inside, y, 0.5) if self.elementwise else y
        return xp.where(inside, self._F_star(stand_in, xp), xp.inf)

    def divergence(self, a_hat: Any, a: Any) -> Any:
        """Return D_F(â, a) = F(â) − F(a) − f(a)·(â − a), see `losses.matching_loss`, which checks both."""
        if self._D is not None:
            return self._D(a_hat, a, array_namespace(a_hat, a))
        xp = array_namespace(a_hat, a)
        linear = self.f(a) * (a_hat - a)
        if not self.elementwise:
            linear = xp.sum(linear, axis=-1)
        return self.F(a_hat) - self.F(a) - linear

    def out_of_range(self, y: Any, tolerance: float | None = None) -> Any:
        """Return which targets lie outside the closed range of f, so that the objective is unbounded below.

        At the ends of arctan's range it is unbounded below, too (F*(±π/2) = ∞), but they count as inside.

        Args:
            y: (..., d) targets.
            tolerance: the distance outside the range that is attributed to rounding, relative to the larger
                of 1 and the finite ends of the range; default 16 eps of the dtype (for a sum over classes,
                times their number), because f(â) − γg contains a few rounding errors.

        Returns:
            booleans in the shape of `y`; for softmax one for each row, true if the row has a negative entry
            or a sum other than 1.
        """
        xp = array_namespace(y)
        if getattr(y.dtype, "kind", "f") in "biuOSU":
            _refuse_integers("y", y)
        slack = 16 * float(xp.finfo(y.dtype).eps) if tolerance is None else tolerance
        slack *= max(1.0, *(abs(bound) for bound in (self.low, self.high) if math.isfinite(bound)), 0.0)
        if self.elementwise:
            return (y < self.low - slack) | (y > self.high + slack)
        off_sum = ~(xp.abs(xp.sum(y, axis=-1) - 1.0) <= slack * y.shape[-1])
        return off_sum | xp.any(y < -slack, axis=-1)

    def project(self, y: Any) -> Any:
        """Return the nearest point of the closed range, by clipping; for softmax that of the simplex."""
        xp = array_namespace(y)
        if self.elementwise:
            return xp.clip(y, self.low, self.high)
        return formulas.onto_simplex(y, xp)


def _refuse_integers(name: str, value: Any) -> None:
    """Refuse an array of integers, in which e.g. a²/2 of 20 in eight bits is 72."""
    raise TypeError(f"{name} must be an array of floating-point numbers, got {value.dtype}")


# Families with a parameter ------------------------------------------------------------------------


def _leaky_relu(slope: float = 0.01, derivative_at_zero: str = "slope") -> Transfer:
    s = checks.not_negative("slope", slope)
    checks.one_of("derivative_at_zero", derivative_at_zero, ("slope", "one"))
    positive = (lambda a: a > 0) if derivative_at_zero == "slope" else (lambda a: a >= 0)
    if s == 0:  # relu, except for the derivative at 0
        relu = _BY_NAME["relu"]
        f, F, inverse, F_star = relu._f, relu._F, None, relu._F_star
    else:
        f, F = lambda a, xp: xp.where(a > 0, a, s * a), lambda a, xp: xp.where(a > 0, a, s * a) * a / 2
        inverse = lambda y, xp: xp.where(y > 0, y, y / s)  # noqa: E731
        F_star = lambda y, xp: xp.where(y > 0, y * y / 2, y * y / (2 * s))  # noqa: E731
    return Transfer(
        "leaky_relu", low=0.0 if s == 0 else -math.inf,
        f=f, F=F, inverse=inverse, F_star=F_star, D=partial(divergences.leaky_relu, slope=s),
        derivative=lambda a, xp: xp.where(positive(a), xp.ones_like(a), s),
        parameters={"slope": s, "derivative_at_zero": derivative_at_zero},
    )  # fmt: skip


def _elu(alpha: float = 1.0) -> Transfer:
    α = checks.not_negative("alpha", alpha)
    if α == 0:
        relu = _BY_NAME["relu"]
        return Transfer(
            "elu", low=0.0, parameters={"alpha": 0.0},
            f=relu._f, F=relu._F, derivative=relu._derivative, F_star=relu._F_star, D=relu._D,
        )  # fmt: skip
    return Transfer(
        "elu", low=-α, parameters={"alpha": α},
        f=lambda a, xp: xp.where(a > 0, a, α * xp.expm1(xp.minimum(a, 0.0))),
        # a²/2 above 0, α(eᵃ − 1 − a) below
        F=lambda a, xp: xp.maximum(a, 0.0) ** 2 / 2 + α * formulas.exp_less_line(xp.minimum(a, 0.0), xp),
        derivative=lambda a, xp: xp.where(a > 0, 1.0, α * xp.exp(xp.minimum(a, 0.0))),
        inverse=lambda y, xp: xp.where(y > 0, y, xp.log1p(xp.minimum(y, 0.0) / α)),
        # y²/2 above 0, (y + α) log(1 + y/α) − y below
        F_star=lambda y, xp: xp.where(y > 0, y * y / 2, α * formulas.xlogx(1 + y / α, xp) - y),
        D=partial(divergences.elu, alpha=α),
    )  # fmt: skip


def _sign(straight_through: str = "clipped") -> Transfer:
    checks.one_of("straight_through", straight_through, STRAIGHT_THROUGH)
    clipped = straight_through == "clipped"
    return Transfer(
        "sign", low=-1.0, high=1.0, parameters={"straight_through": straight_through},
        f=lambda a, xp: xp.sign(a) + xp.astype(a == 0, a.dtype),
        F=lambda a, xp: xp.abs(a),
        derivative=lambda a, xp: xp.astype(xp.abs(a) <= 1, a.dtype) if clipped else xp.ones_like(a),
        F_star=lambda y, xp: xp.zeros_like(y),
    )  # fmt: skip


_BY_NAME = {row.name: row for row in _table()}
_FAMILIES: dict[str, Callable[..., Transfer]] = {"leaky_relu": _leaky_relu, "elu": _elu, "sign": _sign}
_PARAMETERS = {
    "leaky_relu": ("slope", "derivative_at_zero"), "elu": ("alpha",), "sign": ("straight_through",)
}  # fmt: skip
STRAIGHT_THROUGH = ("clipped", "identity")
TRANSFERS = ("identity", "relu", "leaky_relu", "tanh", "sigmoid", "softplus", "elu", "arctan", "softmax")
# apart from the others, because what is said of all of them needs a continuous f: the derivative of the
# network loss is no derivative here (I2), F has no gradient at 0 (I6), and Newton's method no slope (I7)
DISCONTINUOUS = ("sign",)


def transfer(name: str, **parameters: Any) -> Transfer:
    r"""Return the transfer function with this name.

    Args:
        name: one of `TRANSFERS`, which are continuous, or of `DISCONTINUOUS`, which is sign.
        **parameters: `leaky_relu` takes `slope` (default 0.01, at least 0) and `derivative_at_zero`: "slope"
            (default; TensorFlow and PyTorch) or "one" (JAX); `elu` takes `alpha` (default 1, at least 0);
            `sign` takes `straight_through`, what stands for its derivative: "clipped" (default; 1 where
            |a| ≤ 1, else 0: Hubara, Courbariaux, Soudry, El-Yaniv, Bengio 2016) or "identity" (1 everywhere).

    At the other kinks: relu′(0) = 0 and elu′(0) = alpha. sign(0) = 1; its F is |a|, so that D_F(â, a*) is
    2 max(0, −sign(a*)â), the perceptron loss.

    Raises:
        ValueError: unknown name (the nearest is suggested), or a parameter out of its range.
        TypeError: a parameter that this transfer function does not have.

    >>> transfer("leaky_relu", slope=0.1).parameters["slope"]
    0.1
    """
    checks.one_of("transfer", name, (*TRANSFERS, *DISCONTINUOUS))
    allowed = _PARAMETERS.get(name, ())
    for key in parameters:
        if key not in allowed:
            wanted = ", ".join(allowed) or "no parameter"
            raise TypeError(f"transfer {name!r} takes {wanted}, got {key!r}")
    return _FAMILIES[name](**parameters) if name in _FAMILIES else _BY_NAME[name]
