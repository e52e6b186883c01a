"""Between the package's arrays and the nested lists of `naive.py`: the same networks on both sides."""

import numpy as np
import pytest
from array_api_compat import array_namespace

from locoprop_ref.layers import Layer
from locoprop_ref.losses import output_loss
from locoprop_ref.network import Network
from locoprop_ref.transfers import TRANSFERS, transfer

ELEMENTWISE = [name for name in TRANSFERS if name != "softmax"]

# every transfer in hidden layers under every network loss: (hidden transfer, last transfer, loss)
CASES = [
    *((name, name, "squared_error") for name in TRANSFERS),
    *((name, "sigmoid", "sigmoid_cross_entropy") for name in TRANSFERS),
    *((name, "softmax", "softmax_cross_entropy") for name in TRANSFERS),
]
every_case = pytest.mark.parametrize("case", CASES, ids="-".join)
# smooth, with a kink, and not elementwise, each under one network loss; the identity
SOME_CASES = [
    ("identity", "identity", "squared_error"),
    ("tanh", "sigmoid", "sigmoid_cross_entropy"),
    ("relu", "softmax", "softmax_cross_entropy"),
    ("softmax", "tanh", "squared_error"),
]
some_cases = pytest.mark.parametrize("case", SOME_CASES, ids="-".join)
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
with_and_without_bias = pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])


def draw(backend, case, *, sizes=(3, 4, 3, 2), batch=5, bias=True, seed=0, dtype="float64"):
    """A network, a batch and targets that suit the loss, on a backend."""
    hidden, last, loss = case
    rng = np.random.default_rng(seed)
    layers = []
    names = [hidden] * (len(sizes) - 2) + [last]
    for d_in, d_out, name in zip(sizes[:-1], sizes[1:], names, strict=True):
        W = backend.asarray(rng.normal(size=(d_in, d_out)), dtype)
        b = backend.asarray(rng.normal(size=d_out), dtype) if bias else None
        layers.append(Layer(W, b, transfer(name)))
    x, t = rng.normal(size=(batch, sizes[0])), rng.normal(size=(batch, sizes[-1]))
    if loss == "sigmoid_cross_entropy":
        t = rng.uniform(size=t.shape)
    if loss == "softmax_cross_entropy":  # rows of any sum: labels need not be probabilities
        t = rng.uniform(size=t.shape)
    network = Network(tuple(layers), output_loss(loss))
    return network, backend.asarray(x, dtype), backend.asarray(t, dtype)


def lists(backend, array):
    """The numbers of an array, float32 ones as the doubles that they are."""
    return backend.numpy(array).astype(float).tolist()


def naive_transfer(function):
    """(name, parameter) as `naive.py` wants it."""
    return function.name, next(iter(v for v in function.parameters.values() if isinstance(v, float)), None)


def naive_layers(backend, network):
    """The layers of a network as `naive.py` wants them."""
    return [
        (
            lists(backend, layer.W),
            None if layer.b is None else lists(backend, layer.b),
            naive_transfer(layer.transfer),
        )
        for layer in network.layers
    ]


def stacked_lists(layers):
    """[W; b] of every layer of `naive.py`, as arrays."""
    return [np.array([*W, b] if b is not None else W) for W, b, _ in layers]


def stacked_arrays(backend, network):
    """[W; b] of every layer of a network, as NumPy arrays."""
    return [
        np.vstack([backend.numpy(layer.W), *([] if layer.b is None else [backend.numpy(layer.b)[None, :]])])
        for layer in network.layers
    ]


def assert_close(backend, array, wanted, *, dtype, units=100, scale=0.0):
    """Agreement to `units` roundings of the largest number that takes part, and the answer in kind.

    The sums here have at most a few dozen terms, none larger than the largest entry times a small factor:
    `units` = 100 unless a test says otherwise.
    """
    out, wanted = backend.numpy(array), np.asarray(wanted, dtype=float)
    assert array_namespace(array) is backend.xp  # NumPy turns 0-d arrays into its scalars
    assert out.dtype == np.dtype(dtype)
    largest = max(float(np.max(np.abs(wanted), initial=0.0)), scale)
    np.testing.assert_allclose(out, wanted, rtol=0, atol=units * np.finfo(dtype).eps * largest)


def leaves(nest):
    """The arrays and numbers of a nest of dicts and tuples, in order: whatever a state is made of."""
    if isinstance(nest, dict):
        return [leaf for value in nest.values() for leaf in leaves(value)]
    if isinstance(nest, tuple | list):
        return [leaf for value in nest for leaf in leaves(value)]
    return [nest]


def snapshot(backend, network, *nests):
    """Every number of a network and of states and arrays, to be compared with a later snapshot."""
    found = [backend.numpy(v).tolist() if hasattr(v, "dtype") else v for v in leaves(nests)]
    return found, naive_layers(backend, network)
