"""Networks: forward and backward pass against loops, full Jacobians and differences in 50 digits."""

import bridge
import high_precision_losses
import hypothesis
import naive
import numpy as np
import pytest
from bridge import (
    CASES,
    assert_close,
    draw,
    every_case,
    every_dtype,
    lists,
    naive_layers,
    with_and_without_bias,
)
from hundred_lines import page
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from locoprop_ref.layers import Layer
from locoprop_ref.losses import output_loss
from locoprop_ref.network import Network, backward, forward, gradients, initialize, network_loss, predict
from locoprop_ref.transfers import transfer

# forward and backward -----------------------------------------------------------------------------


@every_case
@with_and_without_bias
@every_dtype
def test_forward_and_backward_agree_with_loops(backend, case, bias, dtype):
    network, x, t = draw(backend, case, bias=bias, dtype=dtype)
    layers = naive_layers(backend, network)
    trace, wanted = forward(network, x), naive.forward(layers, lists(backend, x))
    for got, expected in zip((trace.x, trace.a_hat, trace.y_hat), wanted, strict=True):
        for array, rows in zip(got, expected, strict=True):
            assert_close(backend, array, rows, dtype=dtype)
    gs = naive.backward(layers, wanted, lists(backend, t), case[2])
    # the loops go through 1/ŷ of the cross-entropy: their own error is larger by the smallest ŷ(1 − ŷ)
    for array, rows in zip(backward(network, trace, t), gs, strict=True):
        assert_close(backend, array, rows, dtype=dtype, units=1000, scale=0.01)
    Ws = naive.gradients(layers, lists(backend, x), lists(backend, t), case[2])
    for array, rows in zip(gradients(network, x, t), Ws, strict=True):
        assert_close(backend, array, rows, dtype=dtype, units=1000, scale=0.01)


@every_case
@with_and_without_bias
@every_dtype
def test_loss_and_prediction_agree_with_loops(backend, case, bias, dtype):
    network, x, t = draw(backend, case, bias=bias, dtype=dtype)
    y = naive.forward(naive_layers(backend, network), lists(backend, x))[2][-1]
    assert_close(backend, predict(network, x), y, dtype=dtype)
    value = network_loss(network, x, t)
    assert value.shape == ()
    # F(â) − t·â is a difference of terms as large as â, while log ŷ of the loops is not
    assert_close(backend, value, naive.loss(case[2], y, lists(backend, t)), dtype=dtype, units=1000, scale=1)


@every_case
@with_and_without_bias
def test_gradients_are_derivatives_of_the_loss_in_50_digits(numpy_backend, case, bias):
    """I2. Bound 1e-12 of the terms abs(X̃)ᵀabs(g): a few roundings a layer, through two layers."""
    network, x, t = draw(numpy_backend, case, sizes=(2, 3, 2), batch=3, bias=bias)
    layers = naive_layers(numpy_backend, network)
    wanted = high_precision_losses.network_gradients(layers, x.tolist(), t.tolist(), case[2])
    trace = forward(network, x)
    everything = zip(
        network.layers, trace.x, backward(network, trace, t), gradients(network, x, t), wanted, strict=True
    )
    for layer, x_m, g, got, exact in everything:
        terms = np.abs(layer.augment(x_m)).T @ np.abs(g)
        assert (np.abs(got - exact) <= 1e-12 * terms).all()


sizes = st.lists(st.integers(1, 4), min_size=2, max_size=4)


@hypothesis.given(sizes=sizes, batch=st.integers(1, 4), bias=st.booleans(), data=st.data())
def test_any_shape_agrees_with_loops(sizes, batch, bias, data):
    from backends import OPEN

    backend, case = OPEN["numpy"](), data.draw(st.sampled_from(CASES))
    network, x, t = draw(backend, case, sizes=tuple(sizes), batch=batch, bias=bias)
    got = gradients(network, x, t)
    wanted = naive.gradients(naive_layers(backend, network), x.tolist(), t.tolist(), case[2])
    for array, rows in zip(got, wanted, strict=True):
        assert_close(backend, array, rows, dtype="float64", units=1e4, scale=0.01)


@every_dtype
def test_nothing_is_written_into(backend, dtype):
    """Identity layers hand their input on: a careless in-place step would show here."""
    for case in CASES:
        network, x, t = draw(backend, case, dtype=dtype)
        before = [lists(backend, a) for a in (x, t)] + naive_layers(backend, network)
        trace = forward(network, x)
        kept = [lists(backend, a) for a in (*trace.x, *trace.a_hat, *trace.y_hat)]
        backward(network, trace, t)
        gradients(network, x, t)
        network_loss(network, x, t)
        assert [lists(backend, a) for a in (x, t)] + naive_layers(backend, network) == before
        assert [lists(backend, a) for a in (*trace.x, *trace.a_hat, *trace.y_hat)] == kept


# parts --------------------------------------------------------------------------------------------


@with_and_without_bias
def test_the_bias_is_an_input_that_is_always_one(backend, bias):
    network, x, _ = draw(backend, CASES[3], bias=bias)
    layer = network.layers[0]
    wide, deep = backend.numpy(layer.augment(x)), backend.numpy(layer.stacked)
    assert_array_equal(wide, naive.with_ones(lists(backend, x), bias))
    assert_array_equal(deep, bridge.stacked_lists(naive_layers(backend, network))[0])
    assert_allclose(wide @ deep, backend.numpy(layer.pre_activation(x)), rtol=1e-14, atol=1e-14)
    back = layer.with_stacked(layer.stacked)
    assert_array_equal(backend.numpy(back.W), backend.numpy(layer.W))
    if bias:
        assert_array_equal(backend.numpy(back.b), backend.numpy(layer.b))
    else:
        assert back.b is None
    assert back.transfer is layer.transfer


def test_initialization_follows_the_written_rule(backend):
    """Against another program of the rule: default_rng(seed); per layer W, then b. One rounding apart."""
    sizes, dtype = page.SIZES, "float64"
    wanted = page.initialize(sizes, np.random.default_rng(3), np.float64)
    network = initialize(sizes, transfers="tanh", seed=3, dtype=dtype, xp=backend.xp, device=backend.device)
    for layer, stacked_weights in zip(network.layers, wanted, strict=True):
        W, b = stacked_weights[:-1], stacked_weights[-1]
        # numbers of size l, rounded once or twice: √ and the power 1/2 may part in the last digit of l
        assert_allclose(backend.numpy(layer.W), W, rtol=0, atol=2 * np.finfo(float).eps * np.abs(W).max())
        assert_allclose(backend.numpy(layer.b), b, rtol=0, atol=2 * np.finfo(float).eps * np.abs(b).max())


@every_dtype
def test_initialization_is_the_same_bytes_everywhere(backend, dtype):
    here = initialize((5, 4, 3), transfers="relu", seed=7, dtype=dtype)
    there = initialize((5, 4, 3), transfers="relu", seed=7, dtype=dtype, xp=backend.xp, device=backend.device)
    for layer, other in zip(here.layers, there.layers, strict=True):
        assert_array_equal(backend.numpy(other.W), layer.W)
        assert_array_equal(backend.numpy(other.b), layer.b)
        assert layer.W.dtype == np.dtype(dtype)
    exact = initialize((5, 4, 3), transfers="relu", seed=7)
    assert_array_equal(here.layers[0].W, exact.layers[0].W.astype(dtype))


def test_initialization_options():
    generator = np.random.default_rng(0)
    first = initialize((4, 3), transfers="tanh", seed=generator)
    assert_array_equal(first.layers[0].W, initialize((4, 3), transfers="tanh", seed=0).layers[0].W)
    assert (
        np.abs(initialize((4, 3), transfers="tanh", seed=generator).layers[0].W - first.layers[0].W).max() > 0
    )
    zero = initialize((4, 3), transfers="tanh", init="glorot_uniform_zero_bias", seed=0).layers[0]
    assert_array_equal(zero.b, 0)
    assert_array_equal(zero.W, first.layers[0].W)
    bare = initialize((4, 3, 2), transfers="tanh", bias=False, seed=0)
    assert all(layer.b is None for layer in bare.layers)
    draws = np.random.default_rng(0)  # no bias is drawn: the second layer's weights follow the first one's
    for layer, sizes in zip(bare.layers, ((4, 3), (3, 2)), strict=True):
        assert_allclose(layer.W, draws.uniform(-1, 1, sizes) * (6 / sum(sizes)) ** 0.5, rtol=1e-15)
    mixed = initialize((4, 3, 2), transfers=("relu", transfer("elu", alpha=2.0)), output_loss="squared_error")
    assert [layer.transfer.name for layer in mixed.layers] == ["relu", "elu"]
    wide = initialize((1000, 1000), transfers="tanh", seed=0).layers[0]
    limit = (6 / 2000) ** 0.5
    assert np.abs(wide.W).max() <= limit
    # the extremes of 10⁶ uniform draws: within 1e-4 of the limit unless (1 − 1e-4)^10⁶ ≈ e⁻¹⁰⁰
    assert np.abs(wide.W).max() > (1 - 1e-4) * limit
    # a uniform's standard deviation is limit/√3; its estimate from 10⁶ draws is right to 1e-3
    assert_allclose(wide.W.std(), limit / 3**0.5, rtol=5e-3)
    assert_allclose(wide.b.std(), (3 / 1000) ** 0.5 / 3**0.5, rtol=0.1)  # 1000 draws: 2 % a standard error


# bad inputs ---------------------------------------------------------------------------------------

W, b = np.zeros((3, 2)), np.zeros(2)
f = transfer("tanh")
net = Network((Layer(W, b, f),), output_loss("squared_error"))
x, t = np.zeros((4, 3)), np.zeros((4, 2))
trace = forward(net, x)

BAD = {
    "W list": (lambda: Layer([[1.0]], None, f), TypeError, "W must be an array .*, got list"),
    "W vector": (lambda: Layer(b, None, f), ValueError, r"W must have 2 dimensions, got shape \(2,\)"),
    "W integers": (
        lambda: Layer(W.astype(int), None, f),
        TypeError,
        r'W must have dtype float32 or float64, got int64 \(numpy.asarray\(W, dtype="float32"\) conv',
    ),
    "W half": (
        lambda: Layer(W.astype(np.float16), None, f),
        TypeError,
        "W must have dtype float32 or float64",
    ),
    "W complex": (lambda: Layer(W + 0j, None, f), TypeError, "W must have dtype float32 or float64"),
    "b shape": (lambda: Layer(W, np.zeros(3), f), ValueError, r"b must have shape \(2,\), got \(3,\)"),
    "b row": (lambda: Layer(W, b[None], f), ValueError, r"b must have shape \(2,\), got \(1, 2\)"),
    "b dtype": (lambda: Layer(W, b.astype("float32"), f), TypeError, "b must have the dtype of W"),
    "transfer name": (lambda: Layer(W, b, "tanh"), TypeError, "transfer must be a Transfer"),
    "no layer": (lambda: Network((), net.loss), ValueError, "layers must hold at least one layer"),
    "layers meet": (
        lambda: Network(net.layers * 2, net.loss),
        ValueError,
        "layers must meet: layer 1 has 2 outputs",
    ),
    "layers dtype": (
        lambda: Network((net.layers[0], Layer(np.zeros((2, 2), "float32"), None, f)), net.loss),
        TypeError,
        "W of layer 2 must have the dtype of W of layer 1",
    ),
    "loss and transfer": (
        lambda: Network(net.layers, output_loss("sigmoid_cross_entropy")),
        ValueError,
        "the last transfer must be 'sigmoid' for sigmoid_cross_entropy, got 'tanh'",
    ),
    "loss name": (
        lambda: output_loss("squared_eror"),
        ValueError,
        r"output_loss must be .* \(did you mean 'squared_error'\?\)",
    ),
    "x width": (
        lambda: forward(net, np.zeros((4, 2))),
        ValueError,
        r"x must have shape \(any, 3\), got \(4, 2\)",
    ),
    "x vector": (
        lambda: forward(net, np.zeros(3)),
        ValueError,
        r"x must have 2 dimensions, got shape \(3,\)",
    ),
    "x empty": (lambda: forward(net, np.zeros((0, 3))), ValueError, "x must hold at least one example"),
    "x dtype": (
        lambda: forward(net, x.astype("float32")),
        TypeError,
        "x must have the dtype of network, float64",
    ),
    "x integers": (lambda: forward(net, x.astype(int)), TypeError, "x must have dtype float32 or float64"),
    "x list": (lambda: forward(net, [[1.0, 2.0, 3.0]]), TypeError, "x must be an array"),
    "x none": (lambda: predict(net, None), TypeError, "x must be an array"),
    "t width": (lambda: backward(net, trace, x), ValueError, r"t must have shape \(4, 2\), got \(4, 3\)"),
    "t batch": (lambda: gradients(net, x, t[:2]), ValueError, r"t must have shape \(4, 2\), got \(2, 2\)"),
    "t dtype": (
        lambda: network_loss(net, x, t.astype("float32")),
        TypeError,
        "t must have the dtype of a_hat",
    ),
    "t list": (lambda: network_loss(net, x, t.tolist()), TypeError, "t must be an array"),
    "one size": (
        lambda: initialize((3,), transfers="tanh"),
        ValueError,
        "layer_sizes must hold at least two sizes",
    ),
    "size 0": (
        lambda: initialize((3, 0), transfers="tanh"),
        ValueError,
        "layer_sizes must be an integer of at least 1",
    ),
    "size float": (
        lambda: initialize((3, 2.5), transfers="tanh"),
        TypeError,
        "layer_sizes must be an integer, got 2.5",
    ),
    "size string": (
        lambda: initialize("35", transfers="tanh"),
        ValueError,
        "layers must be widths joined by hyphens .* got '35'",
    ),
    "transfers": (
        lambda: initialize((3, 2), transfers=["tanh"] * 2),
        ValueError,
        "transfers must be one for each of 1 layers",
    ),
    "transfers name": (
        lambda: initialize((3, 2), transfers="tanj"),
        ValueError,
        r"transfer must be .* \(did you mean 'tanh'\?\)",
    ),
    "init": (
        lambda: initialize((3, 2), transfers="tanh", init="glorot"),
        ValueError,
        "init must be one of glorot_uniform",
    ),
    "dtype": (
        lambda: initialize((3, 2), transfers="tanh", dtype="float16"),
        ValueError,
        "dtype must be one of float32, float64",
    ),
    "seed": (lambda: initialize((3, 2), transfers="tanh", seed=-1), ValueError, "seed must be"),
    "seed type": (lambda: initialize((3, 2), transfers="tanh", seed="1"), TypeError, "seed must be"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_told_in_one_sentence(name):
    call, error, sentence = BAD[name]
    with pytest.raises(error, match="^" + sentence):
        call()


def test_arrays_of_two_libraries_do_not_mix():
    strict = pytest.importorskip("array_api_strict")
    with pytest.raises(TypeError):
        forward(net, strict.asarray(x))
    with pytest.raises(TypeError):
        network_loss(net, x, strict.asarray(t))
