"""The package passes its own oracle."""

import numpy as np
import pytest

from locoprop_ref.backend import namespace
from locoprop_ref.oracle import cases, check
from locoprop_ref.oracle.certificate import certificate
from locoprop_ref.oracle.own import own_target

# optax's rmsprop is not among the package's optimizers
NOT_COVERED = {"local_steps/s-tanh-rmsprop-optax", "local_steps/m-tanh-rmsprop-optax",
               "optimizer/rmsprop-optax", "training/m-rmsprop-optax"}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("backend", ["numpy", "array-api-strict"])
def test_the_package_passes(backend, dtype):
    report = check(own_target(namespace(backend)), dtype=dtype, strict=True)
    report.assert_ok()
    assert {r.case.id for r in report.results if r.status == "not covered"} == NOT_COVERED
    assert sum(r.status == "pass" for r in report.results) == len(cases()) - len(NOT_COVERED)


def test_results_come_in_the_dtype_asked_for():
    for case in cases("training")[:3]:
        values = own_target()(case.topic, case.conventions, case.cast_inputs("float32"))
        assert {value.dtype for value in values.values()} == {np.dtype("float32")}


def test_the_certificate_lists_every_case():
    report = check(own_target(), cases("closed_form"))
    text = certificate(report)
    assert all(case.id in text for case in cases("closed_form"))
    assert "14 of 14 cases pass" in text


def test_a_wrong_package_is_found_out(monkeypatch):
    import locoprop_ref.solvers

    right = locoprop_ref.solvers._primal
    monkeypatch.setitem(locoprop_ref.solvers._CLOSED_FORMS, "primal", lambda *a: right(*a) * (1 + 1e-9))
    report = check(own_target(), cases("closed_form"), diagnose=False)
    assert {r.case.id for r in report.results if r.status == "fail"} >= {
        "closed_form/primal",
        "closed_form/mean",
    }
