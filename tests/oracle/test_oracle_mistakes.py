"""Planted mistakes: each is caught, and named on the first line of the diagnosis."""

import pytest

from locoprop_ref.oracle import check

pytest.importorskip("torch", reason="torch is not installed")

from mistakes import MISTAKES, copy_of

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


def test_the_copy_without_a_mistake_passes():
    check(copy_of("pytorch_adapter").target, strict=True).assert_ok()
