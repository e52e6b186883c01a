"""Rows in products alone: the same products, the same steps, and no more memory than the limit."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from positions import BATCH, NETWORKS, of

from locoprop_ref.blocks import KeptRows, RowBlocks, Rows, examples_in, whole
from locoprop_ref.layers import Layer
from locoprop_ref.methods.locoprop import LocoProp, locoprop_m, locoprop_s, locoprop_s_closed
from locoprop_ref.network import forward, gradients
from locoprop_ref.optimizers import optimizer
from locoprop_ref.solvers import ClosedForm, Descend, Newton
from locoprop_ref.transfers import transfer
from locoprop_ref.wirings import patches

# sums of at most 90 products of numbers of size one, taken in another order: some hundred roundings of 1e-16
ROUNDING = 1e-13


def blocks_of(network, x, examples):
    """Every convolution of a network as (layer, all of its rows, its rows in blocks, with the ones)."""
    trace, y = forward(network, x), x
    for m, layer in enumerate(network.layers):
        if layer.wiring is not None:
            w = layer.wiring
            blocks = RowBlocks(w.rows, y, w.below, w.positions, w.width, examples)
            yield layer, layer.augment(trace.x[m]), layer.augment(blocks)
        y = trace.y_hat[m]


@pytest.mark.each("examples")
@pytest.mark.parametrize("kind", ["mean", "max"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("examples", [1, 2, BATCH, BATCH + 4])
def test_products_are_those_of_all_rows(backend, kind, bias, examples):
    network, x, _, _ = of(kind, backend, bias=bias)
    rng, seen = np.random.default_rng(0), 0
    for layer, rows, blocks in blocks_of(network, x, examples):
        full = backend.numpy(rows)
        assert blocks.shape == full.shape and blocks.dtype == rows.dtype
        assert_array_equal(backend.numpy(whole(blocks)), full)
        assert whole(rows) is rows
        r = rng.normal(size=(full.shape[0], 3))
        assert_allclose(backend.numpy(blocks.T @ blocks), full.T @ full, rtol=0, atol=ROUNDING)
        assert_allclose(backend.numpy(blocks.T @ backend.asarray(r)), full.T @ r, rtol=0, atol=ROUNDING)
        assert_allclose(
            backend.numpy(blocks @ layer.stacked), full @ backend.numpy(layer.stacked), rtol=0, atol=ROUNDING
        )
        seen += 1
    assert seen == 3  # two convolutions, and the flat reading of the last one


@pytest.mark.each("kind")
@pytest.mark.parametrize("kind", ["mean", "recurrent"])
def test_products_without_a_column_of_ones_are_those_with_it(backend, kind):
    network, x, _, _ = of(kind, backend)
    trace, rng, seen = forward(network, x), np.random.default_rng(0), 0
    for layer, x_m in zip(network.layers, trace.x, strict=True):
        rows = layer.augment(x_m, copy=False)
        full = backend.numpy(layer.augment(x_m))
        if layer.positions == 1:
            assert not isinstance(rows, Rows)
            continue
        assert isinstance(rows, KeptRows) and rows.x is x_m
        assert rows.shape == full.shape and rows.dtype == x_m.dtype
        assert_array_equal(backend.numpy(whole(rows)), full)
        r, W = rng.normal(size=(full.shape[0], 3)), backend.numpy(layer.stacked)
        assert_allclose(backend.numpy(rows.T @ rows), full.T @ full, rtol=0, atol=ROUNDING)
        assert_allclose(backend.numpy(rows.T @ backend.asarray(r)), full.T @ r, rtol=0, atol=ROUNDING)
        assert_allclose(backend.numpy(rows @ layer.stacked), full @ W, rtol=0, atol=ROUNDING)
        seen += 1
    assert seen == 2


def test_a_layer_without_bias_has_its_rows_as_they_are(numpy_backend):
    network, x, _, _ = of("mean", numpy_backend, bias=False)
    rows = forward(network, x).x[0]
    assert network.layers[0].augment(rows, copy=False) is rows


def test_the_last_block_holds_what_is_left(numpy_backend):
    network, x, _, _ = of("mean", numpy_backend)
    layer, _, blocks = next(blocks_of(network, x, 2))
    parts = list(blocks.parts())
    assert [(part.start, part.stop) for part, _ in parts] == [(0, 2), (2, 3)]
    assert [rows.shape[0] // layer.positions for _, rows in parts] == [2, 1]


MADE = {
    "closed": lambda **more: locoprop_s_closed(target_step=3.0, **more),
    "minimum norm": lambda **more: locoprop_s_closed(target_step=0.01, weight_step=float("inf"), **more),
    "dual": lambda **more: locoprop_s_closed("dual", target_step=3.0, **more),
    "mean": lambda **more: locoprop_s_closed(target_step=3.0, local_reduction="mean", **more),
    "s": lambda **more: locoprop_s(Descend(optimizer("sgd"), 2e-3), **more),
    "s, gram": lambda **more: locoprop_s(Descend(optimizer("sgd"), 2e-3, gradient_form="gram"), **more),
    "m": lambda **more: locoprop_m(Descend(optimizer("rmsprop"), 2e-3), **more),
    "m, proximal": lambda **more: locoprop_m(Descend(optimizer("sgd"), 2e-3), weight_step=0.1, **more),
    "gauss-seidel": lambda **more: locoprop_s_closed(target_step=3.0, target_order="gauss-seidel", **more),
    "diagnosed": lambda **more: locoprop_m(Descend(optimizer("sgd"), 2e-3), diagnose=True, **more),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("made", MADE)
def test_a_step_in_blocks_is_the_step(numpy_backend, name, made):
    """With a limit of one byte every convolution is read example by example."""
    network, x, t, _ = of(name, numpy_backend)
    moved = []
    for limit in (None, 1):
        ours, net = MADE[made](memory_limit=limit), network
        state = ours.init(net)
        for rate in (1.0, 0.5, 0.25):  # as a schedule has it
            net, state, info = ours.step(net, state, x, t, rate=rate)
        moved.append((net, info))
    # three steps of size one, each solving with a matrix whose condition is below 1e3
    for one, other in zip(*(net.layers for net, _ in moved), strict=True):
        assert_allclose(other.stacked, one.stacked, rtol=0, atol=1e-10)
    for one, other in zip(*(info.get("layers", []) for _, info in moved), strict=True):
        assert_allclose(list(other.values()), list(one.values()), rtol=1e-8)


@pytest.mark.parametrize("name", ["mean", "recurrent"])
def test_a_step_in_blocks_on_every_library(backend, name):
    network, x, t, _ = of(name, backend)
    moved = []
    for limit in (None, 1):
        ours = locoprop_s_closed(target_step=3.0, memory_limit=limit, parallel_layers=False)
        moved.append(ours.step(network, ours.init(network), x, t)[0])
    for one, other in zip(*(net.layers for net in moved), strict=True):
        assert_allclose(backend.numpy(other.stacked), backend.numpy(one.stacked), rtol=0, atol=1e-10)


def kinds(network, x, limit):
    return [isinstance(rows, RowBlocks) for rows in forward(network, x, limit).x]


def test_the_limit_decides_which_layers_are_in_blocks(numpy_backend):
    """Dense layers and recurrent ones keep their rows; a convolution does while they fit."""
    network, x, _, _ = of("mean", numpy_backend)
    assert kinds(network, x, None) == [False] * 4
    assert kinds(network, x, 1) == [True, True, True, False]
    first, second = (BATCH * positions * width * 8 for positions, width in ((30, 18), (2, 12)))
    assert kinds(network, x, first) == [False] * 4
    assert kinds(network, x, first - 1) == [True, False, False, False]
    assert kinds(network, x, second) == [True, False, False, False]
    assert kinds(network, x, second - 1) == [True, True, False, False]
    network, x, _, _ = of("recurrent", numpy_backend)
    assert kinds(network, x, 1) == [False, False, True]
    assert network.layers[0].row_blocks(x, 1) is None


@pytest.mark.parametrize("order", ["jacobi", "gauss-seidel"])
@pytest.mark.parametrize(
    ("limit", "wanted"),
    [
        (1, [RowBlocks, RowBlocks, RowBlocks, np.ndarray]),
        (None, [KeptRows, KeptRows, np.ndarray, np.ndarray]),
    ],
)
def test_the_solvers_get_blocks(numpy_backend, monkeypatch, order, limit, wanted):
    network, x, t, _ = of("mean", numpy_backend)
    right, seen = ClosedForm.__call__, []

    def noted(self, problem, state, rate):
        seen.append(type(problem.x))
        return right(self, problem, state, rate)

    monkeypatch.setattr(ClosedForm, "__call__", noted)
    ours = locoprop_s_closed(memory_limit=limit, target_order=order, parallel_layers=False)
    ours.step(network, ours.init(network), x, t)
    assert seen == wanted


def test_gradients_are_those_of_the_whole_whatever_the_limit(numpy_backend):
    network, x, t, _ = of("max", numpy_backend)
    for limit in (1, 10_000):
        one, other = forward(network, x), forward(network, x, limit)
        for a, b in zip(one.a_hat, other.a_hat, strict=True):
            assert_allclose(b, a, rtol=0, atol=ROUNDING)
    assert len(gradients(network, x, t)) == 4


class Looks:
    """A solver of one's own, which reads the rows as an array."""

    def __init__(self):
        self.rows = []

    def init(self, W0):
        return {}

    def __call__(self, problem, state, rate):
        self.rows.append(np.max(np.abs(problem.x)))
        return problem.W0, state, {}


def test_newton_and_parts_of_ones_own_get_arrays(numpy_backend):
    network, x, t, _ = of("mean", numpy_backend)
    looks = Looks()
    own = LocoProp("matching", solver=looks, memory_limit=1, parallel_layers=False)
    own.step(network, own.init(network), x, t)
    assert len(looks.rows) == 4
    exact = LocoProp("matching", target_step=0.5, weight_step=0.1, solver=Newton(), memory_limit=1)
    same = replace(exact, memory_limit=None)
    moved = [ours.step(network, ours.init(network), x, t)[0] for ours in (exact, same)]
    for one, other in zip(*(net.layers for net in moved), strict=True):
        assert_array_equal(one.stacked, other.stacked)


def test_memory_stays_within_the_limit():
    """A 5×5 kernel on 12 images of 40×40: 3.7 MB of rows, made within 1 MB and what is read and returned."""
    rng, limit = np.random.default_rng(0), 2**20
    layer = Layer(
        rng.normal(size=(25, 3)).astype(np.float32), np.zeros(3, np.float32), transfer("tanh"),
        patches((1, 40, 40), 5, padding=2),
    )  # fmt: skip
    y = rng.random((12, 1600), dtype=np.float32)
    layer.rows(y)  # makes the tables
    peaks = {}
    for name, how in {"whole": None, "blocks": limit}.items():
        tracemalloc.start()
        x = layer.augment(layer.through(y, how)[0])
        _ = x.T @ x
        peaks[name] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    rows = 12 * 1600 * 26 * 4
    assert peaks["whole"] > rows > 1.8 * limit
    # yᵀ with its row of zeros, â and ŷ, and some kilobytes of Python's own
    others = 2 * y.nbytes + 3 * (12 * 1600 * 3 * 4)
    assert peaks["blocks"] < limit + others


def test_examples_in():
    assert examples_in(2 * 7 * 5 * 8 * 3, 7, 5, 8) == 3
    assert examples_in(2 * 7 * 5 * 8 * 3 - 1, 7, 5, 8) == 2
    assert examples_in(1, 7, 5, 8) == 1


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (0, ValueError, "memory_limit must be an integer of at least 1, got 0"),
        (True, TypeError, "memory_limit must be an integer, got True"),
        ("1GB", TypeError, "memory_limit must be an integer, got '1GB'"),
    ],
)
def test_bad_limits(value, error, words):
    with pytest.raises(error, match=words):
        LocoProp("squared", solver=ClosedForm(), memory_limit=value)


def test_the_limit_is_kept_as_a_plain_integer():
    assert type(locoprop_s(memory_limit=np.int64(4096)).memory_limit) is int
