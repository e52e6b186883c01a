r"""I5 and I6: the matching loss is the integral of f, and f is the gradient of F."""

from typing import Any

import numpy as np

from locoprop_ref.backend import to_backend, to_numpy
from locoprop_ref.losses import matching_loss
from locoprop_ref.transfers import DISCONTINUOUS, TRANSFERS, Transfer, transfer
from locoprop_ref.verify.cases import ELEMENTWISE, POSITIONS, local_problems, positions_cases
from locoprop_ref.verify.complex_step import STEP, complex_transfer, rows_by_definition
from locoprop_ref.verify.measure import Identity, Measurement, far, on, worst


def _sample(f: Transfer, rng: np.random.Generator) -> np.ndarray:
    """Draw moderate arguments, which include the kink at 0 if f acts elementwise; but no jump at 0."""
    a = rng.uniform(-4, 4, size=(40, 3))
    if f.elementwise and f.name not in DISCONTINUOUS:
        a[0] = 0.0
    return a


def _line_integral(f: Transfer, a: np.ndarray, xp: Any) -> np.ndarray:
    r"""Return F(a) − F(0) = ∫₀¹ f(ua)·a du by Gauss–Legendre on 16 panels that never cross the kink at 0."""
    nodes, weights = np.polynomial.legendre.leggauss(20)
    total = np.zeros(a.shape)
    for panel in range(16):
        for node, weight in zip(nodes, weights, strict=True):
            u = (panel + (1 + node) / 2) / 16
            total += weight / 32 * to_numpy(f.f(to_backend(u * a, xp=xp))) * a
    return total if f.elementwise else total.sum(axis=-1)


def matching_loss_is_integral(seed: int = 0, xp: Any = np) -> Identity:
    """I5: D_F, by its definition and as computed, is the integral of f(z) − f(a*); it is ≥ 0, and 0 at a*."""
    integral, definition, negative, at_target = [], [], [], []
    for name in (*TRANSFERS, *DISCONTINUOUS):
        rng, f = np.random.default_rng([seed, 5]), transfer(name)
        a_hat, a = _sample(f, rng), _sample(f, rng)
        on = [to_backend(values, xp=xp) for values in (a_hat, a)]
        D, y = to_numpy(matching_loss(f, *on)), to_numpy(f.f(on[1]))
        linear = y * (a_hat - a) if f.elementwise else np.sum(y * (a_hat - a), axis=-1)
        F_hat, F_target = (to_numpy(f.F(values)) for values in on)
        scale = 1 + np.abs(F_hat) + np.abs(F_target) + np.abs(linear)
        wanted = _line_integral(f, a_hat, xp) - _line_integral(f, a, xp) - linear
        integral.append(far(D, wanted, scale))
        definition.append(far(D, F_hat - F_target - linear, scale))
        negative.append(float(np.max(-D / scale)))
        at_target.append(far(matching_loss(f, on[1], on[1]), 0, scale))
    both_negative = -np.random.default_rng(seed).uniform(0, 9, size=(2, 50))
    relu = to_numpy(matching_loss(transfer("relu"), *(to_backend(values, xp=xp) for values in both_negative)))
    reason = "rounding of 1 + |F(â)| + |F(a*)| + |f(a*)(â − a*)|"
    parts: tuple[Measurement, ...] = (
        Measurement("D_F(â, a*) = ∫ f(z) − f(a*) dz from a* to â", worst(integral), 1e-12, reason),
        Measurement("D_F ≥ 0", abs(worst([0.0, *negative])), 1e-12, reason),
        Measurement("D_F(a*, a*) = 0", worst(at_target), 1e-12, reason),
        Measurement(
            "ReLU: D_F = 0 exactly when both are negative", float(np.max(np.abs(relu))), 0.0, "exact"
        ),
    )
    for where in POSITIONS:
        parts += _sums_over_rows(where, seed, xp)
    by_definition = worst(definition)
    parts += (Measurement("D_F(â, a*) = F(â) − F(a*) − f(a*)(â − a*)", by_definition, 1e-12, reason),)
    return Identity("I5", "the matching loss is the integral of its transfer function", parts)


def _sums_over_rows(where: str, seed: int, xp: Any) -> tuple[Measurement, ...]:
    """Return how far the objective of M is from ∫ f(z) − y* dz, summed over the rows of the definition."""
    errors, rng = [], np.random.default_rng([seed, 5])
    for case in positions_cases(where, seed, xp, hidden=ELEMENTWISE):
        problem = local_problems(case, "matching", target_step=0.5)[0]
        x, a_hat = rows_by_definition(case.network, case.x)[0]
        f, y = problem.transfer, to_numpy(problem.y_target)
        W = to_numpy(problem.W0) + 0.3 * rng.normal(size=problem.W0.shape)
        moved = x @ W
        both = np.vstack([moved, a_hat])
        after, before = np.split(_line_integral(f, both, xp), 2)
        got = to_numpy(problem.value(to_backend(W, xp=xp))) - to_numpy(problem.value(problem.W0))
        scale = 1 + np.sum(np.abs(to_numpy(f.F(to_backend(both, xp=xp)))))
        scale += np.sum(np.abs(y * moved) + np.abs(y * a_hat))
        errors.append(far(got, np.sum(after - before - y * (moved - a_hat)), scale))
    reason = "rounding of the sum of |F| and |y*â| over the rows"
    claim = on(where, "change of M = Σ_rows ∫ f(z) − y* dz")
    return (Measurement(claim, worst(errors), 1e-12, reason),)


def transfer_is_gradient(seed: int = 0, xp: Any = np) -> Identity:
    """I6: ∇F = f, F(a) + F*(f(a)) = a·f(a), f∘f⁻¹ = id; a complex second source gives F and f again."""
    values, slope, conjugate, inverse = [], [], [], []
    for name in (*TRANSFERS, *DISCONTINUOUS):
        f = transfer(name)
        a = _sample(f, np.random.default_rng([seed, 6]))
        on = to_backend(a, xp=xp)
        y, F = to_numpy(f.f(on)), to_numpy(f.F(on))
        product = a * y if f.elementwise else np.sum(a * y, axis=-1)
        scale = 1 + np.abs(product)
        _, F_complex = complex_transfer(name, f.parameters)
        values.append(far(F, F_complex(a.astype(complex)).real, scale))
        slope.append(far(y, _slope(F_complex, a, f.elementwise), scale if f.elementwise else scale[:, None]))
        conjugate.append(far(F + to_numpy(f.F_star(f.f(on))), product, scale))
        if f._inverse is not None:
            inverse.append(far(f.f(f.inverse(f.f(on))), y, 1 + np.abs(y)))
    reason = "rounding of 1 + |a f(a)|"
    parts: tuple[Measurement, ...] = (
        Measurement("F = its definition, in complex arithmetic", worst(values), 1e-12, reason),
        Measurement("∇F = f, kinks included", worst(slope), 1e-12, reason),
        Measurement("F(a) + F*(f(a)) = a·f(a)", worst(conjugate), 1e-12, reason),
        Measurement("f(f⁻¹(y)) = y", worst(inverse), 1e-12, reason),
    )
    for where in POSITIONS:
        parts += _output_is_slope(where, seed, xp)
    return Identity("I6", "the transfer function is the gradient of F", parts)


def _slope(F: Any, a: np.ndarray, elementwise: bool) -> np.ndarray:
    """Return ∇F by complex steps, one for every column."""
    columns = []
    for column in range(a.shape[1]):
        step = np.zeros(a.shape, complex)
        step[:, column] = STEP * 1j
        derivative = F(a + step).imag / STEP
        columns.append(derivative[:, column] if elementwise else derivative)
    return np.stack(columns, axis=1)


def _output_is_slope(where: str, seed: int, xp: Any) -> tuple[Measurement, ...]:
    """Return how far every row of every layer's ŷ is from ∇F at the pre-activation of the definition."""
    errors = []
    for case in positions_cases(where, seed, xp):
        rows = rows_by_definition(case.network, case.x)
        for layer, y_hat, (_, a_hat) in zip(case.network.layers, case.trace.y_hat, rows, strict=True):
            f = layer.transfer
            _, F = complex_transfer(f.name, f.parameters)
            wanted = _slope(F, a_hat, f.elementwise)
            errors.append(far(y_hat, wanted, 1 + np.max(np.abs(a_hat * wanted))))
    reason = "rounding of 1 + |a f(a)|"
    return (Measurement(on(where, "ŷ = ∇F(â) at every row"), worst(errors), 1e-12, reason),)
