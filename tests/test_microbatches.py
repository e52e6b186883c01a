"""The gradient from blocks of examples: against the whole batch, and the steps that use it."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from locoprop_ref.methods.backprop import BackProp, backprop
from locoprop_ref.microbatches import gradients_in_microbatches, microbatches_that_pay
from locoprop_ref.network import gradients, initialize

WORDS = ("5-4-3", "6x5x2-c3x4+1-m2-c2x3-5-3", "4x3-r4-3")


def draw(backend, words, dtype="float64", B=7):
    network = initialize(words, transfers="tanh", seed=3, dtype=dtype, xp=backend.xp, device=backend.device)
    rng = np.random.default_rng(4)
    arrays = (rng.standard_normal((B, n)) for n in (network.layers[0].inputs, 3))
    return network, *(backend.asarray(array, dtype=dtype) for array in arrays)


def close(backend, got, wanted, dtype):
    # sums of 7·30 products at most, in another order
    for one, other in zip(got, wanted, strict=True):
        one, other = backend.numpy(one), backend.numpy(other)
        assert one.dtype == np.dtype(dtype)
        assert np.max(np.abs(one - other)) <= 50 * np.finfo(dtype).eps * np.max(np.abs(other))


@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize("blocks", [1, 3, 7])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_blocks_add_up_to_the_batch(backend, words, blocks, dtype):
    network, x, t = draw(backend, words, dtype)
    close(backend, gradients_in_microbatches(network, x, t, blocks), gradients(network, x, t), dtype)


def test_threads_change_no_bit(monkeypatch):
    network = initialize("28x28x1-c5x6+2-p2-c5x4-10", transfers="tanh", dtype="float32")
    rng = np.random.default_rng(5)
    x, t = (rng.random((30, n), dtype="float32") for n in (784, 10))
    together = gradients_in_microbatches(network, x, t, 3)
    from threadpoolctl import threadpool_limits

    monkeypatch.setattr("locoprop_ref.parallel.WORTH_THREADS", np.inf)  # in order
    with threadpool_limits(1, user_api="blas"):
        in_order = gradients_in_microbatches(network, x, t, 3)
    for one, other in zip(together, in_order, strict=True):
        assert_array_equal(one, other)


def test_a_batch_is_cut_where_that_pays():
    lenet = initialize("28x28x1-c5x6+2-p2-c5x16-p2-120-84-10", transfers="tanh")
    rows = 784 * 25 + 100 * 150 + 400 + 120 + 84
    for B in (1, 50, 100, 1000):
        assert microbatches_that_pay(lenet, B) == max(1, round(B * rows / 2**21))
    assert (
        microbatches_that_pay(lenet, 3, rows_of_a_block=1) == 2
    )  # a block holds as many rows as weights, 61,706
    assert microbatches_that_pay(initialize("784-1000-10", transfers="tanh"), 10**6) == 1
    assert microbatches_that_pay(initialize("28x28-r64-10", transfers="tanh"), 10**6) == 1


@pytest.mark.parametrize("clip", [np.inf, 1e-6])
def test_a_step_from_blocks_is_the_step_of_the_batch(monkeypatch, clip):
    from backends import OPEN

    backend = OPEN["numpy"]()
    network, x, t = draw(backend, WORDS[1])
    rule = BackProp(backprop("adam").optimizer, 0.1, clip=clip)
    moved = {}
    for blocks in (1, 4):
        monkeypatch.setattr("locoprop_ref.methods.gradient.microbatches_that_pay", lambda *_, n=blocks: n)
        after, state, _ = rule.step(network, rule.init(network), x, t)
        moved[blocks] = [layer.stacked for layer in after.layers] + [
            entry["mean"] for entry in state["layers"]
        ]
    close(backend, moved[4], moved[1], "float64")


def test_bad_arguments_get_a_sentence():
    network = initialize(WORDS[1], transfers="tanh")
    x, t = np.ones((4, 60)), np.ones((4, 3))
    with pytest.raises(ValueError, match="blocks must be at most the 4 examples of x, got 5"):
        gradients_in_microbatches(network, x, t, 5)
    with pytest.raises(ValueError, match="blocks must be"):
        gradients_in_microbatches(network, x, t, 0)
    with pytest.raises(ValueError, match="t must have shape"):
        gradients_in_microbatches(network, x, np.ones((5, 3)), 2)
    with pytest.raises(ValueError, match="x must have shape"):
        gradients_in_microbatches(network, x[:, 1:], t, 2)
