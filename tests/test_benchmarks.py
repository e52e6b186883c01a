"""The benchmarks compare equals: every peer takes the same step, and the floor makes exactly its products."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import binom

from benchmarks import profile
from benchmarks.compare import slower
from benchmarks.measure import Median, interleave, median, ratio
from benchmarks.memory import STATE, counted_bytes, peak_bytes
from benchmarks.peers import PEERS, ours
from benchmarks.problem import METHODS, Problem, from_dict, images, network, scale, to_dict
from benchmarks.results import FOLDER, faster_floor, read, save, shares
from benchmarks.scaling import exponent, multiplications
from benchmarks.table import Bound
from benchmarks.worker import Worker
from locoprop_ref import forward

REPOSITORY = Path(__file__).resolve().parent.parent
# layers on both sides of B = d̃ (primal and dual), and large steps, so that a wrong one shows
SMALL = Problem(hidden=(20, 12, 3, 12, 20), pixels=15, batch=18, dtype="float64", local_lr=1e-3)


def after_three_steps(run):
    for _ in range(3):
        run.step()
    return run.weights()


def start(problem=SMALL):
    return [array for layer in network(problem).layers for array in (layer.W, layer.b)]


def open_peer(peer):
    library = PEERS[peer].library
    if find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    if library == "jax":
        import jax

        return jax.enable_x64(True)
    return np.errstate()


# ------------------------------ the same step


@pytest.mark.parametrize(
    ("peer", "method"),
    [
        pytest.param(name, method, marks=[pytest.mark.full] if peer.library != "numpy" else [])
        for name, peer in PEERS.items()
        for method in peer.methods
        if name not in ("ours", "pypi", "floor-blas", "floor-layers")
    ],
)
def test_every_peer_takes_the_same_step(peer, method):
    with open_peer(peer):
        theirs = after_three_steps(PEERS[peer].prepare(SMALL, method))
    own = after_three_steps(PEERS["ours"].prepare(SMALL, method))
    for got, wanted, before in zip(theirs, own, start(), strict=True):
        assert got.dtype == np.float64
        # three steps of K updates in another order of additions; the closed form's condition is below 100
        moved = np.max(np.abs(wanted - before))
        assert_allclose(got, wanted, rtol=0, atol=1e-11 * moved + 1e-15)


@pytest.mark.full
def test_the_pypi_package_takes_our_step_with_its_own_two_settings():
    with open_peer("pypi"):
        theirs = after_three_steps(PEERS["pypi"].prepare(SMALL, "locoprop-m"))
    how = ours.method_of(SMALL, "locoprop-m", dialect="torch", local_reduction="mean")
    own = after_three_steps(ours.Run(SMALL, how))
    for got, wanted, before in zip(theirs, own, start(), strict=True):
        moved = np.max(np.abs(wanted - before))  # as above
        assert_allclose(got, wanted, rtol=0, atol=1e-11 * moved + 1e-15)


# ------------------------------ the floor


class Counted(np.ndarray):
    """An array that notes the shape of every matrix product it takes part in."""

    __module__ = "numpy"  # to the package it is NumPy's own
    seen: list = []  # noqa: RUF012 - shared by all on purpose

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **kwargs):
        plain = [a.view(np.ndarray) if isinstance(a, Counted) else a for a in inputs]
        if ufunc is np.matmul:
            self.seen.append((plain[0].shape[0], *plain[1].shape))
        if out is not None:
            kwargs["out"] = tuple(a.view(np.ndarray) if isinstance(a, Counted) else a for a in out)
        result = getattr(ufunc, method)(*plain, **kwargs)
        return result.view(Counted) if isinstance(result, np.ndarray) else result

    def __array_function__(self, function, types, args, kwargs):
        result = super().__array_function__(function, types, args, kwargs)
        return result.view(Counted) if isinstance(result, np.ndarray) else result


def products_of(monkeypatch, action):
    """Return the shapes (n, k, m) of the matrix products that an action makes, sorted."""
    monkeypatch.setattr(Counted, "seen", [])
    action()
    return sorted(Counted.seen)


@pytest.mark.parametrize("hidden", [SMALL.hidden, (6, 4, 2, 4, 6)])
@pytest.mark.parametrize("method", METHODS)
def test_the_floor_makes_exactly_the_products_of_the_step(monkeypatch, method, hidden):
    problem = from_dict({**to_dict(SMALL), "hidden": hidden})
    run = PEERS["ours-in-order"].prepare(problem, method)
    run.x = run.x.view(Counted)
    needed = products_of(monkeypatch, run.step)

    made = []
    matmul = np.matmul
    monkeypatch.setattr(
        np, "matmul", lambda A, B, **how: made.append((len(A), *B.shape)) or matmul(A, B, **how)
    )
    floor = PEERS["floor-blas"].prepare(problem, method)
    made.clear()
    floor.step()
    assert len(needed) > 2 * len(network(problem).layers)
    assert sorted(made) == needed


@pytest.mark.parametrize("method", ["locoprop-m", "backprop-sgd"])
def test_multiplications_are_those_of_the_products(monkeypatch, method):
    run = PEERS["ours-in-order"].prepare(SMALL, method)
    run.x = run.x.view(Counted)
    needed = products_of(monkeypatch, run.step)
    gram = (13, 18, 13)  # X̃ᵀX̃ of the linear code layer, of which BLAS computes half
    wanted = sum(n * k * m / (2 if (n, k, m) == gram else 1) for n, k, m in needed)
    assert multiplications(SMALL, method) == wanted


def test_the_floor_is_the_faster_of_two_and_shares_are_taken_within_a_round():
    times = {"ours": [2.0, 4.0, 8.0], "floor-blas": [1.0, 2.0, 6.0], "floor-layers": [1.5, 1.0, 4.0]}
    assert faster_floor(times) == "floor-layers"
    found = shares(times)
    assert found["ours"].median == 0.5
    assert found["floor-layers"] == Median(1.0, 1.0, 1.0, 3)
    assert ratio([1.0, 9.0], [2.0, 3.0]) == Median(1.75, 0.5, 3.0, 2)


# ------------------------------ sizes and memory


def test_scaled_problems():
    assert Problem().layer_sizes == (784, 1000, 500, 250, 30, 250, 500, 1000, 784)
    assert Problem().transfers == ("tanh",) * 3 + ("identity",) + ("tanh",) * 3 + ("sigmoid",)
    assert scale(Problem(), width=2).hidden == (2000, 1000, 500, 60, 500, 1000, 2000)
    deep = scale(Problem(), depth=4)
    assert deep.hidden == (1000, 500, 500, 500, 500, 250, 30, 250, 500, 500, 500, 500, 1000)
    assert deep.transfers[deep.hidden.index(30)] == "identity"
    assert scale(Problem(), batch=10).batch == 10
    assert from_dict(json.loads(json.dumps(to_dict(deep)))) == deep


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_counted_bytes_are_those_of_the_arrays(method, dtype):
    problem = from_dict({**to_dict(SMALL), "dtype": dtype})
    net = network(problem)
    trace = forward(net, images(problem))
    parameters = sum(layer.stacked.nbytes for layer in net.layers)
    outputs = sum(a.nbytes for a in trace.a_hat)
    each = 3 if method.startswith("backprop") else 4  # â, ŷ, g, and y* where there is one
    wanted = 2 * parameters * (1 + STATE[method]) + sum(x.nbytes for x in trace.x) + each * outputs
    assert counted_bytes(problem, method) == wanted
    state = PEERS["ours"].prepare(problem, method).state["layers"]
    assert STATE[method] == len(state[0].get("solver", state[0]))


def test_peak_memory_is_within_its_bound():
    problem = Problem(hidden=(300, 150, 20, 150, 300), pixels=200, batch=300)
    for method in METHODS:
        peak, count = peak_bytes(problem, method), counted_bytes(problem, method)
        assert 0.5 * count < peak < 1.5 * count


def test_exponent_of_a_power():
    # exact but for the rounding of logarithms
    assert_allclose(exponent([1, 2, 4], [3.0, 3.0 * 2**1.5, 24.0]), 1.5, rtol=1e-12)


# ------------------------------ statistics, bounds, comparison


@pytest.mark.parametrize("n", [6, 9, 20, 21, 50])
def test_the_interval_holds_the_median_with_its_probability(n):
    found = median([float(i) for i in range(n)])
    below = int(found.low)  # so many values lie below the interval, as many above it
    assert found.high == n - 1 - below
    assert 1 - 2 * binom.cdf(below, n, 0.5) >= 0.95
    assert 1 - 2 * binom.cdf(below + 1, n, 0.5) < 0.95
    assert found.median == (n - 1) / 2


def test_bounds_say_whether_they_are_kept():
    assert Bound("a", 1.0, 1.0).kept
    assert not Bound("a", 1.01, 1.0).kept
    assert Bound("a", 0.8, 0.75, at_least=True).kept
    assert not Bound("a", 0.7, 0.75, at_least=True).kept
    assert str(Bound("share", 0.7, 0.75, 0.85, at_least=True)) == "  MISSED  share: 0.700 ≥ 0.75 (goal 0.85)"


def test_slower_means_more_than_a_tenth_and_more_than_the_noise():
    before = Median(0.9, 0.85, 0.95, 20)
    assert slower(before, Median(0.7, 0.65, 0.75, 20))
    assert not slower(before, Median(0.7, 0.5, 0.9, 20))  # noise
    assert not slower(before, Median(0.82, 0.81, 0.83, 20))  # less than a tenth
    assert not slower(before, Median(0.99, 0.98, 1.0, 20))


def test_results_are_saved_and_read_back(tmp_path, capsys):
    save("table", {"a": [1.5]}, "a text", tmp_path)
    assert capsys.readouterr().out == "a text\n"
    assert read(tmp_path / "table.json")["a"] == [1.5]
    assert (tmp_path / "table.txt").read_text(encoding="utf-8") == "a text\n"
    (tmp_path / "other.json").write_text('{"schema": 99}', encoding="utf-8")
    for name, message in [("none.json", "cannot be read"), ("other.json", "schema 1")]:
        with pytest.raises(ValueError, match=message):
            read(tmp_path / name)


def run_benchmarks(*arguments):
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)


def test_a_missing_baseline_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    done = run_benchmarks("compare", "--baseline", str(tmp_path / "none.json"))
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "must be a saved result" in done.stderr


def test_rounds_are_checked():
    done = run_benchmarks("table", "--rounds", "0")
    assert done.returncode == 2
    assert "--rounds must be at least 1, got 0" in done.stderr


@pytest.mark.parametrize("method", METHODS)
def test_a_profile_has_every_layer_and_the_products_of_each(method):
    parts, products = profile.step_parts(SMALL, method), profile.product_parts(SMALL, method)
    assert products.keys() <= parts.keys()
    assert {name for name in parts if name.startswith("layer")} <= products.keys()
    for part in (*parts.values(), *products.values()):
        part()


# ------------------------------ a process of its own


def test_a_worker_measures_without_blas_variables(monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with Worker("ours") as worker:
        found = worker.prepare(SMALL, "locoprop-m")
        assert found["variables"] == {}
        assert {"locoprop-ref", "versions", "blas"} <= found.keys()
        assert worker.measure(0.0) > 0
        with pytest.raises(RuntimeError, match="ended"):
            worker.prepare(SMALL, "no-such-method")


def test_a_budget_that_is_spent_leaves_three_rounds():
    runs = {"ours": ("ours", SMALL, "backprop-sgd")}
    times, _ = interleave(runs, rounds=9, seconds=0.0, budget=0.0)
    assert len(times["ours"]) == 3
    times, _ = interleave(runs, rounds=2, seconds=0.0, budget=0.0)
    assert len(times["ours"]) == 2


def test_the_batch_is_the_same_for_all_and_in_its_range():
    x = images(SMALL)
    assert x.shape == (18, 15)
    assert x.dtype == np.float64
    assert_array_equal(x, images(SMALL))
    assert 0 <= x.min() < x.max() < 1


# ------------------------------ what docs/speed.md says


def test_the_speed_page_has_the_numbers_of_the_saved_table():
    table = read(FOLDER / "table.json")
    labels = {
        "locoprop-m": "LocoProp-M, K = 10", "locoprop-s": "LocoProp-S, K = 10",
        "locoprop-s-closed": "LocoProp-S, closed form",
        "backprop-rmsprop": "BackProp, RMSProp", "backprop-sgd": "BackProp, SGD",
    }  # fmt: skip
    lines = (FOLDER.parent.parent / "docs" / "speed.md").read_text(encoding="utf-8").splitlines()
    for method, label in labels.items():
        (line,) = (line for line in lines if line.startswith(f"| {label} |"))
        found = table["methods"][method]
        peers = [found["peers"].get(name) for name in ("ours", "jax", "torch", "pypi", found["floor"])]
        cells = ["–" if peer is None else f"{1e3 * peer['seconds']['median']:.0f}" for peer in peers]
        share = found["peers"]["ours"]["share_of_floor"]["median"]
        assert line.split(" | ")[1:] == [*cells, f"{100 * share:.0f} % |"], method


def test_the_saved_tables_are_whole():
    """What the text beside each result says is what its numbers say; the baseline is a table."""
    for name in ("table", "baseline"):
        assert set(read(FOLDER / f"{name}.json")["methods"]) == set(METHODS)
    text = (FOLDER / "table.txt").read_text(encoding="utf-8")
    for bound in read(FOLDER / "table.json")["bounds"]:
        (line,) = (line for line in text.splitlines() if bound["what"] + ":" in line)
        assert ("kept" in line) == bound["kept"]
