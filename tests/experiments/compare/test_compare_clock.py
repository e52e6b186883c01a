"""Seconds and memory of a step: turns, blocks, clock files, the count by formula and the peak."""

import contextlib
import io
import json
import sys
import time
import tracemalloc
from itertools import pairwise
from types import SimpleNamespace

import made_up
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_equal
from small_comparison import everything, logged, plan_of

from locoprop_ref.backend import namespace
from locoprop_ref.data import load
from locoprop_ref.experiments import pool, tuned
from locoprop_ref.experiments.compare import measure, memory, timing
from locoprop_ref.experiments.compare.run import compare
from locoprop_ref.experiments.pool import Finished
from locoprop_ref.training import Examples, build
from locoprop_ref.training.config import resolve


def test_interval_is_the_least_common_multiple(monkeypatch):
    config = resolve(method="locoprop-m")
    assert_equal(timing.interval(config), 1)
    monkeypatch.setattr(
        timing, "as_json", lambda _: {"factor_interval": 4, "inverse_interval": 10, "epochs": 7}
    )
    assert_equal(timing.interval(config), 20)


class Costly:
    """A method whose every fifth step sleeps, as if it inverted something."""

    def __init__(self, name, log):
        self.name, self.log, self.steps = name, log, 0

    def init(self, network, seed):
        return {"layers": ()}

    def step(self, network, state, x, t, *, rate):
        assert rate > 0
        if self.steps % 5 == 0:
            time.sleep(0.02)
        self.steps += 1
        self.log.append(self.name)
        return network, state, {}


def test_the_clock_takes_turns_and_counts_costly_steps_in_their_share(tiny, monkeypatch):
    log, names = [], iter("ab")
    monkeypatch.setattr(timing, "interval", lambda config: 5)
    monkeypatch.setattr(timing, "build_method", lambda config: Costly(next(names), log))
    plan = plan_of(tiny)
    configs = {"a": plan.config("rmsprop", 0), "b": plan.config("locoprop-m", 0)}
    found, failures = timing.in_turn(configs, load(str(tiny)))
    assert_equal(failures, {})
    first, later = 3 + 5, 1 + 5  # steps to warm up, then a block of a whole interval
    turns = [("a", first), ("b", first), ("b", later), ("a", later), ("a", later), ("b", later), ("b", later)]
    assert_equal("".join(log), "".join(name * count for name, count in [*turns, ("a", later)]))
    for step in found.values():
        about = (step["warm_up"], step["steps"], step["interval"], step["steps_per_epoch"])
        assert_equal(about, (3, 20, 5, 3))
        blocks = np.reshape(step["seconds"], (4, 5))
        assert_equal((blocks >= 0.02).sum(axis=1), [1, 1, 1, 1])
        assert_allclose(step["mean"], np.mean(blocks), rtol=1e-12)  # roundings of 20 numbers
        assert_allclose(step["median"], np.median(blocks), rtol=1e-15)
        assert_allclose([step["low"], step["high"]], np.quantile(blocks, [0.025, 0.975]), rtol=1e-12)
        assert_allclose(step["blocks"], blocks.mean(axis=1), rtol=1e-12)
        assert step["median"] < 0.02 / 5 <= step["mean"]  # the median leaves the costly fifth out


def test_an_entry_that_cannot_be_timed_leaves_the_others_theirs(tiny, monkeypatch):
    class Broken(Costly):
        def step(self, *_, **__):
            if len(self.log) > 20:
                raise np.linalg.LinAlgError("not positive definite")
            return super().step(*_, **__)

    log, kinds = [], iter([Costly, Broken])
    monkeypatch.setattr(timing, "build_method", lambda config: next(kinds)("x", log))
    plan = plan_of(tiny)
    configs = {"a": plan.config("rmsprop", 0), "b": plan.config("locoprop-m", 0)}
    found, failures = timing.in_turn(configs, load(str(tiny)))
    assert_equal((len(found["a"]["seconds"]), list(found)), (20, ["a"]))
    assert_equal(failures, {"b": "not positive definite"})


def in_this_process(commands, *, jobs):
    """The process that measures, right here."""
    (command,) = commands
    with contextlib.redirect_stderr(io.StringIO()) as said:
        measure.main(*command.arguments[3:])
    yield Finished(command, 0, tuple(said.getvalue().splitlines()))


def clocks_in(folder):
    return sorted(path.name for path in folder.glob("*-clock.json"))


def test_an_entry_that_cannot_be_measured_leaves_the_others_theirs(tiny, tmp_path, monkeypatch, quick):
    """The step of one fails, the memory of another; the third is measured."""

    class Broken(Costly):
        def step(self, *_, **__):
            raise np.linalg.LinAlgError("not positive\ndefinite")

    def build_method(config):
        return Broken("x", []) if config.optimizer == "sgd" else build.build_method(config)

    def memory_of(config, data):
        if config.optimizer == "nesterov":
            raise MemoryError
        return memory.memory_of(config, data)

    monkeypatch.setattr(timing, "build_method", build_method)
    monkeypatch.setattr(measure, "memory_of", memory_of)
    monkeypatch.setattr(measure, "run_processes", in_this_process)
    failures = compare(plan_of(tiny, ["sgd", "nesterov", "adam"], [0]), tmp_path, progress=False)
    wanted = [
        "sgd could not be measured: not positive definite",
        "nesterov could not be measured: MemoryError",
    ]
    assert_equal(failures, wanted)
    assert_equal(clocks_in(tmp_path), ["adam-clock.json"])
    assert_equal(len(list(tmp_path.glob("*-seed0.json"))), 3)


KILLED = """
import os, signal, sys
from locoprop_ref.experiments.compare import measure
right = measure.memory_of
def memory_of(config, data):
    if config.optimizer == sys.argv[1]:
        os.kill(os.getpid(), signal.SIGKILL)
    return right(config, data)
measure.memory_of = memory_of
measure.main(*sys.argv[2:])
"""
THREE = ("sgd", "nesterov", "adam")


@pytest.mark.full
@pytest.mark.parametrize("victim", THREE)
def test_a_process_that_is_killed_costs_one_entry_its_clock(tiny, tmp_path, monkeypatch, quick, victim):
    """The one whose memory it measured; another process measures those that were to come."""

    def killed(commands, *, jobs):
        words = [sys.executable, "-c", KILLED, victim, *commands[0].arguments[3:]]
        return pool.run_processes([pool.Command("clock", words)], jobs=jobs)

    monkeypatch.setattr(measure, "run_processes", killed)
    failures = compare(plan_of(tiny, THREE, [0]), tmp_path, progress=False)
    assert_equal(failures, [f"{victim} could not be measured: {pool.DIED}"])
    assert_equal(clocks_in(tmp_path), sorted(f"{name}-clock.json" for name in THREE if name != victim))
    assert_equal(len(list(tmp_path.glob("*-seed0.json"))), 3)
    later = THREE[THREE.index(victim) + 1 :]
    for name in {*THREE} - {victim}:
        clock = json.loads((tmp_path / f"{name}-clock.json").read_text())
        assert_equal(clock["together"], list(later if name in later else THREE))


def test_a_process_that_is_killed_while_all_take_turns_costs_all_their_clocks(
    tiny, tmp_path, monkeypatch, quick
):
    ended = iter([-9])
    monkeypatch.setattr(measure, "run_processes", lambda found, jobs: [Finished(found[0], next(ended), ())])
    failures = compare(plan_of(tiny, THREE, [0]), tmp_path, progress=False)
    assert_equal(failures, [f"{name} could not be measured: {pool.DIED}" for name in THREE])
    assert_equal(len(list(tmp_path.glob("*-seed0.json"))), 3)


def test_a_process_that_cannot_measure_says_why(tiny, tmp_path):
    """In one sentence, which is the reason of every entry that it was to measure."""
    made_up.write(tmp_path, {"sgd": [], "adam": []})  # batches of 100
    reason, told = measure._measured(["sgd", "adam"], tmp_path, "this", str(tiny), None)
    assert reason.startswith("batch_size must be at most the 60 examples")
    assert_equal(told, {})


def test_clock_files(tiny, tmp_path, monkeypatch, quick):
    plan = plan_of(tiny, ["adam", "locoprop-s-closed"], [0])
    with logged() as said:
        assert compare(plan, tmp_path, progress=False) == []
    sizes = list(pairwise((9, 6, 3, 6, 9)))
    parameters = sum(d_in * d_out + d_out for d_in, d_out in sizes)
    inputs_and_g, four_of_each_layer = (9 + 6 + 3 + 6) + (6 + 3 + 6 + 9), 9 + 4 * (6 + 3 + 6 + 9)
    for name, buffers, kept_of_one in (
        ("adam", 2, inputs_and_g),
        ("locoprop-s-closed", 0, four_of_each_layer),
    ):
        found = json.loads((tmp_path / f"{name}-clock.json").read_text())
        assert_equal((found["schema"], found["contestant"], len(found["step"]["seconds"])), (1, name, 20))
        assert all(block["threads"] >= 1 for block in found["environment"]["blas"])
        assert found["load"] >= 0
        kept = found["memory"]
        assert_equal((kept["parameters"], kept["parameter_bytes"]), (parameters, 4 * parameters))
        assert_equal(kept["state_bytes"], 4 * buffers * parameters)
        assert_equal(kept["counted_bytes"], 4 * (2 * parameters * (1 + buffers) + 20 * kept_of_one))
        assert kept["peak_bytes"] > kept["counted_bytes"]
        assert_equal(found["together"], ["adam", "locoprop-s-closed"])
    assert sum(" ms a step, state " in line for line in said) == 2
    with monkeypatch.context() as unmeasured:
        unmeasured.setattr(measure, "_measured", lambda *_: pytest.fail("measured again"))
        before = everything(tmp_path)
        compare(plan, tmp_path, progress=False)
    assert_equal(everything(tmp_path) == before, True)


def test_a_clock_of_other_settings_is_measured_again(tiny, tmp_path, quick):
    plan = plan_of(tiny, ["adam", "sgd"], [0])
    compare(plan, tmp_path, progress=False)
    clock = json.loads((tmp_path / "adam-clock.json").read_text())
    other = clock | {"config": clock["config"] | {"batch_size": 30}}
    (tmp_path / "adam-clock.json").write_text(json.dumps(other))
    compare(plan, tmp_path, progress=False)
    again = json.loads((tmp_path / "adam-clock.json").read_text())
    assert_equal((again["config"], again["together"]), (clock["config"], ["adam"]))


PARAMETERS = 10 * 6 + 7 * 3 + 4 * 6 + 7 * 9  # 9-6-3-6-9 with biases
BOTH_SIDES = 2 * (10**2 + 6**2 + 7**2 + 3**2 + 4**2 + 6**2 + 7**2 + 9**2)
INPUT_SIDE = 2 * (10**2 + 7**2 + 4**2 + 7**2)
# arrays as large as the parameters, and Kronecker factors with their inverses or roots
STATES = {
    "sgd": 0, "momentum": PARAMETERS, "nesterov": PARAMETERS, "adagrad": PARAMETERS,
    "rmsprop": 2 * PARAMETERS, "adam": 2 * PARAMETERS, "kfac": BOTH_SIDES + PARAMETERS,
    "foof": INPUT_SIDE + PARAMETERS, "shampoo": BOTH_SIDES + 3 * PARAMETERS,
    "locoprop-s": 2 * PARAMETERS, "locoprop-s-closed": 0, "locoprop-m": 2 * PARAMETERS,
}  # fmt: skip


@pytest.mark.parametrize("entry", tuned.CONTESTANTS)
def test_the_state_is_as_large_as_its_formula(entry, tiny):
    """Shampoo's tuned settings have momentum and RMSProp grafting: three arrays more."""
    config = plan_of(tiny, [entry]).config(entry, 0)
    found = memory.memory_of(config, load(str(tiny)))
    assert_equal(found["state_bytes"], 4 * STATES[entry])
    assert_equal(
        (found["counted"]["parameters"], found["counted"]["state"]), (2 * PARAMETERS, 2 * STATES[entry])
    )


@pytest.mark.parametrize("entry", ["sgd", "adam", "locoprop-s-closed", "locoprop-m"])
@pytest.mark.parametrize("batch_size", [50, 1000])
def test_a_step_takes_no_less_than_the_count(entry, batch_size):
    """With few examples it is mostly parameters, with many mostly what the layers hold of them."""
    layers, most = "90-40-20-40-90", 2 * batch_size
    config = resolve(
        **tuned.CONTESTANTS[entry], data="tiny.npz", layers=layers, batch_size=batch_size, epochs=2
    )
    rng = np.random.default_rng(0)
    x = rng.random((most, 90), dtype=np.float32)
    data = Examples(x, x, x, x, None, None)
    xp = namespace("numpy")
    peak = memory.peak_bytes(lambda: timing.Training(config, data, xp).step, 1, 2, xp)
    state = 2 * memory.parameter_numbers(config) if entry in ("adam", "locoprop-m") else 0
    assert peak >= 4 * sum(memory.counted_numbers(config, state).values())


def test_the_peak_is_that_of_the_largest_counted_step():
    sizes = iter([1 << 22, 1 << 18, 1 << 20, 1 << 16])
    xp = namespace("numpy")

    def prepare():
        kept = np.ones(1 << 17)

        def take():
            return float(np.zeros(next(sizes), np.uint8)[0] + kept[0])

        return take

    peak = memory.peak_bytes(prepare, 1, 3, xp)
    wanted = (1 << 20) + 8 * (1 << 17)
    assert wanted <= peak < 1.02 * wanted  # what Python itself allocates is some kilobytes
    assert not tracemalloc.is_tracing()


def test_on_a_gpu_the_peak_is_what_the_pool_grows_by(monkeypatch):
    """A pool that begins with 700 bytes of data and 300 in reserve; a step takes 50, and gives them back."""

    class Pool:
        used, reserve = 700, 300

        def free_all_blocks(self):
            self.reserve = 0

        def used_bytes(self):
            return self.used

        def total_bytes(self):
            return self.used + self.reserve

    pool = Pool()
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(get_default_memory_pool=lambda: pool))
    monkeypatch.setattr("array_api_compat.is_cupy_array", lambda _: True)

    def prepare():
        pool.used += 20  # the network

        def take():
            pool.reserve = max(pool.reserve, 50)  # what it needs, of the reserve where that is enough

        return take

    assert_equal(memory.peak_bytes(prepare, 1, 3, namespace("numpy")), 70)


def test_other_libraries_have_no_peak():
    class Library:
        __name__ = "torch"

        @staticmethod
        def zeros(n):
            return np.zeros(n)

    assert memory.peak_bytes(lambda: lambda: None, 0, 1, Library()) is None


def test_the_count_of_a_convolution_has_its_rows():
    """By hand: 25·4 + 4 weights of the kernels on 16 positions, then 16·4/4 numbers to 3 outputs.

    BackProp keeps what the layers read and g; LocoProp x, the rows of the kernels and four numbers for each
    output.
    """
    shared = dict(layers="8x8x1-c5x4-p2-3", data="mnist", task="classify", batch_size=10)
    backprop = resolve(method="backprop", optimizer="sgd", **shared)
    locoprop = resolve(method="locoprop-s", **shared)
    for config in (backprop, locoprop):
        assert memory.parameter_numbers(config) == (25 + 1) * 4 + (16 + 1) * 3
    rows, outputs = 16 * 25 + 16, 16 * 4 + 3
    assert memory.counted_numbers(backprop, 0)["batch"] == 10 * (rows + outputs)
    assert memory.counted_numbers(locoprop, 0)["batch"] == 10 * (64 + rows + 4 * outputs)
