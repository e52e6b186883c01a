"""The second source against definitions, by quadrature and differentiation in high precision."""

import ast
from pathlib import Path

import numpy as np
import pytest

from locoprop_ref.oracle import cases
from locoprop_ref.oracle.conventions import DEFAULTS, choices
from locoprop_ref.oracle.second_source import __file__ as package_file
from locoprop_ref.oracle.second_source import context, evaluate, local, network
from locoprop_ref.oracle.second_source.numbers import combine, matrix, product
from locoprop_ref.oracle.second_source.transfer import Transfer

CTX = context(digits=60)
ELEMENTWISE = ("identity", "relu", "leaky_relu", "tanh", "sigmoid", "softplus", "elu", "arctan")
POINTS = (-3.0, -0.75, 0.25, 2.0)
# central differences with h = 1e-21 are off by h² = 1e-42 and, by rounding, some 1e-60/h = 1e-39
CLOSE = 1e-37
H = CTX.mpf(10) ** -21


def transfer(name):
    return Transfer(CTX, name, DEFAULTS, slope=0.125, alpha=0.5)


def assert_close(got, expected):
    assert abs(got - expected) <= CLOSE * (1 + abs(expected)), f"{got} is not {expected}"


@pytest.mark.parametrize("name", ELEMENTWISE)
@pytest.mark.parametrize("a", POINTS)
def test_F_is_the_integral_of_f(name, a):
    tr, a = transfer(name), CTX.mpf(a)
    area = CTX.quad(tr._f, [min(a, CTX.mpf(0)), max(a, CTX.mpf(0))]) * (1 if a > 0 else -1)
    assert_close(tr.F([a])[0] - tr.F([CTX.mpf(0)])[0], area)


@pytest.mark.parametrize("name", ELEMENTWISE)
@pytest.mark.parametrize("a", POINTS)
def test_derivative_is_the_derivative_of_f(name, a):
    tr = transfer(name)
    assert_close(tr.derivative(CTX.mpf(a)), (tr._f(CTX.mpf(a) + H) - tr._f(CTX.mpf(a) - H)) / (2 * H))


@pytest.mark.parametrize("name", [n for n in ELEMENTWISE if n != "relu"])
@pytest.mark.parametrize("a", POINTS)
def test_inverse_and_conjugate(name, a):
    tr = transfer(name)
    y = tr._f(CTX.mpf(a))
    assert_close(tr._f(tr.inverse(y)), y)
    # Fenchel-Young: F(a) + F*(f(a)) = a f(a), and F* is a supremum
    assert_close(tr.F([CTX.mpf(a)])[0] + tr.F_star([y])[0], a * y)
    for other in (a - 0.5, a + 0.5):
        assert tr.F_star([y])[0] > other * y - tr.F([CTX.mpf(other)])[0]


def test_softmax_by_differences():
    tr, a, u = transfer("softmax"), [CTX.mpf(v) for v in (0.5, -1.0, 2.0)], [CTX.mpf(v) for v in (1, -2, 0.5)]
    for j in range(3):
        up, down = ([v + s * H * (i == j) for i, v in enumerate(a)] for s in (1, -1))
        assert_close(tr.f(a)[j], (tr.F(up)[0] - tr.F(down)[0]) / (2 * H))
        slope = sum(w * (p - q) for w, p, q in zip(u, tr.f(up), tr.f(down), strict=True)) / (2 * H)
        assert_close(tr.vjp(a, u)[j], slope)


@pytest.mark.parametrize("case", cases("network"), ids=lambda case: case.id)
def test_g_is_the_derivative_of_the_loss(case):
    """∂L/∂b = Σ_rows g, by a central difference in every bias (or in W where there is none)."""
    full = choices(case.conventions)
    values = evaluate("network", full, case.inputs)
    for m in range(1, len(case.inputs["transfers"]) + 1):
        net = network.layers(CTX, case.inputs, full)
        seen = network.full_pass(CTX, net, case.inputs, full)
        row, x = len(net[m - 1].W) - 1, seen.x[m - 1]
        for j in range(len(net[m - 1].W[0])):
            losses = []
            for sign in (1, -1):
                moved = network.layers(CTX, case.inputs, full)
                moved[m - 1].W[row][j] += sign * H
                losses.append(network.full_pass(CTX, moved, case.inputs, full).loss)
            gradient = sum(r[row] * g[j] for r, g in zip(x, values[f"g_{m}"], strict=True))
            assert_close(gradient, (losses[0] - losses[1]) / (2 * H))


def solved_problem(case):
    full = choices(case.conventions)
    member = network.layer(CTX, case.inputs, full)
    x = network.with_ones(CTX, matrix(CTX, case.inputs["x"]), member.bias)
    g = matrix(CTX, case.inputs["g"])
    y_target = local.target(CTX, member, product(x, member.W), g, case.inputs, full)
    return local.problem(CTX, member, x, y_target, case.inputs, full)


@pytest.mark.parametrize("case", cases("closed_form") + cases("exact"), ids=lambda case: case.id)
def test_solutions_have_no_gradient(case):
    p = solved_problem(case)
    W = local.closed_form(p) if case.topic == "closed_form" else local.exact(p)
    assert max(abs(u) for row in local.gradient(p, W) for u in row) < CTX.mpf(10) ** -45


def test_least_change_is_in_the_span_of_the_inputs():
    case = next(case for case in cases("closed_form") if case.id == "closed_form/least-change")
    p = solved_problem(case)
    change = np.array(combine(local.closed_form(p), p.W0, -1), dtype=float)
    x = np.array(p.x, dtype=float)
    outside = change - np.linalg.pinv(x) @ x @ change
    # a projection in float64 of numbers of size 1
    np.testing.assert_allclose(outside, 0, atol=1e-13)


def test_the_second_source_shares_no_code_with_the_package():
    allowed = {"mpmath", "typing", "dataclasses", "functools"}
    paths = sorted(Path(package_file).parent.glob("*.py"))
    assert len(paths) > 10
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name in allowed or name.startswith("locoprop_ref.oracle.second_source"), (
                    path.name,
                    name,
                )
