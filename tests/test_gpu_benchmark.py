"""The benchmark for a GPU: its form on NumPy, and the lines for CuPy on a stand-in on the host."""

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal, assert_equal

from benchmarks import gpu, gpu_steps
from benchmarks.gpu_steps import Machine
from benchmarks.peers import ours
from benchmarks.problem import METHODS, Problem
from benchmarks.results import read
from locoprop_ref.optimizers import RMSProp

SMALL = Problem(hidden=(6, 3, 6), pixels=5, batch=4)
OURS = {name: step for name, step in gpu_steps.STEPS.items() if "ours" in name}


def measured(tmp_path, monkeypatch, capsys, **how):
    """The rows of the saved table, and what was printed; without PyTorch, processes, and large products."""
    monkeypatch.setattr(gpu, "STEPS", OURS)
    monkeypatch.setattr(gpu, "matrix_rate", lambda on: 1e9)
    monkeypatch.setattr(gpu, "_tests", lambda which, end: [gpu.Row(f"pytest -k {which}", 1.0, "s")])
    monkeypatch.setattr(gpu, "_comparison", lambda *_: [gpu.Row("comparison", 2.0, "s")])
    gpu.run(rounds=1, backend="numpy", problem=SMALL, folder=tmp_path, **how)
    rows = read(tmp_path / "gpu.json")["rows"]
    printed = capsys.readouterr().out
    assert all(row["what"] in (tmp_path / "gpu.txt").read_text() for row in rows)
    return rows, printed


def test_without_a_gpu_every_row_has_a_number_or_says_what_it_needs(tmp_path, monkeypatch, capsys):
    rows, printed = measured(tmp_path, monkeypatch, capsys)
    without = [row["what"] for row in rows if row["value"] is None]
    assert_equal(
        without, [f"{name}, ours, CUDA graph replayed" for name in METHODS] + ["memory", "fused kernels"]
    )
    assert {row["note"] for row in rows if row["value"] is None} == {"needs a GPU"}
    steps = [row for row in rows if row["unit"] == "ms"]
    assert_equal(len(steps), 2 * len(METHODS))
    assert all(row["value"] > 0 and row["what"] in printed for row in steps)
    assert_equal([row["what"] for row in rows[-2:]], ["pytest -k cupy", "comparison"])


def test_a_part_that_fails_or_has_no_time_is_one_row(tmp_path, monkeypatch, capsys):
    def broken(*_):
        raise OSError("two\nlines")

    monkeypatch.setitem(OURS, "ours, layers in order", broken)
    rows, _ = measured(tmp_path, monkeypatch, capsys)
    failed = [row for row in rows if row["note"] == "failed: OSError: two lines"]
    assert_equal([row["what"] for row in failed], [f"{name}, ours, layers in order" for name in METHODS])
    rows, _ = measured(tmp_path, monkeypatch, capsys, minutes=1e-9)
    assert {row["note"] for row in rows} == {"no time was left (--minutes)"}


class Stream:
    """A stream that computes at once; a graph that counts its replays."""

    captured = None

    def __enter__(self):
        return self

    __exit__ = synchronize = lambda self, *_: None

    def begin_capture(self):
        self.captured = []

    def end_capture(self):
        return SimpleNamespace(launch=lambda stream: self.captured.append(stream))


@pytest.fixture
def stand_in(monkeypatch):
    streams = []
    cuda = SimpleNamespace(
        runtime=SimpleNamespace(deviceSynchronize=lambda: None),
        MemoryPool=lambda: SimpleNamespace(malloc=None),
        Stream=lambda non_blocking: streams.append(Stream()) or streams[-1],
        using_allocator=lambda malloc: np.errstate(),  # a context that does nothing
    )
    xp = SimpleNamespace(**{**vars(np), "cuda": cuda, "fuse": lambda: lambda function: function})
    monkeypatch.setattr(gpu_steps, "device_bytes", lambda xp: 7)
    return Machine(xp, "cupy"), streams


@pytest.mark.parametrize("name", METHODS)
def test_a_replay_writes_its_results_where_it_read_its_inputs(stand_in, monkeypatch, name):
    """Three steps and the one that is captured, in place: the arrays are those after four steps."""
    on, streams = stand_in
    seen, read_arrays = [], gpu_steps.arrays
    monkeypatch.setattr(gpu_steps, "arrays", lambda value: seen.append(read_arrays(value)) or seen[-1])
    step = gpu_steps.replayed_step(on, SMALL, name)
    wanted = ours.prepare(SMALL, name, parallel_layers=True)
    for _ in range(4):
        wanted.step()
    found = [*wanted.weights(), *read_arrays(wanted.state)]
    # network and state, which every step reads and writes; parts of them were seen before
    now = next(those for those in seen if len(those) == len(found))
    for got, right in zip(now, found, strict=True):
        assert_array_equal(got, right)
    step()
    step()
    assert_equal(streams[0].captured, [streams[0]] * 2)


def test_the_fused_kernel_is_the_optimizer():
    rng = np.random.default_rng(0)
    gradient, v, m = (rng.random((3, 2)) for _ in range(3))
    rule = RMSProp("tf1", 0.8, 0.7, 1e-3)
    change, state = rule.update(gradient, {"mean_square": v, "momentum_buffer": m}, 0.3)
    buffer, mean_square = gpu_steps.one_expression(gradient, v, m, rule, 0.3, np)
    # a handful of operations in another order
    assert_allclose(buffer, change, rtol=1e-14)
    assert_allclose(mean_square, state["mean_square"], rtol=1e-14)


def test_the_rest_of_the_lines_for_a_gpu_run_on_the_stand_in(stand_in):
    on, _ = stand_in
    assert_equal(gpu_steps.pool_bytes(on, SMALL, steps=21), (7, 7, 21))
    assert gpu_steps.fused_gain(on, SMALL, rounds=1) > 0
    assert gpu_steps.matrix_rate(on, size=8, rounds=1) > 0


def test_epochs_of_a_comparison_are_counted(tmp_path, monkeypatch):
    for name in ("sgd-seed0", "sgd-seed1", "sgd-clock", "comparison"):
        (tmp_path / f"{name}.json").write_text("{}")
    monkeypatch.setattr(gpu, "read_run", lambda path: {"epochs": [0, 1, 2]})
    assert_equal(gpu.epochs_made(tmp_path), 4)
