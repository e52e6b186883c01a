"""Planted mistakes: each is caught, and named on the first line of the diagnosis."""

import pytest

from locoprop_ref.oracle import cases, check

pytest.importorskip("torch", reason="torch is not installed")

from mistakes import JAX_MISTAKES, MISTAKES, copy_of

pytestmark = pytest.mark.full


@pytest.mark.parametrize("name", MISTAKES)
def test_a_planted_mistake_is_caught_and_named(name):
    plant, flag = MISTAKES[name]
    module = copy_of("pytorch_adapter")
    plant(module)
    report = check(module.target, strict=True)
    assert not report.ok
    assert report.findings[0].flags == (flag,)
    assert report.findings[0].others == ()
    first_line = report.text().split("Diagnosis\n")[1].split("\n")[0]
    assert f"(flag {flag};" in first_line
    explained, failing = len(report.findings[0].ids), report.findings[0].failing
    # ill-conditioned cases may miss the tolerance of the imitation
    assert explained >= 0.9 * failing


@pytest.mark.parametrize("name", JAX_MISTAKES)
def test_a_mistake_planted_in_the_jax_adapter_is_caught_and_named(name):
    pytest.importorskip("jax", reason="jax is not installed")
    pytest.importorskip("optax", reason="optax is not installed")
    plant, flag = JAX_MISTAKES[name]
    module = copy_of("jax_adapter")
    plant(module)
    tf1 = [case for case in cases("local_steps") if case.conventions.get("dialect") == "tf1"]
    report = check(module.target, tf1, strict=True)
    assert not report.ok
    assert report.findings[0].flags == (flag,)
    assert report.findings[0].ids == tuple(case.id for case in tf1)


def test_the_copy_without_a_mistake_passes():
    check(copy_of("pytorch_adapter").target, strict=True).assert_ok()
