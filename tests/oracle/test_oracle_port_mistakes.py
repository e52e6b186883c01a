"""The table of mistakes: each is caught, and named rightly or honestly not at all; none is named falsely."""

import sys
import time
from types import SimpleNamespace

import pytest

from locoprop_ref.oracle import cases, check

torch = pytest.importorskip("torch", reason="torch is not installed")

from mistakes import JAX_MISTAKES, copy_of  # noqa: E402
from mistakes import MISTAKES as FIRST_MISTAKES  # noqa: E402
from port_mistakes import MISTAKES as PORT_MISTAKES  # noqa: E402
from torch_habits import MISTAKES as HABITS  # noqa: E402

MISTAKES = PORT_MISTAKES | HABITS

# whole training runs: some of those that PyTorch's dialect covers
TRAINING = ("m-sgd", "s-sgd", "m-schedule-sgd", "s-schedule-sgd", "m-softmax", "m-relu-squared", "s-closed",
            "s-closed-gentle", "m-schedule-torch")  # fmt: skip
RUNS = [case for case in cases("training") if case.id.partition("/")[2] in TRAINING]


@pytest.fixture(autouse=True)
def _processor_time(monkeypatch):
    """The diagnosis stops after seconds of its own processor time, however busy the machine is."""
    clock = SimpleNamespace(monotonic=time.thread_time)
    monkeypatch.setattr(sys.modules["locoprop_ref.oracle.diagnose"], "time", clock)


def chosen(topics):
    small = [case for topic in topics if topic != "training" for case in cases(topic)]
    return small + (RUNS if "training" in topics else [])


def test_the_table_has_at_least_ninety_mistakes():
    assert not set(PORT_MISTAKES) & set(HABITS)
    assert len(MISTAKES) + len(FIRST_MISTAKES) + len(JAX_MISTAKES) >= 90


@pytest.mark.full
@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_caught_and_never_named_falsely(name):
    plant, topics, flags = MISTAKES[name]
    module = copy_of("pytorch_adapter")
    plant(module)
    dtype = "float32" if name == "TF32 products" else "float64"
    report = check(module.target, chosen(topics), dtype=dtype, search_limit=5.0)
    assert not report.ok or all(f.acceptable for f in report.findings)
    assert report.findings, name
    best = report.findings[0]
    allowed = [set(one) for one in flags] or [set()]
    assert set(best.flags) in allowed or set(best.flags) in [set(other) for other in best.others], (
        report.text().split("Topics")[0]
    )


@pytest.mark.full
def test_a_fixed_point_iteration_is_told_its_condition_and_passes_where_it_holds():
    plant, _, _ = MISTAKES["fixed-point iteration"]
    module = copy_of("pytorch_adapter")
    plant(module)
    report = check(module.target, cases("closed_form"))
    assert "weight_step times the largest eigenvalue of x^T x is below 1" in report.findings[0].text
    assert {r.status for r in report.results if "Gentle" in r.case.flags} == {"pass"}
