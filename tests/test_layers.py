"""The layer as a part: its rows, W̃ with W and b as views of it, and the way back to the layer below."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from locoprop_ref import METHODS, backward, forward, initialize, locoprop_s, method, transfer
from locoprop_ref.layers import Layer


def test_weights_and_bias_are_views_of_the_stacked_weights():
    stacked = np.arange(12.0).reshape(4, 3)
    layer = Layer(np.ones((3, 3)), np.ones(3), transfer("tanh")).with_stacked(stacked)
    assert layer.stacked is stacked
    assert np.shares_memory(layer.W, stacked)
    assert np.shares_memory(layer.b, stacked)
    assert_array_equal(layer.W, stacked[:3])
    assert_array_equal(layer.b, stacked[3])


def test_without_bias_the_stacked_weights_are_the_weights():
    W = np.ones((3, 2))
    layer = Layer(W, None, transfer("relu"))
    assert layer.stacked is W
    assert layer.augment(W.T) is not None
    assert layer.with_stacked(2 * W).b is None


def test_pulling_back_is_the_adjoint_of_the_linear_part(readonly):
    """⟨rows(y)W, u⟩ = ⟨y, pull_back(u)⟩, to the rounding of sums of 20 products."""
    rng = np.random.default_rng(0)
    layer = Layer(readonly(rng.normal(size=(4, 3))), readonly(np.zeros(3)), transfer("tanh"))
    y, u = rng.normal(size=(5, 4)), rng.normal(size=(5, 3))
    left, right = np.sum(layer.pre_activation(layer.rows(y)) * u), np.sum(y * layer.pull_back(u))
    assert_allclose(left, right, rtol=1e-13)


def test_the_passes_ask_the_layer(monkeypatch):
    """Forward and backward pass go through rows and pull_back: a layer with other rows would be followed."""
    network, x = initialize((3, 4, 2), transfers="tanh"), np.ones((5, 3))
    plain, t = forward(network, x), np.zeros((5, 2))
    monkeypatch.setattr(Layer, "rows", lambda self, y: 2 * y)
    assert_array_equal(forward(network, x).x[0], 2 * plain.x[0])
    monkeypatch.setattr(Layer, "pull_back", lambda self, g, y: 0 * g @ self.W.T)
    assert_array_equal(backward(network, plain, t)[0], np.zeros((5, 4)))


@pytest.mark.parametrize("name", METHODS)
def test_a_step_keeps_the_stacked_weights(name):
    """After a step W and b are views of one array, so that the next step concatenates no weights."""
    # relu below the output for ADMM, a linear output for the squared error as the last layer's matching loss
    network = initialize((3, 4, 2), transfers=("relu", "identity"))
    x, t, ours = np.ones((5, 3)), np.zeros((5, 2)), method(name)
    moved, _, _ = ours.step(network, ours.init(network), x, t)
    for layer in moved.layers:
        assert np.shares_memory(layer.W, layer.stacked)
        assert layer.stacked is layer.stacked


@pytest.mark.parametrize(
    ("W", "error", "words"),
    [
        (np.ones((3, 2)), ValueError, r"W must have shape \(4, 2\), got \(3, 2\)"),
        (np.ones((4, 2), "float32"), TypeError, "W must have the dtype"),
        ([[1.0]], TypeError, r"W must be an array of an array-API library, got list \(numpy.asarray\(W"),
    ],
)
def test_other_stacked_weights_are_refused(W, error, words):
    with pytest.raises(error, match=words):
        Layer(np.ones((3, 2)), np.ones(2), transfer("tanh")).with_stacked(W)


def test_mean_reduction_divides_by_examples():
    """B examples may make more rows; the mean is over the examples."""
    from locoprop_ref import LocalProblem

    x, y, W = np.ones((6, 2)), np.zeros((6, 1)), np.ones((2, 1))
    by_rows = LocalProblem(x, y, transfer("tanh"), W, reduction="mean")
    by_examples = LocalProblem(x, y, transfer("tanh"), W, reduction="mean", num_examples=3)
    assert_allclose(by_examples.gradient(W), 2 * by_rows.gradient(W), rtol=1e-15)
    assert locoprop_s(local_reduction="mean").local_reduction == "mean"
