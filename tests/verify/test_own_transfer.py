"""`check_transfer`: the transfer functions of the package pass; a wrong formula is refused by its name."""

import numpy as np
import pytest

from locoprop_ref import TRANSFERS, Transfer, transfer
from locoprop_ref.verify import check_transfer, table

FORMULAS = {
    "f": lambda a, xp: a / (1 + xp.abs(a)),
    "F": lambda a, xp: xp.abs(a) - xp.log1p(xp.abs(a)),
    "derivative": lambda a, xp: 1 / (1 + xp.abs(a)) ** 2,
    "inverse": lambda y, xp: y / (1 - xp.abs(y)),
    "F_star": lambda y, xp: -xp.log1p(-xp.abs(y)) - xp.abs(y),
}


def softsign(**changed):
    return Transfer("softsign", low=-1, high=1, **{**FORMULAS, **changed})


@pytest.mark.parametrize("name", TRANSFERS)
def test_the_transfers_of_the_package_pass(name):
    result = check_transfer(transfer(name))
    assert result.holds
    assert name in table([result])


def test_an_own_transfer_passes_with_and_without_its_optional_formulas():
    assert len(check_transfer(softsign()).parts) == 5
    assert len(check_transfer(softsign(inverse=None, F_star=None)).parts) == 3


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"f": lambda a, xp: -a / (1 + xp.abs(a))}, r"must not decrease, but f\(-5\) = 0.833333 and f"),
        ({"f": lambda a, xp: a / (1 + xp.abs(a)) + 1e-7}, r"must fulfil ∫ f dz = F\(b\) − F\(a\)"),
        ({"F": lambda a, xp: xp.abs(a)}, r"must fulfil ∫ f dz"),
        ({"derivative": lambda a, xp: 1 / (1 + xp.abs(a))}, r"must fulfil ∫ f′ dz"),
        ({"inverse": lambda y, xp: y}, r"must fulfil f\(f⁻¹\(y\)\) = y"),
        ({"F_star": lambda y, xp: -xp.log1p(-xp.abs(y))}, r"must fulfil F\(a\) \+ F\*"),
        ({"f": lambda a, xp: a / (a - a)}, "must be finite between -5 and 5"),
    ],
    ids=["falling", "shifted", "F", "derivative", "inverse", "F_star", "nan"],
)
def test_a_wrong_formula_is_refused(changed, words):
    with np.errstate(all="ignore"), pytest.raises(ValueError, match=words):
        check_transfer(softsign(**changed))


def test_a_range_that_is_too_narrow_is_refused():
    narrow = Transfer("softsign", low=-0.5, high=1, **FORMULAS)
    with pytest.raises(ValueError, match=r"must fulfil f\(a\) within \[low, high\]"):
        check_transfer(narrow)


def test_a_transfer_on_rows_with_a_wrong_vjp_is_refused():
    right = transfer("softmax")
    wrong = Transfer(
        "softmax",
        f=right._f,
        F=right._F,
        vjp=lambda a, u, xp: u * right.f(a) * (1 - right.f(a)),
        low=0,
        high=1,
    )
    with pytest.raises(ValueError, match="must fulfil uᵀf′"):
        check_transfer(wrong)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"low": 1, "high": 1}, ValueError, "low must be below high, 1, got 1"),
        ({"points": 1}, ValueError, "points must be an integer of at least 2, got 1"),
        ({"high": "5"}, TypeError, "high must be a number, got '5'"),
    ],
)
def test_bad_arguments(given, error, words):
    with pytest.raises(error, match=words):
        check_transfer(softsign(), **given)
    with pytest.raises(TypeError, match="transfer must be a Transfer"):
        check_transfer("tanh")
