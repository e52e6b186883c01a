"""Wirings: rows, their adjoint, and networks with positions against number-by-number loops."""

import naive_positions as naive
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from positions import BATCH, IMAGE, NETWORKS, batch, convolutional, of

from locoprop_ref.layers import Layer
from locoprop_ref.network import Network, backward, forward, gradients, initialize, network_loss
from locoprop_ref.transfers import transfer
from locoprop_ref.wirings import (
    Gather,
    above,
    every_step,
    flatten,
    last_step,
    patches,
    pool,
    steps,
)

# (size, stride, padding), with windows that overlap, that do not, that leave pixels out, and the whole image
KERNELS = [(1, 1, 0), (2, 1, 0), (3, 2, 1), (2, 3, 0), (3, 1, 2), (5, 1, 0)]
POOLS = [(2, "mean", None), (2, "max", None), (3, "mean", 1), (3, "max", 2), (1, "max", None)]


def as_rows(positions):
    """(B, width, P) as rows (position, example)."""
    return np.moveaxis(positions, 2, 0).reshape(-1, positions.shape[1])


@pytest.mark.parametrize(("size", "stride", "padding"), KERNELS)
def test_the_rows_of_a_convolution_are_its_patches(backend, size, stride, padding):
    y, wiring = batch(backend, IMAGE), patches(IMAGE, size, stride=stride, padding=padding)
    height, width = (naive.output_size(n, size, stride, padding) for n in IMAGE[1:])
    assert wiring.shape == (2 * size**2, height, width)
    images = backend.numpy(y).reshape(BATCH, *IMAGE)
    wanted = [
        [
            naive.patch(image, i, j, size, stride, padding).reshape(-1)
            for i in range(height)
            for j in range(width)
        ]
        for image in images
    ]
    assert_array_equal(backend.numpy(wiring.rows(y)), as_rows(np.moveaxis(np.array(wanted), 1, 2)))


@pytest.mark.each("kind")
@pytest.mark.parametrize(("size", "kind", "stride"), POOLS)
def test_pooling(backend, size, kind, stride):
    y, wiring = batch(backend, IMAGE), pool(IMAGE, size, kind=kind, stride=stride)
    images = backend.numpy(y).reshape(BATCH, *IMAGE)
    wanted = np.array([naive.pooled(image, size, kind, stride).real for image in images])
    assert wiring.shape == wanted.shape[1:]
    rows = backend.numpy(wiring.rows(y))
    # a mean of at most nine numbers, in another order of sums
    assert_allclose(rows, as_rows(wanted.reshape(BATCH, 2, -1)), rtol=0, atol=1e-15)


WIRINGS = {
    **{
        f"patches {kernel}": patches(IMAGE, kernel[0], stride=kernel[1], padding=kernel[2])
        for kernel in KERNELS
    },
    **{
        f"mean {size} {stride}": pool(IMAGE, size, stride=stride)
        for size, kind, stride in POOLS
        if kind == "mean"
    },
    "flatten": flatten(IMAGE),
    "steps": steps((10, 6)),
    "every step": every_step((6, 10)),
    "last step": last_step((6, 10)),
    "pool, then patches": pool(IMAGE, 2).then(patches((2, 2, 3), 2, padding=1)),
}


@pytest.mark.each("name")
@pytest.mark.parametrize("name", WIRINGS)
def test_pull_back_is_the_adjoint_of_rows(backend, name):
    """⟨rows(y), u⟩ = ⟨y, pull_back(u)⟩, to the rounding of sums of some hundred products."""
    wiring, y = WIRINGS[name], batch(backend, IMAGE)
    rows = wiring.rows(y)
    u = backend.asarray(np.random.default_rng(1).normal(size=tuple(rows.shape)), "float64")
    left = np.sum(backend.numpy(rows) * backend.numpy(u))
    right = np.sum(backend.numpy(y) * backend.numpy(wiring.pull_back(u)))
    assert_allclose(left, right, rtol=0, atol=1e-13 * np.sqrt(u.shape[0] * u.shape[1]))


def test_a_gather_turned_round_is_its_transpose():
    """With the matrix of zeros and ones written out."""
    rng = np.random.default_rng(2)
    table = rng.integers(0, 6, size=11)  # 5 is the row of zeros
    gather = Gather(table, 5)
    matrix = np.zeros((11, 6))
    matrix[np.arange(11), table] = 1
    z, u = rng.normal(size=(5, 2)), rng.normal(size=(11, 2))
    assert_array_equal(gather.read(z), matrix[:, :5] @ z)
    assert_allclose(gather.turn(u), matrix[:, :5].T @ u, rtol=0, atol=1e-15)


def test_the_gradient_of_a_maximum_goes_to_the_first_of_the_largest():
    wiring = pool((1, 2, 2), 2, kind="max")
    y = np.array([[1.0, 3.0, 3.0, 2.0]])
    assert_array_equal(wiring.pull_back(np.array([[5.0]]), y), [[0.0, 5.0, 0.0, 0.0]])


# networks -----------------------------------------------------------------------------------------


def numbers(backend, network):
    found = []
    for each in network.layers:
        W = backend.numpy(each.W)
        found.append(
            (W, np.zeros(W.shape[1]) if each.b is None else backend.numpy(each.b), each.transfer.name)
        )
    return found


def naive_convolutional(parts, numbers_of_example, kind):
    (W1, b1, f1), (W2, b2, f2), (W3, b3, f3), (W4, b4, f4) = parts
    image = naive.convolve(numbers_of_example.reshape(IMAGE), W1, b1, f1, 3, padding=1)
    image = naive.convolve(naive.pooled(image, 2, kind), W2, b2, f2, 2)
    return naive.dense(naive.dense(image.reshape(-1), W3, b3, f3), W4, b4, f4)


def naive_recurrent(parts, numbers_of_example, start):
    (W1, b1, f1), (W2, b2, f2), (W3, b3, f3) = parts
    said = naive.recurrent(numbers_of_example.reshape(10, 6), W1, b1, f1, start)
    said = naive.recurrent(said, W2, b2, f2, np.zeros(3))
    return naive.dense(said[-1], W3, b3, f3)


def outputs(name, parts, x, start):
    if name == "recurrent":
        return np.array([naive_recurrent(parts, example, start) for example in x])
    return np.array([naive_convolutional(parts, example, name) for example in x])


@pytest.mark.each("name")
@pytest.mark.parametrize("name", NETWORKS)
def test_the_outputs_are_those_of_the_loops(backend, name):
    network, x, _, start = of(name, backend)
    wanted = outputs(name, numbers(backend, network), backend.numpy(x), start)
    assert_allclose(backend.numpy(forward(network, x).y_hat[-1]), wanted.real, rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("bias", [True, False])
def test_the_gradient_is_that_of_a_complex_step(numpy_backend, name, bias):
    network, x, t, start = of(name, numpy_backend, bias=bias)
    found, parts = gradients(network, x, t), numbers(numpy_backend, network)
    for m, (W, b, f) in enumerate(parts):

        def loss(W_tilde, m=m, f=f):
            own = (W_tilde[:-1], W_tilde[-1], f) if bias else (W_tilde, np.zeros(W_tilde.shape[1]), f)
            changed = [own if k == m else part for k, part in enumerate(parts)]
            return np.sum((outputs(name, changed, x, start) - t) ** 2) / 2 / BATCH

        wanted = naive.derivative(loss, np.vstack([W, b]) if bias else W)
        assert_allclose(found[m], wanted, rtol=0, atol=5e-15)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_derivative_at_every_row_is_total(numpy_backend, name):
    """g of the first layer, through a shift of its bias at every row: Σ_rows g = ∂L/∂b, and by x̃ᵀg above."""
    network, x, t, _ = of(name, numpy_backend)
    trace = forward(network, x)
    g = backward(network, trace, t)
    for each, x_m, a_hat, y_hat, g_m in zip(
        network.layers, trace.x, trace.a_hat, trace.y_hat, g, strict=True
    ):
        assert a_hat.shape == y_hat.shape == g_m.shape == (each.positions * BATCH, each.W.shape[1])
        assert x_m.shape == (each.positions * BATCH, each.W.shape[0])
        assert_allclose(a_hat, each.pre_activation(x_m), rtol=0, atol=1e-14)


@pytest.mark.each("name")
@pytest.mark.parametrize("name", NETWORKS)
def test_float32_stays_float32(backend, name):
    network, x, t, _ = of(name, backend, dtype="float32")
    trace = forward(network, x)
    for values in (
        *trace.x,
        *trace.a_hat,
        *trace.y_hat,
        *backward(network, trace, t),
        *gradients(network, x, t),
    ):
        assert "float32" in str(values.dtype)


def test_permuted_examples_give_permuted_rows(numpy_backend):
    network, x, t, _ = of("mean", numpy_backend)
    order = [2, 0, 1]
    one, other = forward(network, x), forward(network, x[order])
    assert_allclose(other.y_hat[-1], one.y_hat[-1][order], rtol=0, atol=1e-14)
    assert_allclose(network_loss(network, x[order], t[order]), network_loss(network, x, t), rtol=1e-14)


def test_a_shifted_image_gives_shifted_outputs():
    W = np.random.default_rng(7).normal(size=(9, 2))
    rolled = Layer(W, None, transfer("tanh"), patches((1, 8, 8), 3))
    image = np.zeros((8, 8))
    image[1:5, 1:5] = np.random.default_rng(8).normal(size=(4, 4))
    maps = [rolled.through(np.roll(image, s, axis=1).reshape(1, -1))[2].T.reshape(2, 6, 6) for s in (0, 1)]
    assert_array_equal(maps[0][:, :, :-1], maps[1][:, :, 1:])


def test_a_kernel_as_large_as_the_image_is_a_dense_layer():
    dense = initialize((60, 4, 2), transfers="tanh", seed=1)
    first = dense.layers[0]
    shared = Network(
        (Layer(first.W, first.b, first.transfer, patches((15, 2, 2), 2)), dense.layers[1]), dense.loss
    )
    x, t = np.random.default_rng(9).normal(size=(5, 60)), np.zeros((5, 2))
    for a, b in zip(gradients(dense, x, t), gradients(shared, x, t), strict=True):
        assert_allclose(a, b, rtol=0, atol=1e-15)


def test_a_recurrence_of_one_step_is_a_dense_layer():
    dense = initialize((6, 4, 2), transfers="tanh", seed=1)
    first = dense.layers[0]
    W = np.vstack([first.W, np.ones((4, 4))])  # what it reads of itself is zero
    once = Layer(W, first.b, first.transfer, steps((1, 6)), recurrent=True)
    network = Network((once, dense.layers[1]), dense.loss)
    x, t = np.random.default_rng(9).normal(size=(5, 6)), np.zeros((5, 2))
    ours, wanted = gradients(network, x, t), gradients(dense, x, t)
    assert_allclose(ours[0][[0, 1, 2, 3, 4, 5, 10]], wanted[0], rtol=0, atol=1e-15)
    assert_array_equal(ours[0][6:10], np.zeros((4, 4)))


# what is refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: patches((2, 5), 2), r"shape must be \(channels, height, width\), got \(2, 5\)"),
        (lambda: patches(IMAGE, 9), "size must be at most that of the image, 5x6 with padding 0, got 9"),
        (lambda: patches(IMAGE, 6), "size must be at most that of the image, 5x6 with padding 0, got 6"),
        (lambda: patches(IMAGE, 2, stride=0), "stride must be an integer of at least 1, got 0"),
        (lambda: patches(IMAGE, 2, padding=-1), "padding must be an integer of at least 0, got -1"),
        (lambda: pool(IMAGE, 2, kind="sum"), "kind must be one of mean, max, got 'sum'"),
        (lambda: above(flatten((3, 2)), 4), "positions must divide the 6 numbers of an example, got 4"),
        (lambda: flatten((3, 2)).then(flatten((5,))), r"after must read the 6 numbers of \(6,\), got 5"),
        (
            lambda: pool(IMAGE, 2, kind="max").pull_back(np.ones((6, 2))),
            "y must be what the rows were read from",
        ),
        (lambda: Layer(np.ones((3, 2)), None, transfer("tanh"), recurrent=True), "wiring must be given"),
        (
            lambda: Layer(np.ones((3, 2)), None, transfer("tanh"), patches(IMAGE, 2)),
            "W must have the 8 rows that its wiring makes, got 3",
        ),
        (
            lambda: Layer(
                np.ones((8, 2)), None, transfer("tanh"), patches(IMAGE, 2), initial_state=np.ones(2)
            ),
            "initial_state has no meaning without recurrent",
        ),
    ],
)
def test_what_does_not_fit_is_one_sentence(make, words):
    with pytest.raises((ValueError, TypeError), match=words):
        make()


def test_layers_that_do_not_meet_are_refused(numpy_backend):
    network = convolutional(numpy_backend)
    with pytest.raises(ValueError, match="layer 1 has 90 outputs, layer 2 takes 8 inputs"):
        Network((network.layers[0], *network.layers[2:]), network.loss)
    with pytest.raises(ValueError, match="layers must end with one row for an example, got 30 positions"):
        Network(network.layers[:1], network.loss)
    with pytest.raises(ValueError, match="layers must begin with one that reads flat examples"):
        Network(network.layers[1:], network.loss)
    with pytest.raises(ValueError, match=r"x must have shape \(any, 60\), got \(3, 4\)"):
        forward(network, np.ones((3, 4)))


# PyTorch ------------------------------------------------------------------------------------------


def with_torch(name, network, x, t, start):
    """Outputs, and gradients of W̃ in our order, from torch.nn.functional and torch's own RNN cell."""
    torch = pytest.importorskip("torch", exc_type=ImportError, reason="torch is not installed")
    functional = torch.nn.functional
    leaves = [torch.tensor(np.vstack([layer.W, layer.b]), requires_grad=True) for layer in network.layers]
    y = torch.tensor(x)

    def kernel(W, channels, size):
        return W[:-1].T.reshape(-1, channels, size, size)

    if name == "recurrent":
        y, h = y.reshape(-1, 10, 6), torch.tensor(start).expand(len(x), -1)
        first = []
        cell = torch.nn.RNNCell(6, 4, dtype=torch.float64)  # tanh(x W_iᵀ + b_i + h W_hᵀ + b_h)
        parts = {"weight_ih": leaves[0][:6].T, "weight_hh": leaves[0][6:10].T, "bias_ih": leaves[0][10]}
        parts["bias_hh"] = torch.zeros(4, dtype=torch.float64)
        for step in range(10):
            h = torch.func.functional_call(cell, parts, (y[:, step], h))
            first.append(h)
        h = torch.zeros(len(x), 3, dtype=torch.float64)
        for said in first:
            h = torch.sigmoid(torch.cat([said, h], dim=1) @ leaves[1][:-1] + leaves[1][-1])
        y = h
    else:
        pooling = functional.avg_pool2d if name == "mean" else functional.max_pool2d
        y = functional.conv2d(y.reshape(-1, *IMAGE), kernel(leaves[0], 2, 3), leaves[0][-1], padding=1)
        y = functional.conv2d(pooling(torch.tanh(y), 2), kernel(leaves[1], 3, 2), leaves[1][-1])
        y = torch.tanh(torch.sigmoid(y).flatten(1) @ leaves[2][:-1] + leaves[2][-1])
    y = y @ leaves[-1][:-1] + leaves[-1][-1]
    (((y - torch.tensor(t)) ** 2).sum() / 2 / len(x)).backward()
    return y.detach().numpy(), [leaf.grad.numpy() for leaf in leaves]


@pytest.mark.full
@pytest.mark.parametrize("name", NETWORKS)
def test_pytorch_says_the_same(numpy_backend, name):
    network, x, t, start = of(name, numpy_backend)
    wanted, wanted_gradients = with_torch(name, network, x, t, start)
    assert_allclose(forward(network, x).y_hat[-1], wanted, rtol=0, atol=1e-14)
    for ours, theirs in zip(gradients(network, x, t), wanted_gradients, strict=True):
        assert_allclose(ours, theirs, rtol=0, atol=1e-14)
