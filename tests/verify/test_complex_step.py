"""The complex steps of `verify` against a third program, which goes number by number, and without bias."""

import naive_positions as naive
import numpy as np
import pytest
from numpy.testing import assert_allclose
from positions import BATCH, IMAGE, NETWORKS, of

from locoprop_ref.network import gradients
from locoprop_ref.verify.complex_step import complex_step_gradients, rows_by_definition


def said_by_loops(name, network, x, start):
    """â of the last layer for one example."""
    (W1, b1), (W2, b2), *above = [(layer.W, layer.b) for layer in network.layers]
    if name == "recurrent":
        h = naive.recurrent(x.reshape(10, 6), W1, b1, "tanh", start)
        numbers = naive.recurrent(h, W2, b2, "sigmoid", np.zeros(3))[-1]
    else:
        image = naive.convolve(x.reshape(IMAGE), W1, b1, "tanh", 3, padding=1)
        image = naive.convolve(naive.pooled(image, 2, name), W2, b2, "sigmoid", 2)
        numbers = naive.dense(image.reshape(-1), *above[0], "tanh")
    return naive.dense(numbers, *above[-1], "identity")


@pytest.mark.parametrize("name", NETWORKS)
def test_the_last_rows_are_those_of_loops_over_numbers(numpy_backend, name):
    network, x, _, start = of(name, numpy_backend)
    _, a_hat = rows_by_definition(network, x)[-1]
    wanted = [said_by_loops(name, network, example, start) for example in x]
    assert len(a_hat) == BATCH
    assert_allclose(a_hat, np.real(wanted), rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("bias", [True, False])
def test_the_gradients_are_those_written_by_hand(numpy_backend, name, bias):
    network, x, t, _ = of(name, numpy_backend, bias=bias)
    for by_step, by_hand in zip(complex_step_gradients(network, x, t), gradients(network, x, t), strict=True):
        assert_allclose(by_hand, by_step, rtol=0, atol=1e-13)
