"""Small networks with positions: convolution and pooling, and recurrence, on every array library."""

import numpy as np

from locoprop_ref.layers import Layer
from locoprop_ref.losses import output_loss
from locoprop_ref.network import Network
from locoprop_ref.transfers import transfer
from locoprop_ref.wirings import above, every_step, flatten, last_step, patches, pool, steps

IMAGE = (2, 5, 6)  # channels, height, width: all different
BATCH = 3


def batch(backend, shape, seed=0, dtype="float64"):
    values = np.random.default_rng(seed).normal(size=(BATCH, int(np.prod(shape))))
    return backend.asarray(values, dtype)


def layer(rng, backend, d_in, d_out, f, wiring, *, dtype="float64", bias=True, **more):
    W, b = rng.normal(size=(d_in, d_out)) / np.sqrt(d_in), rng.normal(size=d_out) / 2
    b = backend.asarray(b, dtype) if bias else None
    return Layer(backend.asarray(W, dtype), b, transfer(f), wiring, **more)


def convolutional(backend, kind="mean", dtype="float64", bias=True):
    """Stride and padding, a pooling, a second convolution, a dense layer, an output."""
    rng = np.random.default_rng(3)
    one = patches(IMAGE, 3, stride=1, padding=1)
    two = above(pool((3, 5, 6), 2, kind=kind).then(patches((3, 2, 3), 2)), 30)
    layers = (
        layer(rng, backend, 18, 3, "tanh", one, dtype=dtype, bias=bias),
        layer(rng, backend, 12, 4, "sigmoid", two, dtype=dtype, bias=bias),
        layer(rng, backend, 8, 5, "tanh", above(flatten((4, 1, 2)), 2), dtype=dtype, bias=bias),
        layer(rng, backend, 5, 2, "identity", None, dtype=dtype, bias=bias),
    )
    return Network(layers, output_loss("squared_error"))


def recurrent(backend, dtype="float64", start=True, bias=True):
    """Two recurrent layers, the first with a given initial state, and the last step to two outputs."""
    rng = np.random.default_rng(4)
    h = backend.asarray(rng.normal(size=4), dtype) if start else None
    layers = (
        layer(
            rng,
            backend,
            6 + 4,
            4,
            "tanh",
            steps((10, 6)),
            dtype=dtype,
            bias=bias,
            recurrent=True,
            initial_state=h,
        ),
        layer(
            rng,
            backend,
            4 + 3,
            3,
            "sigmoid",
            above(every_step((4, 10)), 10),
            dtype=dtype,
            bias=bias,
            recurrent=True,
        ),
        layer(rng, backend, 3, 2, "identity", above(last_step((3, 10)), 10), dtype=dtype, bias=bias),
    )
    return Network(layers, output_loss("squared_error"))


NETWORKS = {
    "mean": (lambda backend, **more: convolutional(backend, "mean", **more), "mean"),
    "max": (lambda backend, **more: convolutional(backend, "max", **more), "max"),
    "recurrent": (recurrent, "start"),
}


def of(name, backend, **more):
    network = NETWORKS[name][0](backend, **more)
    x = batch(backend, IMAGE, seed=5, dtype=more.get("dtype", "float64"))
    t = backend.asarray(np.random.default_rng(6).normal(size=(BATCH, 2)), more.get("dtype", "float64"))
    start = network.layers[0].initial_state
    return network, x, t, np.zeros(4) if start is None else backend.numpy(start)
