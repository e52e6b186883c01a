"""The benchmarks of networks with positions: every peer takes the same step, and the floor its products."""

from dataclasses import asdict

import numpy as np
import pytest
from numpy.testing import assert_allclose
from test_benchmarks import Counted, after_three_steps, products_of

from benchmarks import layers, wired_floor
from benchmarks.measure import Median
from benchmarks.peers import WIRED_PEERS
from benchmarks.results import FOLDER, read, save
from benchmarks.wired import WIRED_METHODS, WiredProblem, batch_of, network
from locoprop_ref import forward
from locoprop_ref.methods import gradient

# layers on both sides of R = d̃ (primal and dual), padding, pooling, and more than one channel below
LENET = WiredProblem("8x8x2-c3x3+1-p2-c2x4-5-3", batch=9, dtype="float64")
RECURRENT = WiredProblem("5x4-r6-3", batch=9, dtype="float64")
CASES = [(LENET, method) for method in WIRED_METHODS] + [(RECURRENT, method) for method in WIRED_METHODS[:2]]


@pytest.mark.full
@pytest.mark.parametrize(("problem", "method"), CASES)
@pytest.mark.parametrize("peer", ["wired-jax", "wired-torch"])
def test_every_peer_takes_the_same_step(peer, problem, method):
    library = pytest.importorskip(WIRED_PEERS[peer].library)
    with library.enable_x64(True) if library.__name__ == "jax" else np.errstate():
        theirs = after_three_steps(WIRED_PEERS[peer].prepare(problem, method))
    own = after_three_steps(WIRED_PEERS["wired-ours"].prepare(problem, method))
    start = [array for layer in network(problem).layers for array in (layer.W, layer.b)]
    for got, wanted, before in zip(theirs, own, start, strict=True):
        assert got.dtype == np.float64
        # three steps of K updates in another order of additions; the closed form's condition is below 100
        moved = np.max(np.abs(wanted - before))
        assert_allclose(got, wanted, rtol=0, atol=1e-11 * moved + 1e-15)


@pytest.mark.parametrize("blocks", [1, 3])
@pytest.mark.parametrize(("problem", "method"), CASES)
@pytest.mark.parametrize("peer", ["wired-floor-blas", "wired-floor-side-by-side"])
def test_the_floor_makes_exactly_the_products_of_the_step(monkeypatch, peer, problem, method, blocks):
    for module in (gradient, wired_floor):
        monkeypatch.setattr(module, "microbatches_that_pay", lambda *_: blocks)
    run = WIRED_PEERS["wired-ours"].prepare(problem, method)
    run.x = run.x.view(Counted)
    # the first product of a recurrent layer is of its weights and zeros alone
    counted = [layer.with_stacked(layer.stacked.view(Counted)) for layer in run.network.layers]
    run.network = type(run.network)(tuple(counted), run.network.loss)
    needed = products_of(monkeypatch, run.step)

    made = []
    matmul = np.matmul
    monkeypatch.setattr(
        np, "matmul", lambda A, B, **how: made.append((len(A), *B.shape)) or matmul(A, B, **how)
    )
    floor = WIRED_PEERS[peer].prepare(problem, method)
    made.clear()
    floor.step()
    assert len(needed) > 2 * len(network(problem).layers)
    assert sorted(made) == needed


@pytest.mark.parametrize(("problem", "method"), CASES)
def test_counted_bytes_are_those_of_the_arrays(problem, method):
    net, (x, _) = network(problem), batch_of(problem)
    trace = forward(net, x)
    parameters = sum(layer.stacked.nbytes for layer in net.layers)
    rows = [a.nbytes for a, layer in zip(trace.x, net.layers, strict=True) if layer.wiring is not None]
    if problem is RECURRENT:  # each row ends with the state before, which the count has once more
        assert trace.x[0].shape == (45, 10)
    each = 3 if method == "backprop-adam" else 4  # â, ŷ, g, and y* where there is one
    outputs = each * sum(a.nbytes for a in trace.a_hat)
    states = 2 * parameters * (1 + layers.STATE[method])
    assert layers.counted_bytes(problem, method) == states + x.nbytes + sum(rows) + outputs


def test_peak_memory_of_adam_is_within_its_bound():
    problem = WiredProblem("20x20x1-c5x6+2-p2-c5x8-p2-30-10", batch=100)
    peak, count = (of(problem, "backprop-adam") for of in (layers.peak_bytes, layers.counted_bytes))
    assert 0.2 * count < peak < 1.5 * count


def test_the_table_compares_methods_and_libraries_within_a_round():
    floors = {"wired-floor-blas": [1.0, 1.0, 1.0], "wired-floor-side-by-side": [0.5, 0.5, 2.0]}
    times = {
        "backprop-adam": {"wired-ours": [2.0, 4.0, 6.0], "wired-torch": [1.0, 4.0, 12.0], **floors},
        "locoprop-s-closed": {"wired-ours": [3.0, 4.0, 18.0], "wired-torch": [1.0, 1.0, 1.0], **floors},
    }
    found = layers.summary(times)
    assert found["backprop-adam"]["floor"] == "wired-floor-side-by-side"
    row = found["backprop-adam"]["peers"]["wired-torch"]
    assert Median(**row["ours_over_this"]) == Median(1.0, 0.5, 2.0, 3)
    assert found["locoprop-s-closed"]["ours_over_our_adam"]["median"] == 1.5
    memory = {"backprop-adam": {"ratio": 1.6}}
    kept = layers.bounds({"LeNet-5, batch 100": {"methods": found, "memory": memory}})
    assert [(bound.measured, bound.bound, bound.kept) for bound in kept] == [
        (1.0, 1.5, True), (1.5, 2.0, True), (1.6, 1.5, False),
    ]  # fmt: skip


@pytest.mark.full
def test_a_table_is_saved_whole(monkeypatch, tmp_path, capsys):
    """What the text beside the result says is what its numbers say."""
    monkeypatch.setattr(layers, "save", lambda *parts: save(*parts, tmp_path))
    ours_and_floors = {name: peer for name, peer in WIRED_PEERS.items() if peer.library == "numpy"}
    monkeypatch.setattr(layers, "WIRED_PEERS", ours_and_floors)
    case = "LeNet-5, batch 9"
    layers.run(rounds=1, seconds=0.0, cases={case: (LENET, WIRED_METHODS)})
    result = read(tmp_path / "layers.json")
    assert result["cases"][case]["problem"]["words"] == LENET.words
    assert set(result["cases"][case]["methods"]) == set(WIRED_METHODS)
    text = (tmp_path / "layers.txt").read_text(encoding="utf-8")
    assert capsys.readouterr().out == text
    assert len(result["bounds"]) == 4
    for bound in result["bounds"]:
        (line,) = (line for line in text.splitlines() if bound["what"] + ":" in line)
        assert ("kept" in line) == bound["kept"]


def test_the_speed_page_and_the_text_have_the_numbers_of_the_saved_table():
    saved = read(FOLDER / "layers.json")
    labels = {
        "backprop-adam": "BackProp, Adam", "locoprop-s-closed": "LocoProp-S, closed form",
        "locoprop-m": "LocoProp-M, K = 10",
    }  # fmt: skip
    lines = (FOLDER.parent.parent / "docs" / "speed.md").read_text(encoding="utf-8").splitlines()
    for name, case in saved["cases"].items():
        for method, found in case["methods"].items():
            (line,) = (line for line in lines if line.startswith(f"| {name}: {labels[method]} |"))
            peers = ("wired-ours", "wired-jax", "wired-torch", found["floor"])
            cells = [f"{1e3 * found['peers'][peer]['seconds']['median']:.1f}" for peer in peers]
            assert line.split(" | ")[1:] == [*cells[:-1], cells[-1] + " |"], (name, method)
    text = (FOLDER / "layers.txt").read_text(encoding="utf-8")
    again = [asdict(bound) for bound in layers.bounds(saved["cases"])]
    for bound, other in zip(saved["bounds"], again, strict=True):
        assert {key: bound[key] for key in ("what", "measured", "bound")}.items() <= other.items()
    for bound in saved["bounds"]:
        (line,) = (line for line in text.splitlines() if bound["what"] + ":" in line)
        assert ("kept" in line) == bound["kept"]
